"""Browser SDP to media descriptions: what browsers offer, and what nobody should."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway.reasons import Reason, Refused
from gateway.webrtc.describe import parse_candidate, read, write_candidate
from gateway.webrtc.sdp import MAX_SIZE
from transcode.media import Candidate, Codec, Kind, MediaDescription, Role, Setup

SAMPLES = Path(__file__).parent / "samples"
SEED = 20261120

HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
PATH = (
    "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=setup:actpass\r\n"
    f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\n"
)
AUDIO = f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:a\r\na=rtcp-mux\r\n{PATH}"


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.sdp").read_text()


def meaning(text: str) -> MediaDescription:
    return read(text)[1]


def test_chromiums_offer_is_read() -> None:
    description = meaning(sample("chromium"))
    audio, video, data = description.streams
    assert [each.id for each in description.streams] == ["0", "1", "2"]
    assert description.bundle == ("0", "1", "2")
    assert [(each.codec, each.payload_type) for each in audio.receive] == [
        (Codec.OPUS, 111),
        (Codec.G722, 9),
        (Codec.PCMU, 0),
        (Codec.PCMA, 8),
        (Codec.COMFORT_NOISE, 13),
        (Codec.TELEPHONE_EVENT, 110),
        (Codec.TELEPHONE_EVENT, 126),
    ]
    opus = audio.receive[0]
    assert (opus.clock_rate, opus.channels, opus.parameter("useinbandfec")) == (48000, 2, "1")
    assert audio.send == audio.receive
    assert audio.ssrcs == (1619634404,)
    assert audio.cname == "4Yur/opncJSBUriA"
    assert audio.transport.feedback
    assert audio.transport.rtcp_mux
    assert audio.transport.ice is not None
    assert (audio.transport.ice.user, audio.transport.ice.candidates, audio.transport.ice.complete) == (
        "V4NR",
        (),
        False,
    )
    assert audio.transport.dtls is not None
    assert audio.transport.dtls.setup is Setup.ACTPASS
    assert video.kind is Kind.VIDEO
    assert video.role is Role.MAIN
    assert video.ssrcs == (2613555248, 3044033512)
    assert (data.kind, data.transport.sctp_port, data.receive) == (Kind.DATA, 5000, ())


def test_retransmission_is_kept_for_codecs_that_are_known_and_for_no_other() -> None:
    video = meaning(sample("chromium")).streams[1]
    assert [each.payload_type for each in video.receive if each.codec is Codec.VP8] == [96]
    assert [each.payload_type for each in video.receive if each.codec is Codec.H264] == [102, 104, 108, 114, 116, 39]
    rtx = {each.payload_type: each.parameter("apt") for each in video.receive if each.codec is Codec.RTX}
    assert rtx == {97: "96", 103: "102", 107: "104", 109: "108", 115: "114", 117: "116", 40: "39"}


def test_feedback_that_is_not_spoken_here_is_left_out() -> None:
    vp8 = meaning(sample("chromium")).streams[1].receive[0]
    assert vp8.feedback == ("goog-remb", "ccm fir", "nack", "nack pli")


def test_firefoxs_offer_is_read_with_session_level_fingerprint_and_bundle_only() -> None:
    description = meaning(sample("firefox"))
    audio, video = description.streams
    assert not video.refused
    assert audio.transport.dtls == video.transport.dtls
    assert video.receive[0].feedback == ("nack", "ccm fir", "nack pli")
    assert video.receive[0].parameter("max-fs") == "12288"
    assert [each.codec for each in video.receive] == [
        Codec.VP8,
        Codec.RTX,
        Codec.H264,
        Codec.RTX,
        Codec.H264,
        Codec.RTX,
    ]
    events = next(each for each in audio.receive if each.codec is Codec.TELEPHONE_EVENT)
    assert events.parameters == (("", "0-15"),)


@pytest.mark.parametrize(
    ("direction", "sends", "receives"),
    [("sendrecv", True, True), ("sendonly", True, False), ("recvonly", False, True), ("inactive", False, False)],
)
def test_directions_are_told_from_the_side_that_describes(direction: str, sends: bool, receives: bool) -> None:
    stream = meaning(HEAD + AUDIO + f"a={direction}\r\n").streams[0]
    assert (stream.send != (), stream.receive != ()) == (sends, receives)


def test_static_payload_types_need_no_rtpmap() -> None:
    stream = meaning(HEAD + AUDIO).streams[0]
    assert [(each.codec, each.clock_rate) for each in stream.receive] == [(Codec.PCMU, 8000)]


def test_a_second_picture_is_taken_for_slides_unless_it_is_marked_otherwise() -> None:
    video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=rtcp-mux\r\n" + PATH
    roles = [each.role for each in meaning(HEAD + video + video).streams]
    assert roles == [Role.MAIN, Role.SLIDES]
    marked = [each.role for each in meaning(HEAD + video + "a=content:slides\r\n" + video).streams]
    assert marked == [Role.SLIDES, Role.MAIN]


def test_bundled_sections_of_an_answer_share_the_first_ones_transport() -> None:
    rest = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\na=rtpmap:96 VP8/90000\r\na=rtcp-mux\r\n"
    description = meaning(HEAD + "a=group:BUNDLE a v\r\n" + AUDIO + rest)
    assert description.streams[1].transport.ice == description.streams[0].transport.ice
    assert description.streams[1].transport.dtls == description.streams[0].transport.dtls
    with pytest.raises(Refused):
        read(HEAD + AUDIO + rest)


def test_bandwidth_and_packet_time_are_read() -> None:
    stream = meaning(HEAD + AUDIO.replace("a=mid", "b=AS:64\r\na=ptime:20\r\na=mid")).streams[0]
    assert (stream.bandwidth, stream.packet_time) == (64_000, 20)
    stream = meaning(HEAD + AUDIO.replace("a=mid", "b=AS:64\r\nb=TIAS:50000\r\na=mid")).streams[0]
    assert stream.bandwidth == 50_000


def test_candidates_in_the_offer_are_read_and_broken_ones_left_out() -> None:
    lines = (
        "a=candidate:1 1 udp 2122194687 127.0.0.1 44835 typ host generation 0 network-cost 50\r\n"
        "a=candidate:broken\r\n"
        "a=candidate:2 1 UDP 1686052607 203.0.113.5 50000 typ srflx raddr 10.0.0.1 rport 40000\r\n"
        "a=end-of-candidates\r\n"
    )
    ice = meaning(HEAD + AUDIO + lines).streams[0].transport.ice
    assert ice is not None
    assert ice.complete
    assert ice.candidates == (
        Candidate("1", 1, "udp", 2122194687, "127.0.0.1", 44835, "host"),
        Candidate("2", 1, "udp", 1686052607, "203.0.113.5", 50000, "srflx", "10.0.0.1", 40000),
    )


def test_candidates_are_bounded() -> None:
    lines = "".join(f"a=candidate:{n} 1 udp 1 127.0.0.1 {n + 1} typ host\r\n" for n in range(500))
    ice = meaning(HEAD + AUDIO + lines).streams[0].transport.ice
    assert ice is not None
    assert len(ice.candidates) == 64


@pytest.mark.parametrize(
    "text",
    [
        "candidate:241301480 1 udp 2122194687 127.0.0.1 44835 typ host",
        "candidate:1 1 udp 1686052607 203.0.113.5 50000 typ srflx raddr 10.0.0.1 rport 40000",
        "candidate:3 1 tcp 1518288127 ::1 9 typ host tcptype active",
        "candidate:9 1 udp 2122262783 8f7a5b0c-1111-4222-8333-444455556666.local 51710 typ host",
    ],
)
def test_a_candidate_survives_reading_and_writing(text: str) -> None:
    assert write_candidate(parse_candidate(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:1 1 udp 1 127.0.0.1 1 host",
        "candidate:1 1 udp 1 127.0.0.1 70000 typ host",
        "candidate:1 x udp 1 127.0.0.1 1 typ host",
        "candidate:1 1 udp -1 127.0.0.1 1 typ host",
        "candidate:1 1 udp 1 <script> 1 typ host",
        "candidate:1 1 udp 1 127.0.0.1 1 typ host rport x raddr 1.2.3.4",
        "candidate:" + "1" * 600,
        "candidate:1 1 udp ١ 127.0.0.1 1 typ host",
    ],
)
def test_a_candidate_that_makes_no_sense_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"candidate|number"):
        parse_candidate(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "v=1\r\n",
        HEAD + "nonsense\r\n",
        HEAD + "m=audio\r\n",
        HEAD + "m=audio x UDP/TLS/RTP/SAVPF 0\r\n",
        HEAD + "m=audio 99999 UDP/TLS/RTP/SAVPF 0\r\n",
        HEAD + AUDIO.replace("SAVPF 0", "SAVPF 300"),
        HEAD + AUDIO.replace("SAVPF 0", "SAVPF zero"),
        HEAD + AUDIO.replace("a=rtcp-mux\r\n", ""),
        HEAD + AUDIO.replace("a=ice-pwd", "a=x"),
        HEAD + AUDIO.replace("ice-ufrag:abcd", "ice-ufrag:a b"),
        HEAD + AUDIO.replace("0123456789abcdefghijkl", "short"),
        HEAD + AUDIO.replace("a=fingerprint", "a=x"),
        HEAD + AUDIO.replace("AB:AB", "zz"),
        HEAD + AUDIO.replace("actpass", "holdconn"),
        HEAD + AUDIO.replace("c=IN IP4 0.0.0.0", "c=hello"),
        HEAD + AUDIO + AUDIO,
        HEAD + AUDIO.replace("a=mid:a", "a=mid:" + "a" * 100),
        HEAD + AUDIO.replace("a=mid:a", "a=mid:a b"),
        HEAD + AUDIO + "a=ssrc:99999999999 cname:x\r\n",
        HEAD + AUDIO + "a=rtpmap:0 PCMU/fast\r\n",
        HEAD + AUDIO + "b=AS:many\r\n",
        HEAD + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 17,
        HEAD + "a=x\r\n" * 3000,
        HEAD + "a=" + "x" * MAX_SIZE,
        HEAD + "a=x\x00y\r\n",
        HEAD + "m=audio 9 UDP/TLS/RTP/SAVPF " + "0 " * 200 + "\r\n",
    ],
)
def test_nonsense_is_refused_as_a_bad_description(text: str) -> None:
    with pytest.raises(Refused) as refused:
        read(text)
    assert refused.value.reason is Reason.BAD_DESCRIPTION
    assert refused.value.detail


def test_sections_of_an_unknown_kind_are_no_streams() -> None:
    text = HEAD + AUDIO + "m=text 9 RTP/AVP 98\r\na=mid:t\r\nm=audio 9 RTP/AVP 0\r\na=mid:plain\r\n"
    assert [each.id for each in meaning(text).streams] == ["a"]


def test_damaged_offers_are_read_or_refused_and_nothing_else() -> None:
    chance = random.Random(SEED)
    refused = 0
    original = sample("chromium")
    lines = original.splitlines()
    for _ in range(400):
        damaged = list(lines)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(damaged))
            what = chance.randrange(4)
            if what == 0:
                del damaged[at]
            elif what == 1:
                damaged.insert(at, damaged[chance.randrange(len(damaged))])
            elif what == 2:
                line = damaged[at]
                damaged[at] = line[: chance.randrange(len(line) + 1)]
            else:
                line = damaged[at]
                cut = chance.randrange(len(line) + 1)
                damaged[at] = line[:cut] + chr(chance.choice([0, 32, 47, 58, 61, 0xE9, 0x661, 0x1F600])) + line[cut:]
        try:
            read("\r\n".join(damaged))
        except Refused as wrong:
            refused += wrong.reason is Reason.BAD_DESCRIPTION
    assert 0 < refused < 400, f"seed {SEED}"
