"""What the attributes and lines of a session description mean."""

from __future__ import annotations

import base64

import pytest

from sip.describe import describe
from sip.describe_values import (
    read_candidate,
    read_crypto,
    read_feedback,
    read_fingerprint,
    read_parameters,
    read_rtpmap,
    write_candidate,
    write_crypto,
    write_parameters,
    write_rtpmap,
)
from sip.sdp import parse
from transcode.media import Codec, Format, Kind, MediaDescription, Role, Setup, StreamDescription, Suite

HEAD = "v=0\no=- 1 1 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\n"
KEY_30 = base64.b64encode(bytes(range(30))).decode()
KEY_46 = base64.b64encode(bytes(range(46))).decode()


def read(text: str, head: str = HEAD) -> MediaDescription:
    session = parse((head + text).encode())
    return describe(session, [str(index) for index in range(len(session.media))])


def one(text: str, head: str = HEAD) -> StreamDescription:
    return read(text, head).streams[0]


def codecs(stream: StreamDescription) -> list[Codec]:
    return [format.codec for format in stream.receive]


# formats


def test_static_payload_types_need_no_rtpmap() -> None:
    assert codecs(one("m=audio 4000 RTP/AVP 0 4 8 9 13 18 3\n")) == [
        Codec.PCMU,
        Codec.G723,
        Codec.PCMA,
        Codec.G722,
        Codec.COMFORT_NOISE,
        Codec.G729,
    ]
    assert codecs(one("m=video 4000 RTP/AVP 34 31 26\n")) == [Codec.H263, Codec.H261]
    assert one("m=video 4000 RTP/AVP 34\n").receive[0].clock_rate == 90_000


def test_a_bad_rtpmap_costs_its_own_format_only() -> None:
    stream = one(
        "m=audio 4000 RTP/AVP 0 96 97 98 8\na=rtpmap:0 PCMU/8\na=rtpmap:96 opus\na=rtpmap:97\n"
        "a=rtpmap:98 opus/48000/2\na=rtpmap:8 PCMA/-1\n"
    )
    assert [(format.codec, format.payload_type) for format in stream.receive] == [
        (Codec.PCMU, 0),
        (Codec.OPUS, 98),
        (Codec.PCMA, 8),
    ]


def test_names_of_codecs_are_compared_without_case() -> None:
    stream = one("m=video 4000 RTP/AVP 96 97\na=rtpmap:96 h264/90000\na=rtpmap:97 H263-2000/90000\n")
    assert codecs(stream) == [Codec.H264, Codec.H263P]


def test_g722_is_stamped_at_8_khz_whatever_is_written() -> None:
    found = read_rtpmap("9 G722/16000")
    assert found is not None
    assert found.clock_rate == 8_000


def test_opus_always_has_two_channels_in_sdp() -> None:
    found = read_rtpmap("96 opus/48000")
    assert found is not None
    assert found.channels == 2
    assert write_rtpmap(Format(Codec.OPUS, 96, 48_000)) == "96 opus/48000/2"
    assert write_rtpmap(Format(Codec.G722, 9, 8_000)) == "9 G722/8000"


@pytest.mark.parametrize(
    "value", ["", "96", "x opus/48000", "128 opus/48000", "96 opus/8000", "0 PCMU/16000", "96 /", "9 G722/0"]
)
def test_rtpmaps_that_make_no_sense_are_none(value: str) -> None:
    assert read_rtpmap(value) is None


def test_payload_types_that_repeat_or_are_no_numbers_are_left_out() -> None:
    stream = one("m=audio 4000 RTP/AVP 0 0 200 x 8\n")
    assert [format.payload_type for format in stream.receive] == [0, 8]


def test_h264_parameters_keep_their_order_and_values() -> None:
    parameters = read_parameters(
        Codec.H264, "Profile-Level-Id=42e01f; packetization-mode=1;sprop-parameter-sets=Z0I=,aM4=;"
    )
    assert parameters == (
        ("profile-level-id", "42e01f"),
        ("packetization-mode", "1"),
        ("sprop-parameter-sets", "Z0I=,aM4="),
    )
    written = write_parameters(Format(Codec.H264, 96, 90_000, 1, parameters))
    assert written == "profile-level-id=42e01f;packetization-mode=1;sprop-parameter-sets=Z0I=,aM4="


