"""Keep-alives by STUN on the SIP port."""

from __future__ import annotations

import pytest

from sip.stun_reply import binding_reply

TRANSACTION = "b7e7a701 bc34d686 fa87dfae"
REQUEST = bytes.fromhex(
    "0001"  # binding request
    "0000"  # no attributes
    "2112a442" + TRANSACTION  # cookie
)
REPLY_4 = bytes.fromhex(
    "0101"  # binding success
    "000c"  # 12 octets of attributes
    "2112a442" + TRANSACTION + "0020 0008"  # XOR-MAPPED-ADDRESS, 8 octets
    "00 01"  # IPv4
    "a147"  # port 32853 under the cookie's first half
    "e112a643"  # 192.0.2.1 under the cookie (the value of RFC 5769 §2.2)
)
REPLY_6 = bytes.fromhex(
    "0101 0018 2112a442" + TRANSACTION + "0020 0014 00 02 a147"
    "0113a9faa5d3f179bc25f4b5bed2b9d9"  # 2001:db8:1234:5678:11:2233:4455:6677 (RFC 5769 §2.3)
)


def test_a_binding_request_is_told_where_it_came_from() -> None:
    assert binding_reply(REQUEST, "192.0.2.1", 32853) == REPLY_4
    assert binding_reply(REQUEST, "2001:db8:1234:5678:11:2233:4455:6677", 32853) == REPLY_6


def test_an_attribute_that_must_be_understood_is_refused_and_named() -> None:
    request = bytes.fromhex("0001 0004 2112a442" + TRANSACTION + "0003 0000")  # CHANGE-REQUEST
    assert (
        binding_reply(request, "192.0.2.1", 1)
        == bytes.fromhex(
            "0111 0010 2112a442" + TRANSACTION + "0009 0004 0000 04 14"  # 420
            "000a 0002 0003 0000"  # UNKNOWN-ATTRIBUTES: 3, padded
        )
    )
    software = bytes.fromhex("0001 0008 2112a442" + TRANSACTION + "8022 0003 61626300")  # SOFTWARE may be ignored
    assert binding_reply(software, "192.0.2.1", 32853) == REPLY_4


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        REQUEST[:19],
        REQUEST + b"\0\0\0\0",  # longer than it says
        b"\x01\x01" + REQUEST[2:],  # a response
        REQUEST[:4] + b"\0\0\0\0" + REQUEST[8:],  # no cookie: STUN of 2003
        bytes.fromhex("0001 0004 2112a442" + TRANSACTION + "8022 0008"),  # an attribute that goes beyond the end
        bytes.fromhex("0001 0400 2112a442" + TRANSACTION) + bytes(1024),  # far too long
    ],
)
def test_anything_else_gets_no_answer(datagram: bytes) -> None:
    assert binding_reply(datagram, "192.0.2.1", 1) is None
