"""Session descriptions as text."""

from __future__ import annotations

import random

import pytest

from sip.sdp import MAX_LENGTH, MAX_LINES, MAX_MEDIA, Attribute, SdpError, dump, parse

# v=0 / o=- 1 2 IN IP4 192.0.2.1 / s=- / c=IN IP4 192.0.2.1 / t=0 0 / m=audio 4000 RTP/AVP 0, each with CR LF
VALID = bytes.fromhex(
    "76 3d 30 0d 0a"  # v=0
    "6f 3d 2d 20 31 20 32 20 49 4e 20 49 50 34 20 31 39 32 2e 30 2e 32 2e 31 0d 0a"  # o=- 1 2 IN IP4 192.0.2.1
    "73 3d 2d 0d 0a"  # s=-
    "63 3d 49 4e 20 49 50 34 20 31 39 32 2e 30 2e 32 2e 31 0d 0a"  # c=IN IP4 192.0.2.1
    "74 3d 30 20 30 0d 0a"  # t=0 0
    "6d 3d 61 75 64 69 6f 20 34 30 30 30 20 52 54 50 2f 41 56 50 20 30 0d 0a"  # m=audio 4000 RTP/AVP 0
)
# the same with a port that is none: m=audio 70000 RTP/AVP 0
INVALID = VALID.replace(bytes.fromhex("34 30 30 30"), bytes.fromhex("37 30 30 30 30"))


def test_a_description_is_read_and_written_octet_for_octet() -> None:
    session = parse(VALID)
    assert (session.origin.version, session.connection, session.media[0].port) == ("2", "192.0.2.1", 4000)
    assert dump(session) == VALID


def test_a_port_beyond_65535_is_no_description() -> None:
    with pytest.raises(SdpError, match="port"):
        parse(INVALID)


def test_bare_line_feeds_blank_lines_and_indents_are_taken() -> None:
    text = VALID.replace(b"\r\n", b"\n").replace(b"t=0 0\n", b"\n  t=0 0\n\n")
    assert dump(parse(text)) == VALID


@pytest.mark.parametrize(
    "missing", [b"o=- 1 2 IN IP4 192.0.2.1\r\n", b"s=-\r\n", b"t=0 0\r\n", b"c=IN IP4 192.0.2.1\r\n"]
)
def test_a_missing_line_costs_nothing_else(missing: bytes) -> None:
    assert parse(VALID.replace(missing, b"")).media[0].formats == ("0",)


def test_unknown_lines_are_kept() -> None:
    session = parse(VALID + b"k=clear:x\r\na=quite:new\r\ny=?\r\n")
    assert session.media[0].extra == (("k", "clear:x"), ("y", "?"))
    assert session.media[0].attributes == (Attribute("quite", "new"),)
    assert parse(dump(session)) == session


def test_flags_and_values_are_told_apart() -> None:
    media = parse(VALID + b"a=rtcp-mux\r\na=ptime:20\r\na=empty:\r\n").media[0]
    assert (media.first("rtcp-mux"), media.first("ptime"), media.first("empty"), media.first("none")) == (
        "",
        "20",
        "",
        None,
    )
    assert media.has("rtcp-mux")
    assert not media.has("none")


def test_a_medium_s_own_address_goes_before_the_session_s() -> None:
    session = parse(VALID + b"c=IN IP6 2001:db8::1\r\nm=video 5000/2 RTP/AVP 31\r\n")
    assert [session.address(media) for media in session.media] == ["2001:db8::1", "192.0.2.1"]
    assert session.media[1].ports == 2
    assert b"c=IN IP6 2001:db8::1\r\n" in dump(session)
    assert b"m=video 5000/2 RTP/AVP 31" in dump(session)


def test_a_multicast_address_loses_its_ttl() -> None:
    assert parse(VALID.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 233.252.0.1/127/3")).connection == "233.252.0.1"


def test_bandwidths_that_cannot_be_read_are_kept_as_lines() -> None:
    media = parse(VALID + b"b=AS:64\r\nb=TIAS:64000\r\nb=AS:lots\r\n").media[0]
    assert media.bandwidths == (("AS", 64), ("TIAS", 64000))
    assert media.extra == (("b", "AS:lots"),)


@pytest.mark.parametrize(
    "text", [b"", b"hello", b"\r\n\r\n", b"m=audio 1 RTP/AVP 0\r\n", b"v=1\r\n", b"v=0\r\nm=audio\r\n"]
)
def test_what_is_no_description_is_refused(text: bytes) -> None:
    with pytest.raises(SdpError):
        parse(text)


def test_too_much_is_refused() -> None:
    with pytest.raises(SdpError, match="octets"):
        parse(VALID + b"a=x\r\n" * (MAX_LENGTH // 4))
    with pytest.raises(SdpError, match="lines"):
        parse(VALID + b"a=x\n" * MAX_LINES)
    with pytest.raises(SdpError, match="m= lines"):
        parse(VALID + b"m=audio 4000 RTP/AVP 0\r\n" * MAX_MEDIA)
    parse(VALID + b"m=audio 4000 RTP/AVP 0\r\n" * (MAX_MEDIA - 1))


def test_broken_text_raises_nothing_but_its_own_error() -> None:
    seed = 4566
    chance = random.Random(seed)
    for _ in range(2_000):
        text = bytearray(VALID + b"a=rtpmap:96 H264/90000\r\nb=AS:64\r\n")
        for _ in range(chance.randrange(1, 8)):
            text[chance.randrange(len(text))] = chance.randrange(256)
        try:
            session = parse(bytes(text[: chance.randrange(len(text))]))
        except SdpError:
            continue
        assert parse(dump(session)) == parse(dump(parse(dump(session)))), f"seed {seed}"