def test_telephone_events_are_a_parameter_without_value() -> None:
    parameters = read_parameters(Codec.TELEPHONE_EVENT, "0-16")
    assert parameters == (("0-16", ""),)
    assert write_parameters(Format(Codec.TELEPHONE_EVENT, 101, 8_000, 1, parameters)) == "0-16"


@pytest.mark.parametrize("text", ["CIF=1;QCIF=2", "cif=1 qcif=2", "CIF=1/QCIF=2", "CIF=1; QCIF=2;"])
def test_picture_sizes_are_read_with_any_separator_and_written_in_capitals(text: str) -> None:
    parameters = read_parameters(Codec.H263, text)
    assert parameters == (("cif", "1"), ("qcif", "2"))
    assert write_parameters(Format(Codec.H263, 34, 90_000, 1, parameters)) == "CIF=1;QCIF=2"


def test_feedback_holds_for_its_format_or_for_all_and_counts_on_avp_too() -> None:
    stream = one(
        "m=video 4000 RTP/AVP 96 97\na=rtpmap:96 H264/90000\na=rtpmap:97 VP8/90000\na=rtcp-fb:* nack pli\n"
        "a=rtcp-fb:96 ccm fir\na=rtcp-fb:97 ccm tmmbr smaxpr=120\na=rtcp-fb:97 nack\n"
    )
    assert [format.feedback for format in stream.receive] == [
        ("nack pli", "ccm fir"),
        ("nack pli", "ccm tmmbr", "nack"),
    ]
    assert not stream.transport.feedback


@pytest.mark.parametrize("value", ["", "96", "nack", "x nack", "300 nack"])
def test_feedback_that_makes_no_sense_is_none(value: str) -> None:
    assert read_feedback(value) is None


# directions and addresses


@pytest.mark.parametrize(
    ("attribute", "receives", "sends"),
    [
        ("", True, True),
        ("a=sendrecv\n", True, True),
        ("a=sendonly\n", False, True),
        ("a=recvonly\n", True, False),
        ("a=inactive\n", False, False),
    ],
)
def test_directions_become_lists_of_formats(attribute: str, receives: bool, sends: bool) -> None:
    stream = one(f"m=audio 4000 RTP/AVP 0\n{attribute}")
    assert (bool(stream.receive), bool(stream.send), stream.refused) == (receives, sends, False)


def test_a_session_s_direction_holds_where_the_line_has_none() -> None:
    description = read("m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 31\na=sendrecv\n", HEAD + "a=sendonly\n")
    assert [bool(stream.receive) for stream in description.streams] == [False, True]


def test_the_zero_address_is_hold() -> None:
    stream = one("m=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0\n")
    assert (stream.receive, bool(stream.send), stream.transport.address, stream.refused) == ((), True, None, False)


def test_the_zero_address_with_ice_is_no_hold() -> None:
    stream = one("m=audio 9 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=ice-ufrag:u\na=ice-pwd:p\n")
    assert stream.receive
    assert stream.transport.ice is not None


def test_rtcp_may_have_a_port_and_address_of_its_own() -> None:
    transport = one("m=audio 4000 RTP/AVP 0\na=rtcp:53020 IN IP4 192.0.2.77\n").transport
    assert (transport.rtcp_port, transport.rtcp_address, transport.rtcp_mux) == (53_020, "192.0.2.77", False)
    assert one("m=audio 4000 RTP/AVP 0\na=rtcp-mux\n").transport.rtcp_mux


def test_a_line_without_any_known_format_is_a_refused_stream() -> None:
    stream = one("m=audio 4000 RTP/AVP 3 101\na=rtpmap:101 telephone-event/8000\n")
    assert stream.refused
    assert stream.receive == ()


