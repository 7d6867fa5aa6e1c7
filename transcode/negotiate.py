"""Choosing formats and encryption: from the peer's description and our abilities to what is spoken. Pure.

One codec is chosen for each stream and direction, with the telephone-event, comfort noise and retransmission formats
that go with it: room systems are known to trip over answers with several codecs. Sound follows the offerer's order
(RFC 3264 §6.1); pictures follow ours, because one H.264 encode can serve everybody at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.reasons import Reason, Refused
from transcode.media import (
    Abilities,
    Codec,
    Format,
    Kind,
    MediaDescription,
    Role,
    SrtpKey,
    SrtpPolicy,
    StreamDescription,
    Suite,
)

FEEDBACK = ("nack", "nack pli", "ccm fir", "ccm tmmbr", "goog-remb")
"""What we understand and may ask for on video streams."""

_COMPANIONS = frozenset({Codec.TELEPHONE_EVENT, Codec.COMFORT_NOISE, Codec.RTX})
_ENCODABLE = frozenset(
    {Codec.PCMU, Codec.PCMA, Codec.G722, Codec.OPUS, Codec.H264, Codec.VP8, Codec.H263P, Codec.H263, Codec.H261}
)
"""What we can send; the rest (G.729, G.723.1) is only received."""

MAX_LEVEL = 0x1F
"""H.264 level 3.1: 720p30, what we ask for at 720p (Table A-1)."""
MAX_LEVEL_1080 = 0x28
"""H.264 level 4.0: 1080p30."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one stream speaks: formats that we receive, the one that we send, and its companions.

    telephone_event and rtx are payload types of the sending direction, None where the peer takes none; rtx_receive
    maps a retransmission payload type to the one that it repeats.
    """

    stream: StreamDescription
    receive: tuple[Format, ...]
    send: Format | None
    telephone_event: int | None = None
    rtx: int | None = None
    rtx_receive: tuple[tuple[int, int], ...] = ()

    @property
    def active(self) -> bool:
        """Whether the stream is taken at all."""
        return bool(self.receive) or self.send is not None


def choose(remote: MediaDescription, abilities: Abilities) -> tuple[Chosen | None, ...]:
    """Choose for each stream of an offer, in order; None refuses a stream.

    Raises Refused with NO_COMMON_FORMAT if no stream is left of those that the peer wanted.
    """
    chosen: list[Chosen | None] = []
    taken: set[Kind] = set()
    wanted = False
    for stream in remote.streams:
        usable = not stream.refused and stream.role is Role.MAIN and stream.kind is not Kind.DATA
        wanted = wanted or usable
        one = _choose_stream(stream, abilities) if usable and stream.kind not in taken else None
        if one is not None:
            taken.add(stream.kind)
        chosen.append(one)
    if wanted and not taken:
        raise Refused(Reason.NO_COMMON_FORMAT)
    return tuple(chosen)


def _choose_stream(stream: StreamDescription, abilities: Abilities) -> Chosen | None:
    listed = stream.receive or stream.send
    if not listed:  # inactive in both directions: the line stays, nothing flows
        return Chosen(stream, (), None)
    main = best(listed, stream.kind, abilities)
    if main is None:
        return None
    both = tuple(
        [_ours(main, abilities)] + [one for one in listed if one.codec in _COMPANIONS and _goes_with(one, main)]
    )
    send = main if stream.receive and main.codec in _ENCODABLE else None
    receive = both if stream.send else ()
    return Chosen(
        stream,
        receive,
        send,
        telephone_event=_first(both, Codec.TELEPHONE_EVENT) if stream.receive else None,
        rtx=_first(both, Codec.RTX) if stream.receive else None,
        rtx_receive=tuple((one.payload_type, main.payload_type) for one in both if one.codec is Codec.RTX),
    )


def best(formats: tuple[Format, ...], kind: Kind, abilities: Abilities) -> Format | None:
    """Return the format to speak of those that the peer takes; None if none is common."""
    if kind is Kind.AUDIO:
        common = [one for one in formats if one.codec in abilities.audio and one.codec not in _COMPANIONS]
        encodable = [one for one in common if one.codec in _ENCODABLE]
        return next(iter(encodable + common), None)
    ranked = [
        (abilities.video.index(one.codec), _h264_rank(one), order)
        for order, one in enumerate(formats)
        if one.codec in abilities.video
    ]
    return formats[min(ranked)[2]] if ranked else None


def _h264_rank(format: Format) -> int:
    """Rank H.264 variants: non-interleaved before single NAL, constrained baseline first, for it is most shared."""
    if format.codec is not Codec.H264:
        return 0
    profile = format.parameter("profile-level-id", "42000a").lower()
    mode = format.parameter("packetization-mode", "0")
    if mode not in ("0", "1"):
        return 1_000  # interleaved mode is not spoken
    rank = 0 if mode == "1" else 100
    if profile[:2] == "42":
        constrained = int(profile[2:4] or "0", 16) & 0x40 if _is_hex(profile) else 0
        return rank + (0 if constrained else 1)
    return rank + (10 if profile[:2] in ("4d", "64") else 20)


def _is_hex(text: str) -> bool:
    return len(text) == 6 and all(digit in "0123456789abcdef" for digit in text)


def _goes_with(companion: Format, main: Format) -> bool:
    if companion.codec is Codec.RTX:
        return companion.parameter("apt") == str(main.payload_type)
    if companion.codec is Codec.TELEPHONE_EVENT:
        # RFC 4733 §2.1 asks for the clock rate of the sound; phones with one entry at 8 kHz beside Opus exist.
        return companion.clock_rate == main.clock_rate or companion.clock_rate == 8000
    return companion.clock_rate == main.clock_rate


def _first(formats: tuple[Format, ...], codec: Codec) -> int | None:
    return next((one.payload_type for one in formats if one.codec is codec), None)


def _ours(format: Format, abilities: Abilities) -> Format:
    """Return the peer's format with the parameters that we answer with."""
    feedback = tuple(value for value in format.feedback if value in FEEDBACK)
    if format.codec is Codec.H264:
        asymmetric = (("level-asymmetry-allowed", "1"),) if format.parameter("level-asymmetry-allowed") == "1" else ()
        parameters = (
            *asymmetric,
            ("profile-level-id", _answer_level(format, abilities)),
            ("packetization-mode", format.parameter("packetization-mode", "0")),
        )
        return replace(format, parameters=parameters, feedback=feedback)
    if format.codec is Codec.OPUS:
        return replace(format, parameters=(("useinbandfec", "1"),), feedback=())
    if format.codec in (Codec.H263, Codec.H263P, Codec.H261):
        return replace(format, parameters=_sizes(format), feedback=feedback)
    return replace(format, feedback=feedback)


