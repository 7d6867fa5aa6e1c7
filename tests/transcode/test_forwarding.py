"""Forwarding's cores: numbers that keep gaps and time, what fits whom, and when pictures may flow."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from video_samples import flat

from transcode.forwarding import HOLD_OFF, FrameRelay, HoldOff, PacketRelay, ahead
from transcode.forwarding_fits import packet_fits, picture_fits, sound_fits
from transcode.forwarding_picture import BitRate, PictureForward
from transcode.forwarding_sound import SoundForward
from transcode.frames import EncodedFrame
from transcode.media import Abilities, Codec, Format, Kind, StreamDescription, Transport
from transcode.negotiate import Chosen
from transcode.rtp.packet import RtpPacket

PCMU = Format(Codec.PCMU, 0, 8000)
PCMA = Format(Codec.PCMA, 8, 8000)
OPUS = Format(Codec.OPUS, 111, 48000, 2)
CN = Format(Codec.COMFORT_NOISE, 13, 8000)
EVENT = Format(Codec.TELEPHONE_EVENT, 101, 8000)


def chosen(*formats: Format, packet_time: int | None = None) -> Chosen:
    transport = Transport("127.0.0.1", 4000)
    stream = StreamDescription("0", Kind.AUDIO, formats, formats, transport, packet_time=packet_time)
    return Chosen(stream, formats, formats[0])


def test_numbers_go_on_where_the_receiver_stands_and_keep_gaps_order_and_wraps() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    begin, stamp = chance.randrange(1 << 16), chance.randrange(1 << 32)
    theirs, their_stamp = chance.randrange(1 << 16), chance.randrange(1 << 32)
    relay = PacketRelay(begin, stamp, 0)
    order = list(range(400))
    for at in range(10, 390, 7):
        order[at], order[at + 1] = order[at + 1], order[at]
    lost = set(chance.sample(range(5, 400), 30))
    for place, number in enumerate(one for one in order if one not in lost):
        made = relay.onward((theirs + number) & 0xFFFF, (their_stamp + 160 * number) % (1 << 32), 160, 0)
        assert made == ((begin + number) & 0xFFFF, (stamp + 160 * number) % (1 << 32), place == 0)


def test_numbers_of_a_source_that_begins_anew_follow_the_old_ones() -> None:
    relay = PacketRelay(100, 1000, 0)
    assert relay.onward(7, 70, 160, 0) == (100, 1000, True)
    assert relay.onward(9, 390, 160, 0) == (102, 1320, False)
    assert relay.onward(60000, 5, 160, 1) == (103, 1480, True)
    assert relay.onward(60001, 165, 160, 1) == (104, 1640, False)


def test_packets_that_are_not_forwarded_leave_no_gap() -> None:
    relay = PacketRelay(100, 1000, 0)
    relay.onward(7, 70, 160, 0)
    relay.skip()  # 8
    relay.skip()  # 9
    assert relay.onward(10, 550, 160, 0) == (101, 1480, False)


def test_pictures_keep_their_distance_and_never_go_back() -> None:
    relay = FrameRelay()
    first = relay.onward(4_294_967_000, 10.0, 1)
    assert first == 900_000
    assert relay.onward((4_294_967_000 + 3000) % (1 << 32), 10.2, 1) == first + 3000
    again = relay.onward(77, 10.03, 2)  # another source, whose first picture comes early
    assert ahead(again, first + 3000) > 0


@pytest.mark.parametrize(
    ("source", "target", "fits"),
    [
        ((PCMU,), (PCMU, EVENT), True),
        ((PCMU,), (PCMA,), False),
        ((OPUS,), (replace(OPUS, payload_type=96),), True),
        ((OPUS,), (replace(OPUS, parameters=(("maxaveragebitrate", "16000"),)),), False),
    ],
)
def test_sound_fits_by_what_was_agreed_on(source: tuple[Format, ...], target: tuple[Format, ...], fits: bool) -> None:
    assert sound_fits(chosen(*source), chosen(*target)) is fits
    assert not sound_fits(None, chosen(*target))
    assert not sound_fits(replace(chosen(*source), receive=()), chosen(*target))
    assert not sound_fits(chosen(*source), replace(chosen(*target), send=None))


def test_packets_fit_by_their_length() -> None:
    assert packet_fits(PCMU, None, 160)
    assert packet_fits(PCMU, 30, 240)
    assert not packet_fits(PCMU, None, 240)
    assert not packet_fits(PCMU, 20, 80)
    assert not packet_fits(PCMU, 20, 0)
    assert packet_fits(OPUS, 20, 2880)
    assert not packet_fits(OPUS, 20, 5760)


def sound(number: int, payload_type: int = 0, payload: bytes = b"\xff" * 160) -> RtpPacket:
    return RtpPacket(payload_type, number, 160 * number, 5, payload)


def test_comfort_noise_goes_on_where_it_is_taken_and_events_never() -> None:
    source = chosen(PCMU, CN, EVENT)
    forward = SoundForward(source, chosen(PCMU, CN), PacketRelay(50, 0, 0))
    first = forward.take(sound(1), 160, 0)
    noise = forward.take(sound(2, 13, b"\x40"), 0, 0)
    assert first is not None
    assert noise is not None
    assert (first.sequence, first.marker, noise.sequence, noise.comfort) == (50, True, 51, True)
    assert forward.take(sound(3, 101, bytes.fromhex("050a00a0")), 0, 0) is None
    after = forward.take(sound(4), 160, 0)
    assert after is not None
    assert after.sequence == 52
    assert not forward.unfit


def test_what_a_target_cannot_take_ends_forwarding() -> None:
    for odd, ticks in ((sound(2, 13, b"\x40"), 0), (sound(2, 8), 160), (sound(2, 0, b"\xff" * 240), 240)):
        forward = SoundForward(chosen(PCMU, CN), chosen(PCMU), PacketRelay(50, 0, 0))
        assert forward.take(sound(1), 160, 0) is not None
        assert forward.take(odd, ticks, 0) is None
        assert forward.unfit
    forward = SoundForward(chosen(PCMU), chosen(PCMU), PacketRelay(50, 0, 0))
    assert forward.take(sound(1, 0, b""), 0, 0) is None  # malformed, or of an unknown type: the receiver counts it
    assert forward.take(sound(2, 77), 0, 0) is None
    assert not forward.unfit


def coded(codec: Codec, width: int, height: int, profile: str = "baseline") -> EncodedFrame:
    names = {Codec.H264: "libx264", Codec.VP8: "libvpx", Codec.H263: "h263"}
    coder = cast(VideoCodecContext, av.CodecContext.create(names[codec], "w"))
    coder.width, coder.height, coder.pix_fmt = width, height, "yuv420p"
    coder.time_base, coder.framerate, coder.max_b_frames = Fraction(1001, 30000), Fraction(30000, 1001), 0
    if codec is Codec.H264:
        coder.options = {"preset": "veryfast", "tune": "zerolatency", "profile": profile}
    frame = flat((90, 100, 150), width, height)
    packets = [*coder.encode(frame), *coder.encode(None)]
    return EncodedFrame(codec, bytes(packets[0]), 0, True)


def h264(level: str, **more: str) -> Format:
    return Format(Codec.H264, 96, 90000, parameters=(("profile-level-id", level), *more.items()))


def test_pictures_fit_by_size_profile_and_rate() -> None:
    large, small, main = coded(Codec.H264, 1280, 720), coded(Codec.H264, 352, 288), coded(Codec.H264, 352, 288, "main")
    house = Abilities()
    assert picture_fits(h264("42e01f"), house, large, 30.0)
    assert not picture_fits(h264("42e00d"), house, large, 30.0)
    assert not picture_fits(h264("42e01f"), replace(house, width=640, height=360), large, 30.0)
    assert picture_fits(h264("42e01e"), house, small, 25.0)
    assert not picture_fits(h264("42e00b"), house, small, 30.0)
    assert not picture_fits(h264("42e01f"), house, main, 30.0)
    assert picture_fits(h264("4d001f"), house, main, 30.0)
    assert not picture_fits(h264("42e01f"), house, replace(small, data=b"\0\0\0\1\x65\x88"), 30.0)
    vp8 = coded(Codec.VP8, 640, 352)
    assert picture_fits(Format(Codec.VP8, 97, 90000), house, vp8, 30.0)
    assert not picture_fits(Format(Codec.VP8, 97, 90000, parameters=(("max-fs", "396"),)), house, vp8, 30.0)
    assert not picture_fits(Format(Codec.VP8, 97, 90000, parameters=(("max-fr", "15"),)), house, vp8, 30.0)
    for odd in ("²", "9" * 5000):  # digits, but no numbers
        assert picture_fits(Format(Codec.VP8, 97, 90000, parameters=(("max-fs", odd),)), house, vp8, 30.0)
    h263 = coded(Codec.H263, 352, 288)
    assert picture_fits(Format(Codec.H263, 34, 90000, parameters=(("cif", "1"),)), house, h263, 30.0)
    assert not picture_fits(Format(Codec.H263, 34, 90000, parameters=(("cif", "4"),)), house, h263, 30.0)
    assert not picture_fits(Format(Codec.H263, 34, 90000, parameters=(("qcif", "1"),)), house, h263, 30.0)
    assert not picture_fits(Format(Codec.H263, 34, 90000), house, vp8, 30.0)


def test_pictures_flow_from_a_key_frame_on_and_stop_at_one_that_does_not_fit() -> None:
    suits = [True]
    forward = PictureForward(lambda frame: suits[0])
    key, other = EncodedFrame(Codec.H264, b"k", 9000, True, arrival=1.0), EncodedFrame(Codec.H264, b"p", 12000, False)
    assert forward.take(other, 0) is None
    assert forward.take(replace(key, damaged=True), 0) is None
    assert forward.wants_key
    going = forward.take(key, 0)
    assert going is not None
    assert going.timestamp == 90_000
    assert not forward.wants_key
    after = forward.take(other, 0)
    assert after is not None
    assert after.timestamp == 93_000
    suits[0] = False
    assert forward.take(key, 0) is None
    assert forward.unfit
    assert forward.take(other, 0) is None


def test_too_many_bits_for_too_long_are_noticed() -> None:
    meter, octets = BitRate(), 0
    told = []
    for tick in range(200):
        octets += 5000 if tick >= 50 else 1000  # 400 kbit/s, then 2 Mbit/s
        told.append(meter.exceeds(octets, 1_000_000, tick * 0.02))
    assert not any(told)
    for tick in range(200, 400):
        octets += 5000
        told.append(meter.exceeds(octets, 1_000_000, tick * 0.02))
    assert told[-1]


def test_what_did_not_fit_is_tried_again_ever_later() -> None:
    hold = HoldOff()
    assert not hold.holds(False, 0.0)
    assert hold.holds(True, 1.0)
    assert hold.holds(False, HOLD_OFF)
    assert not hold.holds(False, 1.0 + HOLD_OFF)
    assert hold.holds(True, 30.0)
    assert hold.holds(False, 30.0 + HOLD_OFF + 1)