def test_other_lines_make_no_stream_but_keep_their_place() -> None:
    description = read(
        "m=application 5 UDP/BFCP *\nm=audio 4000 RTP/AVP 0\nm=image 6 udptl t38\nm=video 4002 RTP/AVP 31\n"
    )
    assert [(stream.id, stream.kind) for stream in description.streams] == [("1", Kind.AUDIO), ("3", Kind.VIDEO)]


def test_a_text_line_is_a_stream_of_text_with_its_redundancy() -> None:
    stream = one("m=text 4000 RTP/AVP 100 98\na=rtpmap:98 t140/1000\na=rtpmap:100 red/1000\na=fmtp:100 98/98/98\n")
    assert stream.kind is Kind.TEXT
    assert stream.receive == (
        Format(Codec.RED, 100, 1000, parameters=(("98/98/98", ""),)),
        Format(Codec.T140, 98, 1000),
    )


@pytest.mark.parametrize(
    "lines",
    [
        "m=text 4000 RTP/AVP 98\n",
        "m=text 4000 RTP/AVP 100\na=rtpmap:100 red/1000\n",
        "m=text 4000 RTP/AVP 98\na=rtpmap:98 t140/8000\n",
        "m=text 4000 TCP/MSRP *\n",
    ],
)
def test_a_text_line_without_text_is_a_refused_stream(lines: str) -> None:
    assert one(lines).refused


def test_redundant_sound_is_unknown_here() -> None:
    stream = one("m=audio 4000 RTP/AVP 63 0\na=rtpmap:63 red/48000/2\na=fmtp:63 111/111\n")
    assert [format.codec for format in stream.receive] == [Codec.PCMU]


def test_an_ipv6_address_is_taken() -> None:
    assert one("m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::7\n").transport.address == "2001:db8::7"


# bandwidth, times, sources, roles


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("b=AS:512\n", 512_000),
        ("b=AS:512\nb=TIAS:500000\n", 500_000),
        ("b=AS:0\n", None),
        ("", None),
        ("b=RR:5\n", None),
    ],
)
def test_bandwidth_is_told_in_bits(lines: str, expected: int | None) -> None:
    assert one(f"m=video 4000 RTP/AVP 31\n{lines}").bandwidth == expected


def test_a_session_s_bandwidth_holds_for_video_only() -> None:
    description = read("m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 31\n", HEAD + "b=AS:1920\n")
    assert [stream.bandwidth for stream in description.streams] == [None, 1_920_000]


@pytest.mark.parametrize(("value", "expected"), [("20", 20), ("20.0", 20), ("0", None), ("5000", None), ("x", None)])
def test_packet_times_are_ms_within_reason(value: str, expected: int | None) -> None:
    assert one(f"m=audio 4000 RTP/AVP 0\na=ptime:{value}\n").packet_time == expected


def test_sources_are_read_once_each() -> None:
    stream = one(
        "m=audio 4000 RTP/AVP 0\na=ssrc:7 cname:me@here\na=ssrc:7 msid:a b\na=ssrc:9 cname:me@here\na=ssrc:x y\n"
    )
    assert (stream.ssrcs, stream.cname) == ((7, 9), "me@here")


def test_slides_are_known_by_content_or_by_their_floor() -> None:
    lines = "".join(
        f"m=video {port} RTP/AVP 31\na={attribute}\n"
        for port, attribute in ((4000, "label:10"), (4002, "label:11"), (4004, "content:slides"))
    )
    assert [stream.role for stream in read(lines).streams] == [Role.MAIN, Role.MAIN, Role.SLIDES]
    for floor in ("a=floorid:2 mstrm:11\n", "a=floorid:2 m-stream:11\n"):
        roles = [stream.role for stream in read(f"{lines}m=application 5 UDP/BFCP *\n{floor}").streams]
        assert roles == [Role.MAIN, Role.SLIDES, Role.SLIDES]


def test_bundled_lines_are_named_by_their_ids() -> None:
    description = read(
        "m=audio 9 RTP/AVP 0\na=mid:a\nm=video 9 RTP/AVP 31\na=mid:v\nm=application 9 X y\na=mid:d\n",
        HEAD + "a=group:LS a v\na=group:BUNDLE a v d a zz\n",
    )
    assert description.bundle == ("0", "1")


