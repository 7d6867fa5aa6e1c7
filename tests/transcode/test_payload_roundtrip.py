"""Real frames of every codec: packetised, disturbed on the way, put together, decoded."""

from __future__ import annotations

import random

import numpy as np
import pytest
from payload_streams import decode, encode, format_of, shuffled, to_rtp

from transcode.frames import EncodedFrame
from transcode.media import Codec, Format
from transcode.payload.formats import depacketizer, packetizer, picture_size
from transcode.payload.frames import FrameBuffer
from transcode.payload.h264_sps import split_annexb
from transcode.payload.interface import MTU
from transcode.rtp.packet import RtpPacket

SEED = 4587
MODE0 = (("slice-max-size", "1200"),)
STREAMS = [
    pytest.param(format_of(Codec.H264, packetization_mode="1"), (), id="h264-mode-1"),
    pytest.param(format_of(Codec.H264, packetization_mode="0"), MODE0, id="h264-mode-0"),
    pytest.param(format_of(Codec.VP8), (), id="vp8"),
    pytest.param(format_of(Codec.H263), (), id="h263"),
    pytest.param(format_of(Codec.H263P), (), id="h263-1998"),
    pytest.param(format_of(Codec.H261), (), id="h261"),
]


def run(buffer: FrameBuffer, packets: list[RtpPacket], spacing: float = 0.001) -> list[EncodedFrame]:
    """Push packets with this spacing in seconds, then let all times run out."""
    now, frames = 10.0, []
    for packet in packets:
        frames += buffer.push(packet, now)
        now += spacing
    return frames + buffer.poll(now + 1.0) + buffer.poll(now + 2.0)


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("format", "options"), STREAMS)
def test_frames_come_back_whole_from_reordered_and_doubled_packets(
    format: Format, options: tuple[tuple[str, str], ...]
) -> None:
    sent = encode(format.codec, options=options)
    packets = to_rtp(packetizer(format), sent)
    assert len(packets) > 2 * len(sent)
    assert max(len(packet.payload) for packet in packets) <= MTU
    buffer = FrameBuffer(depacketizer(format))
    got = run(buffer, shuffled(packets, SEED))
    assert [frame.key for frame in got] == [True] + [False] * (len(sent) - 1)
    assert not any(frame.damaged for frame in got)
    assert same(decode(format.codec, got), decode(format.codec, sent))
    counters = buffer.counters()
    assert counters["doubled"] + counters["late"] > 0
    assert counters["lost"] == 0
    assert not buffer.needs_key_frame


@pytest.mark.parametrize(("format", "options"), STREAMS)
def test_in_order_every_frame_leaves_with_its_last_packet(format: Format, options: tuple[tuple[str, str], ...]) -> None:
    sent = encode(format.codec, options=options)
    buffer = FrameBuffer(depacketizer(format))
    now = 10.0
    ready_with = []
    for packet in to_rtp(packetizer(format), sent):
        frames = buffer.push(packet, now)
        ready_with += [(frame.timestamp, packet.timestamp, packet.marker) for frame in frames]
    believed = ready_with[9:]
    assert believed
    assert all(frame == packet and marker for frame, packet, marker in believed)


@pytest.mark.parametrize(("format", "options"), STREAMS)
def test_the_picture_recovers_at_the_key_frame_after_random_loss(
    format: Format, options: tuple[tuple[str, str], ...]
) -> None:
    extra = (*options, ("forced-idr", "1")) if format.codec is Codec.H264 else options
    sent = encode(format.codec, count=24, options=extra, key_every=12)
    assert [index for index, frame in enumerate(sent) if frame.key] == [0, 12]
    packets = to_rtp(packetizer(format), sent)
    rng = random.Random(SEED)
    key_stamps = {packet.timestamp for packet in packets if packet.timestamp in _stamps(packets, (0, 12))}
    lossy = [packet for packet in packets if packet.timestamp in key_stamps or rng.random() > 0.05]
    assert len(lossy) < len(packets)
    buffer = FrameBuffer(depacketizer(format))
    got = run(buffer, lossy)
    assert buffer.lost == len(packets) - len(lossy)
    assert any(frame.key and not frame.damaged for frame in got[1:])
    if not depacketizer(format).tolerant:
        assert not any(frame.damaged for frame in got)
    assert len(decode(format.codec, got)) >= len(got) - 2


