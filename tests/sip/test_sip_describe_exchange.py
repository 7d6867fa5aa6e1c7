"""Offer and answer through the life of a session, and the descriptions that devices really send."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from sip_fake_house import KEY, our_answer, our_offer

from gateway.reasons import Reason, Refused
from sip.describe_exchange import Exchange
from sip.sdp import Session, parse
from transcode.media import Codec, Dtls, Fingerprint, MediaDescription, Mid, Role, Setup, StreamDescription, Transport

GOLDEN = Path(__file__).parent / "golden"
HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
AUDIO = b"m=audio 4000 RTP/AVP 0 8\r\n"
VIDEO = b"m=video 4002 RTP/AVP 34\r\n"
DEVICES = sorted(path.name.partition(".")[0] for path in GOLDEN.glob("*.offer.sdp"))


def exchange() -> Exchange:
    return Exchange("203.0.113.1", random.Random(1))


def answer(to: Exchange, offer: bytes) -> Session:
    return parse(to.local_answer(our_answer(to.remote_offer(offer))))


def without(description: MediaDescription, id: str) -> MediaDescription:
    return MediaDescription(tuple(stream for stream in description.streams if stream.id != id))


def changed(description: MediaDescription, id: str, **fields: object) -> MediaDescription:
    streams = tuple(replace(it, **fields) if it.id == id else it for it in description.streams)  # type: ignore[arg-type]
    return replace(description, streams=streams)


# devices


def test_there_are_samples_of_eight_devices() -> None:
    assert len(DEVICES) == 8


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_s_offer_gets_its_golden_answer(device: str) -> None:
    offer = (GOLDEN / f"{device}.offer.sdp").read_bytes()
    to = Exchange("203.0.113.5", random.Random(1))
    said = to.local_answer(our_answer(to.remote_offer(offer))).replace(b"\r\n", b"\n")
    assert said.decode() == (GOLDEN / f"{device}.answer.sdp").read_text()


@pytest.mark.parametrize("device", DEVICES)
def test_an_answer_has_the_offer_s_lines_in_their_order(device: str) -> None:
    offer = (GOLDEN / f"{device}.offer.sdp").read_bytes()
    said = answer(exchange(), offer).media
    asked = parse(offer).media
    assert [(media.kind, media.protocol) for media in said] == [(media.kind, media.protocol) for media in asked]
    for spoken, media in zip(said, asked, strict=True):
        assert set(spoken.formats) <= set(media.formats)
        assert spoken.port == 0 or media.port != 0


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_s_offer_read_as_an_answer_gives_the_same_streams(device: str) -> None:
    offer = (GOLDEN / f"{device}.offer.sdp").read_bytes()
    description = exchange().remote_offer(offer)
    mirror = exchange()
    mirror.local_offer(description)
    said = parse(mirror.local_offer(description))
    alone = set(description.bundle[1:])
    ports = [0 if stream.id in alone else stream.transport.port for stream in description.streams]
    assert [media.port for media in said.media] == ports
    assert [media.has("bundle-only") for media in said.media] == [stream.id in alone for stream in description.streams]


def test_the_slides_of_room_systems_are_told_from_the_main_picture() -> None:
    for device in ("cisco", "polycom"):
        description = exchange().remote_offer((GOLDEN / f"{device}.offer.sdp").read_bytes())
        assert [stream.role for stream in description.streams] == [Role.MAIN, Role.MAIN, Role.SLIDES]


# answers


def test_a_refused_stream_is_answered_with_port_0_and_the_offered_formats() -> None:
    to = exchange()
    description = our_answer(to.remote_offer(HEAD + AUDIO + VIDEO))
    refused = changed(description, "1", receive=(), send=(), transport=Transport(None, 0))
    said = parse(to.local_answer(refused)).media[1]
    assert (said.port, said.formats, said.attributes) == (0, ("34",), ())


def test_a_stream_that_the_house_leaves_out_is_refused() -> None:
    to = exchange()
    said = parse(to.local_answer(without(our_answer(to.remote_offer(HEAD + AUDIO + VIDEO)), "1")))
    assert [media.port for media in said.media] == [40_000, 0]


def test_an_answer_that_refuses_everything_is_a_refusal() -> None:
    to = exchange()
    to.remote_offer(HEAD + AUDIO)
    with pytest.raises(Refused) as caught:
        to.local_answer(MediaDescription(()))
    assert caught.value.reason is Reason.NO_COMMON_FORMAT


def test_a_line_that_the_peer_refused_stays_refused() -> None:
    to = exchange()
    remote = to.remote_offer(HEAD + AUDIO + VIDEO.replace(b"4002", b"0"))
    assert remote.streams[1].refused
    eager = MediaDescription((our_answer(remote).streams[0], replace(our_offer().streams[1], id="1")))
    assert parse(to.local_answer(eager)).media[1].port == 0


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
def test_an_answer_turns_the_direction_round(theirs: str, ours: str) -> None:
    said = answer(exchange(), HEAD + AUDIO + f"a={theirs}\r\n".encode()).media[0]
    assert said.has(ours)
    assert said.formats == ("0", "8")


def test_an_answer_never_sends_what_the_peer_does_not_take() -> None:
    to = exchange()
    remote = to.remote_offer(HEAD + AUDIO + b"a=sendonly\r\n")
    wild = changed(our_answer(remote), "0", send=remote.streams[0].send)
    assert parse(to.local_answer(wild)).media[0].has("recvonly")


def test_the_peer_s_mid_is_returned() -> None:
    to = exchange()
    remote = to.remote_offer(HEAD + AUDIO + b"a=mid:sound\r\n")
    assert remote.streams[0].id == "sound"
    assert parse(to.local_answer(our_answer(remote))).media[0].first("mid") == "sound"


def test_mids_that_repeat_make_different_ids() -> None:
    ids = [
        it.id for it in exchange().remote_offer(HEAD + (AUDIO + b"a=mid:1\r\n") * 3 + AUDIO + b"a=mid:1+\r\n").streams
    ]
    assert len(set(ids)) == 4


def test_the_address_of_the_exchange_stands_in_for_a_missing_one() -> None:
    for missing in (None, "0.0.0.0", "::"):
        to = exchange()
        said = parse(to.local_answer(our_answer(to.remote_offer(HEAD + AUDIO), missing)))
        assert (said.connection, said.origin.address) == ("203.0.113.1", "203.0.113.1")


def test_an_ipv6_address_is_written_as_one() -> None:
    said = Exchange("2001:db8::5", random.Random(1)).local_offer(our_offer(address=None))
    assert b"c=IN IP6 2001:db8::5\r\n" in said


def test_the_peer_s_spelling_of_a_suite_is_returned() -> None:
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ=="
    to = exchange()
    remote = to.remote_offer(
        HEAD + f"m=audio 4000 RTP/SAVP 0\r\na=crypto:5 AES_CM_256_HMAC_SHA1_80 inline:{key}\r\n".encode()
    )
    same = changed(our_answer(remote), "0", transport=replace(remote.streams[0].transport, address="192.0.2.1"))
    assert parse(to.local_answer(same)).media[0].first("crypto") == f"5 AES_CM_256_HMAC_SHA1_80 inline:{key}"


# offers


def test_our_offer_is_on_avp_with_feedback_lines() -> None:
    said = exchange().local_offer(our_offer()).decode()
    assert "m=audio 40000 RTP/AVP 96 9 0 8 101\r\n" in said
    assert "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n" in said
    assert "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n" in said
    assert "m=video 40002 RTP/AVP 97 98 99 100 34 31\r\nb=AS:2000\r\nb=TIAS:2000000\r\n" in said
    assert "a=fmtp:97 profile-level-id=42e01f;packetization-mode=1;max-br=2000\r\na=rtcp-fb:97 nack\r\n" in said
    assert "a=rtpmap:100 H263-1998/90000\r\na=fmtp:100 CIF=1;QCIF=1\r\n" in said
    assert "a=mid" not in said


@pytest.mark.parametrize(
    ("transport", "profile"),
    [
        (Transport("192.0.2.1", 4000), "RTP/AVP"),
        (Transport("192.0.2.1", 4000, feedback=True), "RTP/AVPF"),
        (Transport("192.0.2.1", 4000, keys=(KEY,)), "RTP/SAVP"),
        (Transport("192.0.2.1", 4000, keys=(KEY,), feedback=True), "RTP/SAVPF"),
        (Transport("192.0.2.1", 4000, keys=(KEY,), optional=True), "RTP/AVP"),
        (
            Transport("192.0.2.1", 4000, feedback=True, dtls=Dtls(Setup.ACTPASS, (Fingerprint("sha-256", "AB"),))),
            "UDP/TLS/RTP/SAVPF",
        ),
    ],
)
def test_an_offer_s_profile_follows_its_transport(transport: Transport, profile: str) -> None:
    said = parse(exchange().local_offer(changed(our_offer(video=False), "audio", transport=transport)))
    assert said.media[0].protocol == profile
    assert said.media[0].has("crypto") == bool(transport.keys)


def test_an_answer_to_our_offer_is_told_in_our_ids() -> None:
    to = exchange()
    to.local_offer(our_offer())
    remote = to.remote_answer(HEAD + AUDIO + VIDEO)
    assert [stream.id for stream in remote.streams] == ["audio", "video"]
    assert [format.codec for format in remote.streams[1].receive] == [Codec.H263]


def test_an_answer_that_lacks_lines_refuses_them() -> None:
    to = exchange()
    to.local_offer(our_offer())
    assert [stream.refused for stream in to.remote_answer(HEAD + AUDIO).streams] == [False, True]


def test_an_answer_with_other_kinds_or_more_lines_cannot_confuse() -> None:
    to = exchange()
    to.local_offer(our_offer())
    remote = to.remote_answer(HEAD + AUDIO + AUDIO + VIDEO)
    assert [(stream.id, stream.refused) for stream in remote.streams] == [("audio", False), ("video", True)]


def test_an_answer_without_a_common_format_is_refused() -> None:
    to = exchange()
    to.local_offer(our_offer(video=False))
    with pytest.raises(Refused) as caught:
        to.remote_answer(HEAD + b"m=audio 4000 RTP/AVP 3\r\n")
    assert caught.value.reason is Reason.NO_COMMON_FORMAT


# re-offers


def test_the_version_grows_only_when_something_changes() -> None:
    to = exchange()
    versions = [answer(to, HEAD + AUDIO).origin.version for _ in range(2)]
    versions.append(answer(to, HEAD + AUDIO + b"a=sendonly\r\n").origin.version)
    versions.append(answer(to, HEAD + AUDIO).origin.version)
    assert versions == ["1", "1", "2", "3"]


def test_the_session_id_stays() -> None:
    to = exchange()
    first = answer(to, HEAD + AUDIO).origin.session
    assert parse(to.local_offer(our_answer(to.remote_offer(HEAD + AUDIO)))).origin.session == first


def test_hold_and_resume_keep_ids_and_formats() -> None:
    to = exchange()
    answer(to, HEAD + AUDIO)
    held = to.remote_offer(HEAD + AUDIO + b"a=inactive\r\n")
    assert (held.streams[0].id, held.streams[0].receive, held.streams[0].refused) == ("0", (), False)
    assert parse(to.local_answer(our_answer(held))).media[0].formats == ("0", "8")
    assert to.remote_offer(HEAD + AUDIO).streams[0].receive


def test_video_comes_and_goes() -> None:
    to = exchange()
    assert [media.port for media in answer(to, HEAD + AUDIO).media] == [40_000]
    assert [media.port for media in answer(to, HEAD + AUDIO + VIDEO).media] == [40_000, 40_002]
    assert [media.port for media in answer(to, HEAD + AUDIO + VIDEO.replace(b"4002", b"0")).media] == [40_000, 0]


def test_a_line_that_the_peer_drops_is_told_as_refused() -> None:
    to = exchange()
    answer(to, HEAD + AUDIO + VIDEO)
    remote = to.remote_offer(HEAD + AUDIO)
    assert [stream.refused for stream in remote.streams] == [False, True]
    assert len(parse(to.local_answer(our_answer(remote))).media) == 1


def test_a_place_that_is_used_for_another_kind_gets_another_id() -> None:
    to = exchange()
    answer(to, HEAD + AUDIO + b"m=video 0 RTP/AVP 34\r\n")
    remote = to.remote_offer(HEAD + AUDIO + AUDIO)
    assert remote.streams[0].id == "0"
    assert remote.streams[1].id != "1"


def test_our_re_offer_keeps_the_places_of_the_peer_s_lines() -> None:
    to = exchange()
    answered = our_answer(to.remote_offer(HEAD + b"m=application 5 UDP/BFCP *\r\n" + AUDIO + VIDEO))
    to.local_answer(answered)
    said = parse(to.local_offer(without(answered, "2")))
    assert [(media.kind, media.port) for media in said.media] == [("application", 0), ("audio", 40_000), ("video", 0)]


def test_an_inactive_line_of_ours_still_lists_formats() -> None:
    to = exchange()
    answered = our_answer(to.remote_offer(HEAD + AUDIO))
    to.local_answer(answered)
    said = parse(to.local_offer(changed(answered, "0", receive=(), send=()))).media[0]
    assert (said.port, said.formats, said.has("inactive")) == (40_000, ("0", "8"), True)


def test_a_withdrawn_offer_leaves_the_session_as_it_was() -> None:
    to = exchange()
    answer(to, HEAD + AUDIO)
    to.remote_offer(HEAD + AUDIO + VIDEO + VIDEO)
    to.withdraw()
    assert len(parse(to.local_offer(our_answer(to.remote_offer(HEAD + AUDIO)))).media) == 1


# refusals


@pytest.mark.parametrize("body", [b"", b"nonsense", HEAD, HEAD + AUDIO * 17, b"v=0\r\nm=audio x RTP/AVP 0\r\n"])
def test_nonsense_is_a_bad_description(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        exchange().remote_offer(body)
    assert caught.value.reason is Reason.BAD_DESCRIPTION


@pytest.mark.parametrize(
    "lines", [b"m=audio 4000 RTP/AVP 3\r\n", b"m=application 5 UDP/BFCP *\r\n", b"m=audio 4000 RTP/SAVP 0\r\n"]
)
def test_an_offer_of_nothing_known_has_no_common_format(lines: bytes) -> None:
    to = exchange()
    with pytest.raises(Refused) as caught:
        to.remote_offer(HEAD + lines)
    assert caught.value.reason is Reason.NO_COMMON_FORMAT
    assert to.remote_offer(HEAD + AUDIO).streams[0].id == "0"


def test_an_offer_of_refused_lines_alone_is_answered_so() -> None:
    assert answer(exchange(), HEAD + AUDIO.replace(b"4000", b"0")).media[0].port == 0


def test_broken_offers_raise_refusals_alone() -> None:
    seed = 3264
    chance = random.Random(seed)
    samples = [(GOLDEN / f"{device}.offer.sdp").read_bytes() for device in DEVICES]
    answered = 0
    for _ in range(700):
        text = bytearray(chance.choice(samples))
        for _ in range(chance.randrange(1, 20)):
            text[chance.randrange(len(text))] = chance.choice(b"\r\n =:/;0a\xff")
        to = exchange()
        try:
            remote: MediaDescription = to.remote_offer(bytes(text))
        except Refused:
            continue
        answered += 1
        said = parse(to.local_answer(our_answer(remote)))
        assert len(said.media) == len(parse(bytes(text)).media), f"seed {seed}"
    assert answered > 100, f"seed {seed}"


def test_a_stream_description_of_ours_can_be_read_back() -> None:
    to, peer = exchange(), exchange()
    ours = our_offer()
    heard = peer.remote_offer(to.local_offer(ours))
    for spoken, stream in zip(ours.streams, heard.streams, strict=True):
        assert _essence(spoken) == _essence(stream)


def _essence(stream: StreamDescription) -> tuple[object, ...]:
    return stream.kind, stream.receive, stream.send, stream.transport, stream.role, stream.bandwidth


# bundles, and what is kept of a line

BUNDLE = (
    b"a=group:BUNDLE a v\r\nm=audio 4000 RTP/AVP 0\r\na=mid:a\r\na=rtcp-mux\r\na=label:7\r\na=msid:- x\r\n"
    b"m=video 0 RTP/AVP 34\r\na=mid:v\r\na=bundle-only\r\na=content:main\r\nm=audio 4004 RTP/AVP 0\r\na=mid:z\r\n"
)


def test_an_answer_keeps_mid_content_and_label_and_names_the_bundle() -> None:
    to = exchange()
    description = our_answer(to.remote_offer(HEAD + BUNDLE))
    said = parse(to.local_answer(replace(without(description, "z"), bundle=description.bundle)))
    assert said.all("group") == ["BUNDLE a v"]
    assert [media.first("mid") for media in said.media] == ["a", "v", "z"]
    assert [bool(media.port) for media in said.media] == [True, True, False]
    assert said.media[0].first("label") == "7"
    assert said.media[0].has("msid")
    assert said.media[1].first("content") == "main"
    assert not said.media[1].has("bundle-only")


def test_an_offered_bundle_is_only_bundled_until_it_was_answered() -> None:
    to = exchange()
    shared = MediaDescription(our_answer(exchange().remote_offer(HEAD + AUDIO + VIDEO)).streams, ("0", "1"))
    first = parse(to.local_offer(shared))
    assert [media.port for media in first.media][1] == 0
    assert first.media[1].has("bundle-only")
    answered = to.remote_answer(
        HEAD + b"a=group:BUNDLE 0 1\r\nm=audio 4000 RTP/AVP 0\r\na=mid:0\r\nm=video 4000 RTP/AVP 34\r\na=mid:1\r\n"
    )
    assert answered.bundle == ("0", "1")
    again = parse(to.local_offer(shared))
    assert all(media.port for media in again.media)
    assert not again.media[1].has("bundle-only")


TRANSPORT = {"fingerprint", "setup", "crypto", "ice-ufrag", "ice-pwd", "candidate", "rtcp"}
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
DTLS_BUNDLE = HEAD + (
    b"a=group:BUNDLE s v\r\na=setup:actpass\r\na=fingerprint:sha-256 " + b":".join([b"AB"] * 32) + b"\r\n"
    b"m=video 4002 UDP/TLS/RTP/SAVPF 34\r\na=mid:v\r\na=rtcp-mux\r\na=extmap:7 " + MID.encode() + b"\r\n"
    b"m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\na=mid:s\r\na=rtcp-mux\r\na=extmap:7 " + MID.encode() + b"\r\n"
    b"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=candidate:1 1 udp 1 192.0.2.9 4000 typ host\r\n"
)


def test_of_a_bundle_the_first_line_alone_tells_of_the_transport() -> None:
    to = exchange()
    description = our_answer(to.remote_offer(DTLS_BUNDLE))
    said = parse(to.local_answer(description))
    assert said.all("group") == ["BUNDLE s v"]
    video, sound = said.media
    assert not TRANSPORT & {one.name for one in video.attributes}
    assert {"fingerprint", "setup", "ice-ufrag", "ice-pwd", "candidate"} <= {one.name for one in sound.attributes}
    assert video.has("rtcp-mux")
    assert video.port
    read = exchange().remote_offer(to.local_offer(description))  # a new offer of ours says the same
    assert read.bundle == ("s", "v")
    assert len({(one.transport.dtls, one.transport.ice, one.transport.port) for one in read.streams}) == 1


def test_packets_of_a_bundle_name_their_line_where_both_sides_say_so() -> None:
    to = exchange()
    description = our_answer(to.remote_offer(DTLS_BUNDLE))
    assert [one.mid for one in description.streams] == [Mid("v", 7), Mid("s", 7)]
    said = parse(to.local_answer(description))
    assert [media.all("extmap") for media in said.media] == [[f"7 {MID}"]] * 2
    plain = exchange()
    silent = our_answer(plain.remote_offer(DTLS_BUNDLE.replace(b"a=extmap", b"a=x-map")))
    assert not any(media.has("extmap") for media in parse(plain.local_answer(silent)).media)


@pytest.mark.parametrize(
    ("extmap", "expected"),
    [
        (f"1 {MID}", 1),
        (f"14/sendrecv {MID} with more", 14),
        (f"15 {MID}", None),
        (f"0 {MID}", None),
        (f"3/sendonly {MID}", None),
        (f"4711 {MID}", None),
        ("2 urn:ietf:params:rtp-hdrext:ssrc-audio-level", None),
        ("2", None),
        ("", None),
    ],
)
def test_an_extension_that_cannot_name_lines_is_none(extmap: str, expected: int | None) -> None:
    offer = DTLS_BUNDLE.replace(f"7 {MID}".encode(), extmap.encode())
    mids = [one.mid for one in exchange().remote_offer(offer).streams]
    assert [mid.extension if mid else None for mid in mids] == [expected, expected]


def test_a_line_outside_of_a_bundle_or_with_too_long_a_name_is_not_named() -> None:
    alone = DTLS_BUNDLE.replace(b"BUNDLE s v", b"BUNDLE s")
    assert [one.mid for one in exchange().remote_offer(alone).streams] == [None, Mid("s", 7)]
    long = DTLS_BUNDLE.replace(b"a=mid:v", b"a=mid:" + b"v" * 17).replace(b"BUNDLE s v", b"BUNDLE s " + b"v" * 17)
    assert [one.mid for one in exchange().remote_offer(long).streams] == [None, Mid("s", 7)]


def test_ice_that_was_changed_on_the_way_is_answered_without_it_and_says_so() -> None:
    to = exchange()
    offer = (
        HEAD
        + AUDIO
        + (b"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=candidate:1 1 udp 1 10.0.0.1 4000 typ host\r\n")
    )
    (media,) = answer(to, offer).media
    assert media.has("ice-mismatch")
    assert not media.has("ice-ufrag")


def test_sixteen_lines_of_every_kind_are_answered_one_by_one() -> None:
    lines = [
        b"m=audio 4000 RTP/AVP 0", b"m=video 4002 RTP/AVP 34", b"m=application 4004 UDP/BFCP *",
        b"m=image 4006 udptl t38", b"m=message 4008 TCP/MSRP *", b"m=audio 4010 RTP/XYZ 0",
        b"m=audio 4012 TCP/RTP/AVP 0", b"m=application 4014 UDP/DTLS/SCTP webrtc-datachannel",
        b"m=video 4016 RTP/AVP 125", b"m=hologram 4018 RTP/AVP 96", b"m=control 4020 H323 mc",
        b"m=audio 0 RTP/AVP 0", b"m=data 4022 udp wb", b"m=application 4024 TCP/BFCP *",
        b"m=video 4026 RTP/SAVP 34", b"m=audio 4028 DCCP/TLS/RTP/SAVP 0",
    ]  # fmt: skip
    said = answer(exchange(), HEAD + b"\r\n".join(lines) + b"\r\n")
    assert [media.kind for media in said.media] == [line[2:].split()[0].decode() for line in lines]
    assert [index for index, media in enumerate(said.media) if media.port] == [0, 1]
    with pytest.raises(Refused) as refusal:
        exchange().remote_offer(HEAD + AUDIO * 17)
    assert refusal.value.reason is Reason.BAD_DESCRIPTION