# encryption


@pytest.mark.parametrize("info", [KEY_30, f"{KEY_30}|2^20", f"{KEY_30}|1048576", KEY_30.rstrip("=")])
def test_keys_are_read_with_or_without_a_lifetime(info: str) -> None:
    crypto = read_crypto(f"1 AES_CM_128_HMAC_SHA1_80 inline:{info}")
    assert crypto is not None
    assert (crypto.key.tag, crypto.key.suite, crypto.mki) == (1, Suite.AES_CM_128_HMAC_SHA1_80, False)
    assert crypto.key.key + crypto.key.salt == bytes(range(30))
    assert write_crypto(crypto.key) == f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1 AES_CM_128_HMAC_SHA1_80",
        f"x AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}",
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY_30}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_46}",
        "1 AES_CM_128_HMAC_SHA1_80 inline:!!!",
        f"1 AES_CM_128_HMAC_SHA1_80 outline:{KEY_30}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30} UNENCRYPTED_SRTCP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30} UNAUTHENTICATED_SRTP",
    ],
)
def test_keys_that_cannot_be_used_are_none(value: str) -> None:
    assert read_crypto(value) is None


def test_the_old_name_of_the_256_bit_suites_is_known() -> None:
    crypto = read_crypto(f"3 AES_CM_256_HMAC_SHA1_80 inline:{KEY_46}")
    assert crypto is not None
    assert (crypto.key.suite, crypto.name) == (Suite.AES_256_CM_HMAC_SHA1_80, "AES_CM_256_HMAC_SHA1_80")


def test_keys_without_a_key_identifier_come_first() -> None:
    stream = one(
        f"m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|2^31|1:1\n"
        f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY_30}|2^31\n"
    )
    assert [key.tag for key in stream.transport.keys] == [2, 1]
    assert not stream.transport.optional


def test_keys_on_avp_make_encryption_optional() -> None:
    transport = one(f"m=audio 4000 RTP/AVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}\n").transport
    assert transport.optional
    assert len(transport.keys) == 1


def test_a_secure_profile_without_keys_is_refused() -> None:
    assert one("m=audio 4000 RTP/SAVP 0\n").refused
    assert one("m=audio 4000 RTP/SAVP 0\na=crypto:1 NEW_SUITE inline:x\n").refused


def test_each_line_of_a_choice_between_secure_and_plain_is_described() -> None:
    description = read(
        f"m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}\nm=audio 4000 RTP/AVP 0\n"
    )
    assert [bool(stream.transport.keys) for stream in description.streams] == [True, False]


@pytest.mark.parametrize(
    ("profile", "feedback"),
    [("RTP/AVP", False), ("RTP/AVPF", True), ("rtp/avp", False), ("RTP/XAVP", None), ("TCP/RTP/AVP", None)],
)
def test_profiles_tell_of_feedback(profile: str, feedback: bool | None) -> None:
    stream = one(f"m=audio 4000 {profile} 0\n")
    assert (None if stream.refused else stream.transport.feedback) is feedback


def test_fingerprints_hold_for_dtls_profiles_from_the_session_too() -> None:
    pairs = ":".join(["0A"] * 32)
    head = HEAD + f"a=fingerprint:SHA-256 {pairs.lower()}\na=setup:active\n"
    for profile in ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF"):
        dtls = one(f"m=audio 4000 {profile} 0\n", head).transport.dtls
        assert dtls is not None
        assert (dtls.setup, dtls.fingerprints[0].algorithm, dtls.fingerprints[0].value) == (
            Setup.ACTIVE,
            "sha-256",
            pairs,
        )
    open_to_both = one("m=audio 4000 RTP/AVP 0\n", head).transport
    assert open_to_both.dtls is not None
    assert open_to_both.optional
    keyed = one(f"m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}\n", head).transport
    assert keyed.dtls is None
    assert keyed.keys


@pytest.mark.parametrize("value", ["", "sha-256", "sha-256 xx:yy", "sha-256 AB", "sha-256 " + "AB:" * 40])
def test_fingerprints_that_make_no_sense_are_none(value: str) -> None:
    assert read_fingerprint(value) is None


