"""VideoCapability of H.245 and the picture formats of the house (H.245 §B.2.2.7, H.241 §8, RFC 6184, RFC 4629).

H.264 is told by H.241: a profile as a bit, a level as a code of its own, and limits above the level in units. In the
house's `Format` the same stands in the names of RFC 6184. Bit rates are in 100 bit/s on the wire.
"""

from __future__ import annotations

from typing import Any

from h323.h245.parameters import read_collapsed
from transcode.media import Codec, Format
from transcode.payload import h264_profile

Capability = tuple[str, Any]

H264 = "0.0.8.241.0.0.1"
"""H.264 as a generic capability (H.241 §8.3.2)."""
SINGLE_NAL = "0.0.8.241.0.0.0.0"
"""Packetization: a NAL unit a packet (H.241 Annex A)."""
NON_INTERLEAVED = "0.0.8.241.0.0.0.1"
"""Packetization: RFC 3984's non-interleaved mode (H.241 §7.1)."""
PROFILE, LEVEL, MAX_MBPS, MAX_FS = 41, 42, 3, 4
"""Parameters of H.241 Table 8-x: profile and level, and what a receiver takes beyond its level."""
MBPS_UNIT, FS_UNIT = 500, 256
"""Units of the two: macroblocks/s, macroblocks."""
RATE_UNIT = 100
"""bit/s in one unit of maxBitRate (H.245 §B.2.2.7)."""
MAX_RATE = 192_400
BASELINE, MAIN, EXTENDED, HIGH = 64, 32, 16, 8
"""Bits of the profile's booleanArray; the highest is bit 7 of an octet that H.241 numbers from 1."""
_LEVELS = {
    15: 10,
    19: 9,
    22: 11,
    29: 12,
    36: 13,
    43: 20,
    50: 21,
    57: 22,
    64: 30,
    71: 31,
    78: 32,
    85: 40,
    92: 41,
    99: 42,
    106: 50,
    113: 51,
}
"""H.241's level codes, as ten times the level (9 is 1b)."""
_CODES = {level: code for code, level in _LEVELS.items()}
_PROFILES = ((BASELINE, "42e0"), (MAIN, "4d00"), (HIGH, "6400"))
"""Which profile is taken of several, the most shared first, and how profile-level-id begins then.

Baseline is written as constrained: nobody's terminals send slices in any order, and decoders do not take them."""
_OLD_SIZES = (("cif4", "cif4MPI"), ("cif", "cifMPI"), ("qcif", "qcifMPI"))
PAYLOAD_TYPES = {Codec.H261: 31, Codec.H263: 34}
"""Static payload types (RFC 3551 §6)."""


