"""What the encoders make goes into packets and comes out of them whole."""

from __future__ import annotations

import pytest
from video_samples import Screen, key, moving

from transcode.frames import EncodedFrame
from transcode.media import Codec, Format
from transcode.payload.formats import MTU, depacketizer, packetizer
from transcode.video.encoder import Encoder

FORMATS = [
    (Format(Codec.H264, 96, 90_000, parameters=(("packetization-mode", "1"),)), None, 2_048_000),
    (Format(Codec.H264, 96, 90_000, parameters=(("packetization-mode", "0"),)), MTU, 2_048_000),
    (Format(Codec.VP8, 96, 90_000), None, 2_048_000),
    (Format(Codec.H263, 34, 90_000), None, 768_000),
    (Format(Codec.H263P, 96, 90_000), None, 768_000),
    (Format(Codec.H261, 31, 90_000), None, 768_000),
]


@pytest.mark.parametrize(("format", "slice_size", "bit_rate"), FORMATS)
def test_every_picture_survives_its_payload_format(format: Format, slice_size: int | None, bit_rate: int) -> None:
    encoder = Encoder(key(format.codec, 352, 288, slice_size=slice_size, bit_rate=bit_rate))
    sender, receiver, screen = packetizer(format), depacketizer(format), Screen()
    for number in range(12):
        frame = encoder.encode(moving(number, 352, 288), number / 30, number in (0, 6))
        assert frame is not None
        packets = sender.packets(frame)
        assert packets
        assert max(len(payload) for payload, _ in packets) <= MTU
        assert [marker for _, marker in packets] == [False] * (len(packets) - 1) + [True]
        made = receiver.assemble([payload for payload, _ in packets])
        assert made.key == frame.key
        assert not made.damaged
        screen(EncodedFrame(format.codec, made.data, frame.timestamp, made.key))
    assert sender.refused == 0
    assert screen.last is not None
    seen = screen.last.reformat(format="gray").to_ndarray().astype(int)
    assert abs(seen - moving(11, 352, 288).reformat(format="gray").to_ndarray().astype(int)).mean() < 12