def test_candidates_are_read_and_written_alike() -> None:
    text = "1467250027 1 udp 2122260223 192.0.2.40 46243 typ srflx raddr 10.0.0.1 rport 5000"
    candidate = read_candidate(f"{text} generation 0")
    assert candidate is not None
    assert (candidate.type, candidate.related_port) == ("srflx", 5000)
    assert write_candidate(candidate) == text


@pytest.mark.parametrize(
    "value", ["", "1 1 udp 1 192.0.2.1 5000", "1 x udp 1 192.0.2.1 5000 typ host", "1 1 udp 1 192.0.2.1 70000 typ host"]
)
def test_candidates_that_make_no_sense_are_none(value: str) -> None:
    assert read_candidate(value) is None


# bundles and ICE

SHARED = "a=ice-ufrag:abcd\na=ice-pwd:0123456789abcdefghijkl\na=fingerprint:sha-256 " + ":".join(["0A"] * 32) + "\n"
ALONE = "m=audio 4000 RTP/AVP 0\na=ice-ufrag:abcd\na=ice-pwd:0123456789abcdefghijkl\n"


def test_a_line_of_a_bundle_takes_what_the_first_one_says() -> None:
    head = HEAD + "a=group:BUNDLE a v\n"
    again = "c=IN IP4 0.0.0.0\na=rtcp-mux\na=ice-ufrag:abcd\na=ice-pwd:0123456789abcdefghijkl\n"  # as Chromium answers
    for port, more in ((0, "a=bundle-only\n"), (4000, ""), (4002, ""), (9, again)):
        sound, picture = read(
            f"m=audio 4000 UDP/TLS/RTP/SAVPF 0\na=mid:a\na=rtcp-mux\n{SHARED}"
            f"m=video {port} UDP/TLS/RTP/SAVPF 34\na=mid:v\n{more}",
            head,
        ).streams
        assert picture.transport == sound.transport
        assert picture.receive


def test_a_line_without_port_is_refused_unless_its_bundle_has_one() -> None:
    text = "m=video 0 RTP/AVP 34\na=mid:v\na=bundle-only\n"
    assert one(text).refused
    assert one(text, HEAD + "a=group:BUNDLE v\n").refused


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ("a=candidate:1 1 udp 1 192.0.2.9 4000 typ host\n", True),
        ("a=candidate:1 1 udp 1 192.0.2.9 4001 typ host\n", False),
        ("a=candidate:1 1 udp 1 198.51.100.1 4000 typ host\n", False),
        ("a=candidate:1 1 udp 1 10.0.0.1 4000 typ host\na=candidate:2 1 udp 1 192.0.2.9 4000 typ srflx\n", True),
        ("a=candidate:1 1 udp 1 0f0f.local 4000 typ host\n", True),
        ("a=candidate:1 1 udp 1 10.0.0.1 4 typ host\na=remote-candidates:1 192.0.2.1 40000\n", True),
        ("c=IN IP4 0.0.0.0\na=candidate:1 1 udp 1 10.0.0.1 4000 typ host\n", True),
        ("a=ice-options:trickle\n", True),
        ("a=ice-mismatch\na=candidate:1 1 udp 1 192.0.2.9 4000 typ host\n", False),
    ],
)
def test_ice_holds_only_where_the_default_address_is_a_candidate(lines: str, kept: bool) -> None:
    assert (one(ALONE + lines).transport.ice is not None) is kept


def test_a_lite_peer_is_known_by_the_session() -> None:
    ice = one(ALONE, HEAD + "a=ice-lite\n").transport.ice
    assert ice is not None
    assert ice.lite


def test_the_second_component_is_kept() -> None:
    text = "a=candidate:1 1 udp 2 192.0.2.9 4000 typ host\na=candidate:1 2 udp 1 192.0.2.9 4001 typ host\n"
    ice = one(ALONE + text).transport.ice
    assert ice is not None
    assert [candidate.component for candidate in ice.candidates] == [1, 2]
