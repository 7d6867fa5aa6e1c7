"""Encrypted slides: the second picture of H.239 gets keys of its own (H.235.6), both ways."""

from __future__ import annotations

import pytest
from test_h235 import agreed, opened
from test_h239_slides import local

from h323.describe.capabilities import read_capabilities, write_capabilities
from h323.describe.channels import read_answer, read_request
from h323.h235.capabilities import secure
from h323.messages import Kind, decode, encode
from h323.sessions import Sessions
from transcode.media import H235Cipher, Role

CIPHERS = (H235Cipher.AES_256_CBC, H235Cipher.AES_128_CBC)


def ends() -> tuple[Sessions, Sessions]:
    """The sessions of a master and a slave that take slides and encrypt."""
    master, slave = Sessions(local(4000), "192.0.2.1"), Sessions(local(5000), "192.0.2.2")
    master.security.security, slave.security.security = agreed()
    master.security.master = True
    for one in (master, slave):
        one.take_abilities(read_capabilities(secure(write_capabilities(local(6000)), CIPHERS)))
    return master, slave


@pytest.mark.parametrize("by_master", [True, False], ids=["by the master", "by the slave"])
def test_slides_are_encrypted_with_a_key_of_their_own(by_master: bool) -> None:
    master, slave = ends()
    opened(master, slave, False)
    opened(slave, master, True)
    opener, taker = (master, slave) if by_master else (slave, master)
    opening = opener.slides_opening(by_master)
    assert opening is not None
    assert opening.cipher is H235Cipher.AES_256_CBC
    opener.opened(opening, 9)
    request = {"forwardLogicalChannelNumber": 9, **opening.request}
    kind, (name, carried) = decode(Kind.H245, encode(Kind.H245, ("request", ("openLogicalChannel", request))))
    facts = read_request(carried)
    assert (kind, name, facts.role) == ("request", "openLogicalChannel", Role.SLIDES)
    answer = taker.offered(facts, not by_master)
    assert isinstance(answer, dict), answer
    assert opener.answered(9, read_answer(answer))
    sent = opener.remote().streams[2].transport.h235
    taken = taker.remote().streams[2].transport.h235
    assert sent is not None
    assert taken is not None
    assert sent.receive is not None
    assert sent.receive == taken.send
    people = opener.remote().streams[1].transport.h235
    assert people is not None
    assert people.receive is not None
    assert people.receive.key != sent.receive.key


def test_clear_slides_are_refused_in_an_encrypted_call() -> None:
    master, _ = ends()
    clear = Sessions(local(7000), "192.0.2.3")
    clear.take_abilities(read_capabilities(write_capabilities(local(6000))))
    opening = clear.slides_opening(False)
    assert opening is not None
    facts = read_request({"forwardLogicalChannelNumber": 9, **opening.request})
    assert master.offered(facts, True) == "securityDenied"
