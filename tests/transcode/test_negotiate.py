"""Choosing formats and encryption from what a peer describes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.reasons import Reason, Refused
from transcode.media import (
    Abilities,
    Codec,
    Dtls,
    Fingerprint,
    Format,
    Kind,
    MediaDescription,
    Role,
    Setup,
    SrtpKey,
    SrtpPolicy,
    StreamDescription,
    Suite,
    Transport,
    Wanted,
)
from transcode.negotiate import choose, choose_keying, frame_limits
from transcode.offers import keep_numbers, offered_streams

PCMU = Format(Codec.PCMU, 0, 8000)
OPUS = Format(Codec.OPUS, 96, 48000, 2)
G729 = Format(Codec.G729, 18, 8000)
EVENT_8 = Format(Codec.TELEPHONE_EVENT, 101, 8000)
EVENT_48 = Format(Codec.TELEPHONE_EVENT, 102, 48000)
VP8 = Format(Codec.VP8, 100, 90000, feedback=("nack", "nack pli", "transport-cc"))
RTX = Format(Codec.RTX, 110, 90000, parameters=(("apt", "100"),))


def h264(payload_type: int, profile: str, mode: str = "1", **more: str) -> Format:
    parameters = (("profile-level-id", profile), ("packetization-mode", mode), *more.items())
    return Format(Codec.H264, payload_type, 90000, parameters=parameters)


def stream(
    kind: Kind, *formats: Format, sends: bool = True, receives: bool = True, **more: object
) -> StreamDescription:
    transport = more.pop("transport", Transport("127.0.0.1", 4000))
    return StreamDescription(
        more.pop("id", "0"),  # type: ignore[arg-type]
        kind,
        formats if receives else (),
        formats if sends else (),
        transport,  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


def test_sound_follows_the_offerers_order_and_keeps_the_key_press_format() -> None:
    result = choose(MediaDescription((stream(Kind.AUDIO, PCMU, OPUS, EVENT_8, EVENT_48),)), Abilities())[0]
    assert result is not None
    assert result.send == PCMU
    assert [one.codec for one in result.receive] == [Codec.PCMU, Codec.TELEPHONE_EVENT]
    assert result.telephone_event == 101


def test_a_codec_that_we_cannot_send_is_taken_only_if_nothing_else_is_common() -> None:
    first = choose(MediaDescription((stream(Kind.AUDIO, G729, PCMU),)), Abilities())[0]
    assert first is not None
    assert first.send == PCMU
    only = choose(MediaDescription((stream(Kind.AUDIO, G729),)), Abilities())[0]
    assert only is not None
    assert only.send is None
    assert [one.codec for one in only.receive] == [Codec.G729]


def test_g723_is_sent_to_who_knows_nothing_better_and_offered_where_directions_stand_alone() -> None:
    g723 = Format(Codec.G723, 4, 8000)
    first = choose(MediaDescription((stream(Kind.AUDIO, g723, G729, PCMU),)), Abilities())[0]
    assert first is not None
    assert first.send is not None
    assert first.send.codec is Codec.PCMU
    only = choose(MediaDescription((stream(Kind.AUDIO, G729, g723),)), Abilities())[0]
    assert only is not None
    assert only.send == g723
    sound = offered_streams(Wanted(separate=True), Abilities())[0]
    codecs = [one.codec for one in sound.send if one.codec is not Codec.TELEPHONE_EVENT]
    assert codecs[-1] is Codec.G723
    assert Codec.G729 not in codecs
    assert {Codec.G729, Codec.G723} <= {one.codec for one in sound.receive}
    assert g723 not in offered_streams(Wanted(), Abilities())[0].receive


def test_pictures_prefer_constrained_baseline_h264_in_mode_1() -> None:
    offered = (VP8, RTX, h264(98, "64001f"), h264(99, "42e01f", "0"), h264(97, "42e01f"), h264(96, "42001f"))
    result = choose(MediaDescription((stream(Kind.VIDEO, *offered),)), Abilities())[0]
    assert result is not None
    assert result.send is not None
    assert result.send.payload_type == 97


def test_retransmission_goes_with_its_format() -> None:
    result = choose(MediaDescription((stream(Kind.VIDEO, VP8, RTX),)), Abilities())[0]
    assert result is not None
    assert result.rtx == 110
    assert result.rtx_receive == ((110, 100),)
    assert result.receive[0].feedback == ("nack", "nack pli")


def test_hold_stops_what_the_peer_no_longer_takes() -> None:
    held = choose(MediaDescription((stream(Kind.AUDIO, PCMU, receives=False),)), Abilities())[0]
    assert held is not None
    assert held.send is None
    assert held.receive == (PCMU,)
    idle = choose(MediaDescription((stream(Kind.AUDIO, PCMU, receives=False, sends=False),)), Abilities())[0]
    assert idle is not None
    assert not idle.active


def test_an_answer_never_claims_a_higher_level_than_was_offered() -> None:
    low = choose(MediaDescription((stream(Kind.VIDEO, h264(97, "42e00d")),)), Abilities())[0]
    free = choose(
        MediaDescription((stream(Kind.VIDEO, h264(97, "42e00d", **{"level-asymmetry-allowed": "1"})),)), Abilities()
    )[0]
    assert low is not None
    assert free is not None
    assert low.receive[0].parameter("profile-level-id") == "42e00d"
    assert free.receive[0].parameter("profile-level-id") == "42e01f"


def test_a_second_picture_is_refused_and_data_too() -> None:
    description = MediaDescription(
        (
            stream(Kind.AUDIO, PCMU, id="0"),
            stream(Kind.VIDEO, VP8, id="1"),
            stream(Kind.VIDEO, VP8, id="2"),
            stream(Kind.DATA, id="4"),
        )
    )
    assert [one is not None for one in choose(description, Abilities())] == [True, True, False, False]


def test_nothing_in_common_is_refused() -> None:
    speex = Format(Codec.COMFORT_NOISE, 13, 8000)
    with pytest.raises(Refused) as refusal:
        choose(MediaDescription((stream(Kind.AUDIO, speex),)), Abilities())
    assert refusal.value.reason is Reason.NO_COMMON_FORMAT


KEY = SrtpKey(1, Suite.AES_CM_128_HMAC_SHA1_80, bytes(16), bytes(14))
PLAIN = Transport("127.0.0.1", 4000)
SECURE = Transport("127.0.0.1", 4000, keys=(KEY,))
MAYBE = Transport("127.0.0.1", 4000, keys=(KEY,), optional=True)
WITH_DTLS = Transport("127.0.0.1", 4000, dtls=Dtls(Setup.ACTPASS, (Fingerprint("sha-256", "AA"),)))


@pytest.mark.parametrize(
    ("transport", "policy", "outcome"),
    [
        (PLAIN, SrtpPolicy.OFF, None),
        (PLAIN, SrtpPolicy.PREFER, None),
        (PLAIN, SrtpPolicy.REQUIRE, Reason.ENCRYPTION_NEEDED),
        (SECURE, SrtpPolicy.OFF, Reason.ENCRYPTION_UNSUPPORTED),
        (SECURE, SrtpPolicy.PREFER, KEY),
        (SECURE, SrtpPolicy.REQUIRE, KEY),
        (MAYBE, SrtpPolicy.OFF, None),
        (MAYBE, SrtpPolicy.PREFER, KEY),
        (MAYBE, SrtpPolicy.REQUIRE, KEY),
        (WITH_DTLS, SrtpPolicy.PREFER, WITH_DTLS.dtls),
        (WITH_DTLS, SrtpPolicy.REQUIRE, WITH_DTLS.dtls),
        (WITH_DTLS, SrtpPolicy.OFF, Reason.ENCRYPTION_UNSUPPORTED),
        (replace(WITH_DTLS, optional=True), SrtpPolicy.OFF, None),
    ],
)
def test_encryption_is_taken_refused_or_left_as_the_policy_says(
    transport: Transport, policy: SrtpPolicy, outcome: Reason | SrtpKey | Dtls | None
) -> None:
    one = stream(Kind.AUDIO, PCMU, transport=transport)
    if isinstance(outcome, Reason):
        with pytest.raises(Refused) as refusal:
            choose_keying(one, policy)
        assert refusal.value.reason is outcome
    else:
        assert choose_keying(one, policy) == outcome


@pytest.mark.parametrize(
    ("format", "limits"),
    [
        (h264(97, "42e01f"), (1280, 720, 30)),
        (h264(97, "42e01e"), (640, 360, 30)),
        (h264(97, "42e00d"), (352, 288, 30)),
        (h264(97, "42e00a"), (176, 144, 15)),
        (h264(97, "42e00d", **{"max-mbps": "108000", "max-fs": "3600"}), (1280, 720, 30)),
        (h264(97, "nonsense"), (176, 144, 15)),
        (Format(Codec.H263, 34, 90000, parameters=(("cif", "2"),)), (352, 288, 15)),
        (Format(Codec.H261, 31, 90000, parameters=(("qcif", "1"),)), (176, 144, 30)),
        (VP8, (1280, 720, 30)),
    ],
)
def test_a_peer_gets_no_more_than_it_can_take(format: Format, limits: tuple[int, int, int]) -> None:
    assert frame_limits(format, Abilities()) == limits


def test_slides_are_a_second_video_and_never_sound() -> None:
    def described(id: str, kind: Kind, format: Format, role: Role) -> StreamDescription:
        return StreamDescription(id, kind, (format,), (format,), Transport("192.0.2.1", 4000), role)

    h264, pcmu = Format(Codec.H264, 97, 90000), Format(Codec.PCMU, 0, 8000)
    offer = MediaDescription(
        (
            described("0", Kind.AUDIO, pcmu, Role.MAIN),
            described("1", Kind.VIDEO, h264, Role.MAIN),
            described("2", Kind.VIDEO, h264, Role.SLIDES),
            described("3", Kind.VIDEO, h264, Role.SLIDES),
            described("4", Kind.AUDIO, pcmu, Role.SLIDES),
        )
    )
    assert [one is not None for one in choose(offer, Abilities())] == [True, True, True, False, False]
    assert [one is not None for one in choose(offer, Abilities(slides=False))] == [True, True, False, False, False]


def test_key_presses_that_are_listed_over_and_over_leave_numbers_for_our_own_formats() -> None:
    every = tuple(replace(EVENT_8, payload_type=number) for number in range(96, 128))
    chosen = choose(MediaDescription((stream(Kind.AUDIO, PCMU, *every),)), Abilities())[0]
    assert chosen is not None
    assert chosen.described == (PCMU, every[0])
    ours = keep_numbers(offered_streams(Wanted(), Abilities())[0], (PCMU, *every[:25]))
    numbers = [one.payload_type for one in ours.receive]
    assert len(set(numbers)) == len(numbers)


def test_formats_that_no_stream_of_a_kind_can_have_are_not_spoken() -> None:
    odd = (replace(PCMU, payload_type=128), replace(PCMU, clock_rate=0), h264(96, "42e01f"))
    for formats in (odd, (EVENT_8,)):
        with pytest.raises(Refused):
            choose(MediaDescription((stream(Kind.AUDIO, *formats),)), Abilities())
    chosen = choose(MediaDescription((stream(Kind.AUDIO, *odd, PCMU),)), Abilities())[0]
    assert chosen is not None
    assert chosen.described == (PCMU,)
