"""Which streams are encoded for whom: the least that serves every viewer.

Pure: from what viewers take and what they see to encoder keys, and from the running encoders to the wanted ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from transcode.frames import EncodedFrame
from transcode.media import Codec, LegId
from transcode.video.encoder import EncoderKey, bucket, coded_size
from transcode.video.layout import PictureKey
from transcode.video.limits import canonical, fit

MAX_FRAME_RATE = 30
MIN_SIDE = 96
"""Pixels of the smallest side that is sent: sub-QCIF is 128x96; sixteen tiles of less would have no inside."""
MAX_SIDE = 1920
MAX_AREA = 1920 * 1088
"""Pixels of the largest picture that is sent, in any shape."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """What one leg takes: codec, H.264 profile-level-id ("" for others), at most width x height pixels, frame_rate
    pictures/s and bit_rate bit/s; slice_size in octets where the leg takes only packetization mode 0.

    sink is called on the loop thread with each coded picture.
    """

    codec: Codec
    profile: str
    width: int
    height: int
    frame_rate: int
    bit_rate: int
    slice_size: int | None
    sink: Callable[[EncodedFrame], None]


def wanted_streams(viewers: Mapping[LegId, Viewer], views: Mapping[LegId, PictureKey]) -> dict[LegId, EncoderKey]:
    """Return the stream of each viewer that sees something.

    A viewer that needs small NAL units makes all who would share its stream get them: that costs them a few percent
    of the bits, and saves a whole encoder.
    """
    keys = {leg: _key(viewer, views[leg]) for leg, viewer in viewers.items() if leg in views}
    slices: dict[EncoderKey, int] = {}
    for key in keys.values():
        if key.slice_size is not None:
            common = replace(key, slice_size=None)
            slices[common] = min(key.slice_size, slices.get(common, key.slice_size))
    return {
        leg: replace(key, slice_size=slices.get(replace(key, slice_size=None))) if slices else key
        for leg, key in keys.items()
    }


def _key(viewer: Viewer, picture: PictureKey) -> EncoderKey:
    width = max(MIN_SIDE, min(viewer.width, MAX_SIDE))
    height = max(MIN_SIDE, min(viewer.height, MAX_SIDE, MAX_AREA // width))
    rate = max(1, min(viewer.frame_rate, MAX_FRAME_RATE))
    bits = bucket(viewer.bit_rate)
    profile, slice_size = "", None
    if viewer.codec is Codec.H264:
        width, height, rate = fit(viewer.profile, width, height, rate)
        width, height = coded_size(viewer.codec, width, height)
        profile = canonical(viewer.profile, width, height, rate, bits)
        slice_size = viewer.slice_size
    else:
        width, height = coded_size(viewer.codec, width, height)
    return EncoderKey(picture, width, height, rate, viewer.codec, profile, slice_size, bits)


@dataclass(frozen=True, slots=True)
class Move:
    """One wanted stream: the running one that may go over to it, and whether its viewers need a key frame."""

    before: EncoderKey | None
    after: EncoderKey
    key_frame: bool


def moves(running: Mapping[EncoderKey, Collection[LegId]], wanted: Mapping[LegId, EncoderKey]) -> list[Move]:
    """Return how the wanted streams come from the running ones (with their viewers); the unnamed ones are to end.

    The same stream goes on as it is. One that lost its picture or bit rate goes over to a new key, best where most of
    its viewers go. A key frame is needed by whoever did not see the stream before, and by all if its scene changed.
    """
    groups: dict[EncoderKey, set[LegId]] = defaultdict(set)
    for leg, key in wanted.items():
        groups[key].add(leg)
    free = {key: set(legs) for key, legs in running.items() if key not in groups}
    out = []
    for key, legs in groups.items():
        if key in running:
            out.append(Move(key, key, not legs <= set(running[key])))
            continue
        candidates = [old for old in free if old.same_stream(key)]
        old = max(candidates, key=lambda old: len(free[old] & legs), default=None)
        if old is None:
            out.append(Move(None, key, True))
            continue
        out.append(Move(old, key, old.picture.scene != key.picture.scene or not legs <= free.pop(old)))
        free.pop(old, None)
    return out