def _stamps(packets: list[RtpPacket], indices: tuple[int, ...]) -> set[int]:
    ordered = list(dict.fromkeys(packet.timestamp for packet in packets))
    return {ordered[index] for index in indices}


@pytest.mark.parametrize("codec", [Codec.H261, Codec.H263, Codec.H263P])
def test_a_damaged_picture_of_an_old_codec_still_shows_what_came(codec: Codec) -> None:
    sent = encode(codec, count=1)
    packets = to_rtp(packetizer(format_of(codec)), sent)
    lost = packets[len(packets) // 2]
    buffer = FrameBuffer(depacketizer(format_of(codec)))
    (got,) = run(buffer, [packet for packet in packets if packet is not lost])
    assert got.damaged
    assert buffer.needs_key_frame
    (whole,), (holed,) = decode(codec, sent), decode(codec, [got])
    rows = np.abs(whole.astype(int) - holed.astype(int)).reshape(18, 16, 352).mean(axis=(1, 2))
    assert (rows < 1).sum() >= 9, rows.round(1)


@pytest.mark.parametrize(
    ("codec", "options"), [(codec, ()) for codec in (Codec.H264, Codec.VP8, Codec.H263, Codec.H263P, Codec.H261)]
)
def test_the_size_is_read_from_the_coded_key_frame(codec: Codec, options: tuple[tuple[str, str], ...]) -> None:
    assert picture_size(codec, encode(codec, options=options)[0].data) == (352, 288)


def test_h261_is_cut_between_macroblocks_where_a_group_exceeds_the_packet() -> None:
    sent = encode(Codec.H261, count=6, bit_rate=6_000_000, options=(("qmin", "2"), ("qmax", "3")))
    packets = to_rtp(packetizer(format_of(Codec.H261), mtu=400), sent)
    inside = [packet for packet in packets if packet.payload[1] & 0xF0]
    assert inside
    assert max(len(packet.payload) for packet in packets) <= 400
    got = run(FrameBuffer(depacketizer(format_of(Codec.H261))), shuffled(packets, SEED))
    assert same(decode(Codec.H261, got), decode(Codec.H261, sent))


def test_h264_mode_0_refuses_a_slice_above_the_packet_size() -> None:
    sent = encode(Codec.H264)
    sender = packetizer(format_of(Codec.H264, packetization_mode="0"))
    assert max(map(len, split_annexb(sent[0].data))) > MTU
    assert sender.packets(sent[0]) == []
    assert sender.refused == 1


@pytest.mark.parametrize(("width", "height"), [(128, 96), (176, 144), (352, 288), (704, 576)])
@pytest.mark.parametrize("headers", ["1", "0"])
def test_h263_is_cut_between_macroblocks_where_a_group_exceeds_the_packet(
    width: int, height: int, headers: str
) -> None:
    sent = encode(Codec.H263, width, height, count=6, options=(("ps", headers),))
    packets = to_rtp(packetizer(format_of(Codec.H263), mtu=600), sent)
    inside = [packet for packet in packets if packet.payload[0] & 0x80]
    assert inside
    assert max(len(packet.payload) for packet in packets) <= 600
    got = run(FrameBuffer(depacketizer(format_of(Codec.H263))), shuffled(packets, SEED))
    assert same(decode(Codec.H263, got), decode(Codec.H263, sent))


@pytest.mark.parametrize(("format", "options"), STREAMS)
def test_flipped_and_cut_payloads_are_counted_and_harmless(
    format: Format, options: tuple[tuple[str, str], ...]
) -> None:
    rng = random.Random(SEED)
    packets = to_rtp(packetizer(format), encode(format.codec, options=options))
    for packet in packets:
        if rng.random() < 0.3:
            body = bytearray(packet.payload[: rng.randrange(len(packet.payload) + 1)])
            for _ in range(4):
                if body:
                    body[rng.randrange(min(len(body), 16))] = rng.randrange(256)
            packet.payload = bytes(body)
    buffer = FrameBuffer(depacketizer(format))
    run(buffer, packets)
    assert sum(buffer.counters().values()) > 0


def test_what_is_no_video_has_no_payload_format_here() -> None:
    for make in (depacketizer, packetizer):
        with pytest.raises(ValueError, match="no video"):
            make(format_of(Codec.OPUS))
    assert picture_size(Codec.OPUS, b"") is None