def _answer_level(format: Format, abilities: Abilities) -> str:
    """Return the answer's profile-level-id: the offered profile; a level that both hold (RFC 6184 §8.2.2)."""
    offered = format.parameter("profile-level-id", "42000a").lower()
    if not _is_hex(offered):
        offered = "42000a"
    ours = MAX_LEVEL_1080 if abilities.height > 720 else MAX_LEVEL
    level = ours
    if format.parameter("level-asymmetry-allowed") != "1":
        level = min(ours, int(offered[4:], 16))
    return f"{offered[:4]}{level:02x}"


def _sizes(format: Format) -> tuple[tuple[str, str], ...]:
    kept = tuple((name, value) for name, value in format.parameters if name in ("cif", "qcif"))
    return kept or (("cif", "1"), ("qcif", "1"))


def choose_key(
    stream: StreamDescription, policy: SrtpPolicy, supported: frozenset[Suite] = frozenset(Suite)
) -> SrtpKey | None:
    """Return the key line that we take of an offer; None means that media go in clear.

    Raises Refused with ENCRYPTION_NEEDED (policy require, nothing offered) or ENCRYPTION_UNSUPPORTED (demanded, but
    turned off here or with suites that we do not have). RFC 4568 §5.1.2, RFC 8643 §3.
    """
    transport = stream.transport
    demanded = (bool(transport.keys) and not transport.optional) or transport.dtls is not None
    if policy is SrtpPolicy.OFF:
        if demanded:
            raise Refused(Reason.ENCRYPTION_UNSUPPORTED, "encryption is turned off here")
        return None
    for key in transport.keys:
        if key.suite in supported:
            return key
    if demanded:
        raise Refused(Reason.ENCRYPTION_UNSUPPORTED)
    if policy is SrtpPolicy.REQUIRE:
        raise Refused(Reason.ENCRYPTION_NEEDED)
    return None