def write_video(format: Format, bandwidth: int | None) -> Capability | None:
    """Return the capability of a format; bandwidth in bit/s. None for one that H.245 has no name for here."""
    units = max(1, min((bandwidth or 1_920_000) // RATE_UNIT, MAX_RATE))
    if format.codec is Codec.H264:
        return ("genericVideoCapability", _write_h264(format, units))
    if format.codec in (Codec.H263, Codec.H263P):
        return ("h263VideoCapability", _write_h263(format, units))
    if format.codec is Codec.H261:
        sizes = {"qcifMPI": 1, "cifMPI": 1}
        flags = {"temporalSpatialTradeOffCapability": False, "stillImageTransmission": False, "videoBadMBsCap": False}
        return ("h261VideoCapability", {**sizes, **flags, "maxBitRate": min(units, 19_200)})
    return None


def _write_h263(format: Format, units: int) -> dict[str, Any]:
    return {
        "qcifMPI": 1,
        "cifMPI": 1,
        "maxBitRate": units,
        "unrestrictedVector": False,
        "arithmeticCoding": False,
        "advancedPrediction": False,
        "pbFrames": False,
        "temporalSpatialTradeOffCapability": False,
        "errorCompensation": False,
    }


def _write_h264(format: Format, units: int) -> dict[str, Any]:
    known = h264_profile.profile_level(format)
    profile = {0x42: BASELINE, 0x4D: MAIN, 0x64: HIGH, 0x58: EXTENDED}.get(known.idc, BASELINE)
    parameters = [
        _parameter(PROFILE, "booleanArray", profile),
        _parameter(LEVEL, "unsignedMin", _code(known.level)),
    ]
    for name, number, unit in (("max-mbps", MAX_MBPS, MBPS_UNIT), ("max-fs", MAX_FS, FS_UNIT)):
        given = format.parameter(name)
        if given.isascii() and given.isdigit():
            parameters.append(_parameter(number, "unsignedMin", min(-(-int(given) // unit), 65_535)))
    return {"capabilityIdentifier": ("standard", H264), "maxBitRate": units, "collapsing": parameters}


def one_profile(capability: Capability, format: Format) -> Capability:
    """Return a peer's capability as the data type of a channel: of H.264's profiles the one that is sent, for a channel
    names one alone (H.241 §8.3.2)."""
    name, value = capability
    if name == "extendedVideoCapability":
        inside = [one_profile(one, format) for one in value["videoCapability"]]
        return (name, {**value, "videoCapability": inside})
    if name != "genericVideoCapability" or format.codec is not Codec.H264:
        return capability
    bit = next((bit for bit, begin in _PROFILES if format.parameter("profile-level-id")[:2] == begin[:2]), BASELINE)
    listed = [
        _parameter(PROFILE, "booleanArray", bit) if one["parameterIdentifier"] == ("standard", PROFILE) else one
        for one in value.get("collapsing") or ()
    ]
    return (name, {**value, "collapsing": listed} if listed else value)


def _code(level: int) -> int:
    """Return H.241's code of the highest level that it has and that is not above."""
    return _CODES[max((one for one in _CODES if one <= max(level, 9)), key=lambda one: (one != 9, one))]


def _parameter(number: int, kind: str, value: Any) -> dict[str, Any]:
    return {"parameterIdentifier": ("standard", number), "parameterValue": (kind, value)}


def read_video(capability: Capability, packetization: frozenset[str] = frozenset()) -> Format | None:
    """Return the format that a capability or a channel's data type means; None for one that is not spoken here.

    packetization are those that go with it, as object identifiers and RFC numbers. The payload type is the static
    one, or 96 where the codec has none.
    """
    name, value = capability
    if name == "genericVideoCapability":
        if value["capabilityIdentifier"] != ("standard", H264):
            return None
        return _read_h264(value, packetization)
    if name == "h263VideoCapability":
        sizes = tuple((size, str(value[key])) for size, key in _OLD_SIZES if value.get(key))
        modern = "4629" in packetization or "2429" in packetization
        codec = Codec.H263P if modern and "2190" not in packetization else Codec.H263
        return Format(codec, PAYLOAD_TYPES.get(codec, 96), 90_000, parameters=sizes)
    if name == "h261VideoCapability":
        sizes = tuple((size, str(value[key])) for size, key in _OLD_SIZES[1:] if value.get(key))
        return Format(Codec.H261, PAYLOAD_TYPES[Codec.H261], 90_000, parameters=sizes)
    return None


def _read_h264(value: dict[str, Any], packetization: frozenset[str]) -> Format | None:
    given = read_collapsed(value)
    bits = given.get(PROFILE, BASELINE)
    begin = next((text for bit, text in _PROFILES if bits & bit), None)
    if begin is None:
        return None
    level = _LEVELS[max((code for code in _LEVELS if code <= given.get(LEVEL, 15)), default=15)]
    if level == h264_profile.LEVEL_1B:
        begin, level = begin[:2] + "f0", 11  # level 1b is written as 1.1 with a flag (H.264 §A.3.1)
    mode = "1" if NON_INTERLEAVED in packetization else "0"
    parameters = [("profile-level-id", f"{begin}{level:02x}"), ("packetization-mode", mode)]
    for name, number, unit in (("max-mbps", MAX_MBPS, MBPS_UNIT), ("max-fs", MAX_FS, FS_UNIT)):
        if given.get(number):
            parameters.append((name, str(given[number] * unit)))
    return Format(Codec.H264, 96, 90_000, parameters=tuple(parameters))


def bandwidth_of(capability: Capability) -> int | None:
    """Return the bit/s that a capability takes; None if it does not say."""
    value = capability[1]
    rate = value.get("maxBitRate") if isinstance(value, dict) else None
    return None if not rate else int(rate) * RATE_UNIT
