"""Whether what one leg sends suits another one as it is, by what was agreed on with both. Pure."""

from __future__ import annotations

from transcode.audio import opus
from transcode.audio.streams import packet_time
from transcode.frames import EncodedFrame
from transcode.media import Abilities, Codec, Format
from transcode.negotiate import Chosen, is_number
from transcode.payload import h264_profile
from transcode.payload.formats import picture_size
from transcode.payload.h264_profile import ProfileLevel
from transcode.payload.h264_sps import NAL_SPS, parse_sps, split_annexb

CIF, QCIF = (352, 288), (176, 144)
USUAL_RATE = 30.0
"""Pictures a second that are assumed of a source while its rate is unknown."""
SLACK = 1.2
"""Factor by which a measured picture rate may exceed a limit: timestamps tell it only roughly."""


def same_codec(source: Chosen | None, target: Chosen | None) -> bool:
    """Whether the format that comes from one is the one that goes to the other, clock and channels included."""
    if source is None or target is None or not source.receive or target.send is None:
        return False
    came, goes = source.receive[0], target.send
    return (came.codec, came.clock_rate) == (goes.codec, goes.clock_rate)


def sound_fits(source: Chosen | None, target: Chosen | None) -> bool:
    """Whether sound may go on uncoded: one codec, and no limit of the receiver's that its sender was not told."""
    if not same_codec(source, target):
        return False
    assert target is not None
    assert target.send is not None
    return target.send.codec is not Codec.OPUS or not target.send.parameter("maxaveragebitrate")


def packet_fits(format: Format, wish: int | None, ticks: int) -> bool:
    """Whether a packet of so many ticks is as long as a receiver wants; wish is in ms, None where it said nothing.

    Opus goes at any length up to 60 ms: what its packets hold they say themselves.
    """
    if not ticks:
        return False
    if format.codec is Codec.OPUS:
        return ticks <= opus.RATE * 60 // 1000
    return ticks == packet_time(format, max(20, wish or 20)) * format.clock_rate // 1000


def picture_fits(format: Format, abilities: Abilities, frame: EncodedFrame, rate: float) -> bool:
    """Whether a key frame, and what follows it, can be shown by who takes a format; rate in pictures/s, 0 unknown."""
    size = picture_size(frame.codec, frame.data)
    if size is None or frame.codec is not format.codec:
        return False
    if size[0] * size[1] > abilities.width * abilities.height or max(size) > max(abilities.width, abilities.height):
        return False
    rate = rate or USUAL_RATE
    if format.codec is Codec.H264:
        return _h264_fits(format, frame.data, size, rate)
    if format.codec is Codec.VP8:
        blocks, most = (size[0] + 15) // 16 * ((size[1] + 15) // 16), format.parameter("max-fs")
        fast = format.parameter("max-fr")
        return (not is_number(most) or blocks <= int(most)) and (not is_number(fast) or rate <= int(fast) * SLACK)
    return _fixed_fits(format, size, rate)


def _fixed_fits(format: Format, size: tuple[int, int], rate: float) -> bool:
    """Whether a picture of H.261 or H.263 has a size and rate that were agreed on (RFC 4629 §8.1.1)."""
    known = {CIF: "cif", QCIF: "qcif"}.get(size)
    if known is None:
        return False
    interval = format.parameter(known)
    if not is_number(interval) or not int(interval):
        return not format.parameter("cif") and not format.parameter("qcif")
    return rate <= SLACK * 30 / int(interval)


def _h264_fits(format: Format, data: bytes, size: tuple[int, int], rate: float) -> bool:
    sets = [nal for nal in split_annexb(data) if nal and nal[0] & 0x1F == NAL_SPS]
    if not sets:
        return False
    try:
        sps = parse_sps(sets[-1])
    except ValueError:
        return False
    given, sent = h264_profile.profile_level(format), ProfileLevel(sps.profile, sps.constraints, sps.level)
    raised = bool(format.parameter("max-fs") or format.parameter("max-mbps"))
    if not given.takes(sent) or not (raised or given.level_reaches(sent)):
        return False
    return h264_profile.limits(format).frame_rate(*size) * SLACK >= rate