def frame_limits(format: Format, abilities: Abilities) -> tuple[int, int, int]:
    """Return width, height and frame rate of what may be sent in a format, within our abilities."""
    width, height, rate = abilities.width, abilities.height, abilities.frame_rate
    if format.codec is Codec.H264:
        return _within_level(format, width, height, rate)
    if format.codec in (Codec.H263, Codec.H263P, Codec.H261):
        interval = format.parameter("cif") or ("1" if not format.parameter("qcif") else "")
        size = (352, 288) if interval else (176, 144)
        interval = interval or format.parameter("qcif", "1")
        divisor = int(interval) if interval.isdigit() and 1 <= int(interval) <= 32 else 1
        return (*size, max(1, min(rate, 30 // divisor)))
    most = format.parameter("max-fs")  # VP8, RFC 7741 §6.1, in macroblocks
    if most.isdigit():
        for candidate in _LADDER:
            if candidate[0] <= width and candidate[0] * candidate[1] <= int(most) * 256:
                return (*candidate, rate)
    return width, height, rate


_LADDER = ((1920, 1080), (1280, 720), (640, 360), (352, 288), (176, 144))

# Level: macroblocks a second, macroblocks a frame, kbit/s (H.264 Table A-1).
_LEVELS = {
    10: (1485, 99, 64),
    11: (3000, 396, 192),
    12: (6000, 396, 384),
    13: (11880, 396, 768),
    20: (11880, 396, 2000),
    21: (19800, 792, 4000),
    22: (20250, 1620, 4000),
    30: (40500, 1620, 10000),
    31: (108000, 3600, 14000),
    32: (216000, 5120, 20000),
    40: (245760, 8192, 20000),
    41: (245760, 8192, 50000),
    42: (522240, 8704, 50000),
    50: (589824, 22080, 135000),
    51: (983040, 36864, 240000),
    52: (2073600, 36864, 240000),
}


def level_limits(format: Format) -> tuple[int, int, int]:
    """Return macroblocks a second, macroblocks a frame and bit/s that the receiver of this format takes.

    max-mbps, max-fs and max-br raise what the level says, never lower it (RFC 6184 §8.1).
    """
    profile = format.parameter("profile-level-id", "42000a").lower()
    if not _is_hex(profile):
        profile = "42000a"
    level = int(profile[4:], 16)
    if level == 11 and int(profile[2:4], 16) & 0x10 and profile[:2] in ("42", "4d", "58"):
        level = 10  # level 1b
    known = [one for one in _LEVELS if one <= level]
    per_second, per_frame, rate = _LEVELS[max(known)] if known else _LEVELS[10]
    return (
        max(per_second, _number(format, "max-mbps")),
        max(per_frame, _number(format, "max-fs")),
        max(rate, _number(format, "max-br")) * 1000,
    )


def _number(format: Format, name: str) -> int:
    text = format.parameter(name)
    return int(text) if text.isdigit() and len(text) < 10 else 0


def _within_level(format: Format, width: int, height: int, rate: int) -> tuple[int, int, int]:
    per_second, per_frame, _ = level_limits(format)
    for wide, high in _LADDER:
        blocks = -(-wide // 16) * -(-high // 16)
        if wide > width or high > height or blocks > per_frame:
            continue
        possible = min(rate, per_second // blocks)
        if possible >= min(rate, 15):
            return wide, high, possible
    return 176, 144, max(1, min(rate, per_second // 99))


def choose_answered(ours: StreamDescription, theirs: StreamDescription, abilities: Abilities) -> Chosen | None:
    """Choose from the answer to our offer; None if it holds nothing that we offered.

    We receive on our own payload types and send on theirs (RFC 3264 §6.1).
    """
    listed = theirs.receive or theirs.send
    if not listed:
        return Chosen(theirs, (), None)
    main = best(listed, theirs.kind, abilities)
    if main is None:
        return None
    kept = {one.codec for one in listed}
    receive = tuple(one for one in ours.receive if one.codec in kept) if theirs.send else ()
    return Chosen(
        theirs,
        receive,
        main if theirs.receive and main.codec in _ENCODABLE else None,
        telephone_event=_first(tuple(one for one in listed if _goes_with(one, main)), Codec.TELEPHONE_EVENT),
    )
