"""Offers and answers with a browser: order of lines, refusals, versions, glare."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription

from gateway.reasons import Reason, Refused
from gateway.webrtc.describe import read
from gateway.webrtc.negotiation import Negotiation, Turn
from transcode.media import (
    Candidate,
    Codec,
    Dtls,
    Fingerprint,
    Format,
    Ice,
    Kind,
    MediaDescription,
    Role,
    Setup,
    StreamDescription,
    Transport,
)

SAMPLES = Path(__file__).parent / "samples"
DTLS = Dtls(Setup.ACTIVE, (Fingerprint("sha-256", ":".join(["CD"] * 32)),))
ICE = Ice("wxyz", "abcdefghijklmnopqrstuv", (Candidate("7", 1, "udp", 99, "192.0.2.1", 40000, "host"),), complete=True)
PATH = Transport(None, 9, rtcp_mux=True, feedback=True, dtls=DTLS, ice=ICE)
OPUS = Format(Codec.OPUS, 111, 48000, 2, (("minptime", "10"), ("useinbandfec", "1")))
H264 = Format(
    Codec.H264,
    108,
    90000,
    1,
    (("level-asymmetry-allowed", "1"), ("packetization-mode", "1"), ("profile-level-id", "42e01f")),
    ("goog-remb", "ccm fir", "nack", "nack pli"),
)
RTX = Format(Codec.RTX, 109, 90000, 1, (("apt", "108"),))


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.sdp").read_text()


def stream(id: str, kind: Kind, *formats: Format, **more: object) -> StreamDescription:
    return replace(StreamDescription(id, kind, formats, formats, PATH), **more)


def chosen() -> MediaDescription:
    return MediaDescription(
        (
            stream("0", Kind.AUDIO, OPUS, ssrcs=(1,), cname="room", packet_time=20),
            stream("1", Kind.VIDEO, H264, RTX, ssrcs=(2, 3), cname="room", bandwidth=1_500_000),
            StreamDescription("2", Kind.DATA, (), (), Transport(None, 0)),
        ),
        ("0", "1"),
    )


def test_an_answer_reads_back_as_what_was_answered() -> None:
    negotiation = Negotiation(5)
    negotiation.offered(sample("chromium"))
    text = negotiation.answer(chosen())
    back = read(text)[1]
    audio, video, data = back.streams
    assert audio.receive == audio.send == (OPUS,)
    assert video.receive == video.send == (H264, RTX)
    assert video.bandwidth == 1_500_000
    assert video.ssrcs == (2, 3)
    assert audio.packet_time == 20
    assert audio.transport.ice == ICE
    assert audio.transport.dtls == DTLS
    assert data.refused
    assert back.bundle == ("0", "1")


def test_an_answer_is_what_another_implementation_reads() -> None:
    negotiation = Negotiation(5)
    negotiation.offered(sample("chromium"))
    parsed = SessionDescription.parse(negotiation.answer(chosen()))
    assert [(each.kind, each.rtp.muxId, each.direction) for each in parsed.media] == [
        ("audio", "0", "sendrecv"),
        ("video", "1", "sendrecv"),
        ("application", "2", "inactive"),
    ]
    video = parsed.media[1]
    assert [str(each) for each in video.rtp.codecs] == ["H264/90000", "rtx/90000"]
    assert video.ssrc_group[0].items == [2, 3]
    assert video.ice_candidates_complete
    assert parsed.group[0].items == ["0", "1"]


def test_lines_keep_the_order_of_the_offer_and_unknown_ones_are_refused() -> None:
    offer = sample("chromium").replace("m=audio", "m=text 9 RTP/AVP 98\nc=IN IP4 0.0.0.0\na=mid:t\nm=audio", 1)
    negotiation = Negotiation(5)
    negotiation.offered(offer)
    text = negotiation.answer(chosen())
    assert re.findall(r"^m=(\S+ \S+)", text, re.MULTILINE) == ["text 0", "audio 9", "video 9", "application 0"]
    assert re.findall(r"^a=mid:(\S+)", text, re.MULTILINE) == ["t", "0", "1", "2"]
    assert text.count("\r\n") == len(text.splitlines())


def test_header_extensions_simulcast_and_transport_wide_feedback_are_not_answered() -> None:
    negotiation = Negotiation(5)
    negotiation.offered(sample("firefox"))
    text = negotiation.answer(chosen())
    for absent in ("extmap", "simulcast", "a=rid", "transport-cc"):
        assert absent not in text


def test_reduced_size_rtcp_is_answered_where_it_was_offered() -> None:
    negotiation = Negotiation(5)
    negotiation.offered(sample("firefox"))
    sections = negotiation.answer(chosen()).split("m=")
    assert "a=rtcp-rsize" not in sections[1]
    assert "a=rtcp-rsize" in sections[2]


def test_opus_always_asks_for_error_correction_in_band() -> None:
    negotiation = Negotiation(5)
    negotiation.offered(sample("chromium"))
    plain = replace(chosen(), streams=(stream("0", Kind.AUDIO, replace(OPUS, parameters=())),))
    assert "a=fmtp:111 useinbandfec=1" in negotiation.answer(plain)


def test_directions_are_written() -> None:
    negotiation = Negotiation(5)
    for send, receive, expected in (
        ((OPUS,), (), "sendonly"),
        ((), (OPUS,), "recvonly"),
        ((), (), "inactive"),
        ((OPUS,), (OPUS,), "sendrecv"),
    ):
        negotiation.offered(sample("chromium"))
        local = MediaDescription((stream("0", Kind.AUDIO, send=send, receive=receive),), ("0",))
        assert f"a={expected}" in negotiation.answer(local).split("m=")[1].splitlines()


def test_sound_and_picture_of_one_role_share_a_media_stream() -> None:
    negotiation = Negotiation(5)
    negotiation.offered(sample("chromium"))
    text = negotiation.answer(chosen())
    assert re.findall(r"^a=msid:(.*)$", text, re.MULTILINE) == ["main main-audio\r", "main main-video\r"]


def test_the_version_grows_and_the_session_stays() -> None:
    negotiation = Negotiation(5)
    versions = []
    for _ in range(3):
        negotiation.offered(sample("chromium"))
        versions += re.findall(r"^o=- 5 (\d+) ", negotiation.answer(chosen()), re.MULTILINE)
    assert versions == ["1", "2", "3"]


def test_our_offer_and_its_answer() -> None:
    ours, theirs = Negotiation(1), Negotiation(2)
    slides = stream("2", Kind.VIDEO, H264, role=Role.SLIDES)
    wanted = MediaDescription((stream("0", Kind.AUDIO, OPUS), stream("1", Kind.VIDEO, H264), slides), ("0", "1", "2"))
    seen = theirs.offered(ours.offer(wanted))
    assert [each.role for each in seen.streams] == [Role.MAIN, Role.MAIN, Role.SLIDES]
    answer = theirs.answer(replace(seen, streams=tuple(replace(each, role=Role.MAIN) for each in seen.streams)))
    got = ours.answered(answer)
    assert [each.role for each in got.streams] == [Role.MAIN, Role.MAIN, Role.SLIDES]
    assert (ours.turn, theirs.turn) == (Turn.IDLE, Turn.IDLE)


def test_our_later_offer_keeps_the_browsers_lines_and_adds_ours_at_the_end() -> None:
    negotiation = Negotiation(5)
    negotiation.offered(sample("chromium"))
    negotiation.answer(chosen())
    more = replace(
        chosen(), streams=(*chosen().streams, stream("9", Kind.VIDEO, H264, role=Role.SLIDES)), bundle=("0", "1", "9")
    )
    text = negotiation.offer(more)
    assert re.findall(r"^a=mid:(\S+)", text, re.MULTILINE) == ["0", "1", "2", "9"]
    assert "a=group:BUNDLE 0 1 9" in text


def test_both_offering_at_once_is_glare() -> None:
    negotiation = Negotiation(5)
    negotiation.offer(chosen())
    with pytest.raises(Refused) as refused:
        negotiation.offered(sample("chromium"))
    assert refused.value.reason is Reason.GLARE
    negotiation.withdraw()
    negotiation.offered(sample("chromium"))
    with pytest.raises(Refused) as refused:
        negotiation.offer(chosen())
    assert refused.value.reason is Reason.GLARE


def test_an_answer_without_an_offer_is_a_bad_request() -> None:
    with pytest.raises(Refused) as refused:
        Negotiation(5).answered(sample("chromium"))
    assert refused.value.reason is Reason.BAD_REQUEST


def test_an_answer_with_other_lines_is_a_bad_description() -> None:
    negotiation = Negotiation(5)
    negotiation.offer(MediaDescription((stream("0", Kind.AUDIO, OPUS),), ("0",)))
    with pytest.raises(Refused) as refused:
        negotiation.answered(sample("chromium"))
    assert refused.value.reason is Reason.BAD_DESCRIPTION


def test_an_offer_that_drops_a_line_is_a_bad_description() -> None:
    negotiation = Negotiation(5)
    negotiation.offered(sample("chromium"))
    negotiation.answer(chosen())
    with pytest.raises(Refused) as refused:
        negotiation.offered(sample("firefox"))
    assert refused.value.reason is Reason.BAD_DESCRIPTION
    assert negotiation.turn is Turn.IDLE


def test_an_accepted_data_stream_is_answered() -> None:
    negotiation = Negotiation(5)
    negotiation.offered(sample("chromium"))
    data = StreamDescription("2", Kind.DATA, (), (), replace(PATH, sctp_port=5000))
    text = negotiation.answer(replace(chosen(), streams=(*chosen().streams[:2], data), bundle=("0", "1", "2")))
    assert "m=application 9 UDP/DTLS/SCTP webrtc-datachannel" in text
    assert "a=sctp-port:5000" in text
    assert "a=group:BUNDLE 0 1 2" in text
