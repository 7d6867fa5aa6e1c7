"""Choosing formats and encryption: from the peer's description and our abilities to what is spoken. Pure.

One codec is chosen for each stream and direction, with the telephone-event, comfort noise and retransmission formats
that go with it: room systems are known to trip over answers with several codecs. Sound follows the offerer's order
(RFC 3264 §6.1); pictures follow ours, because one H.264 encode can serve everybody at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.reasons import Reason, Refused
from transcode.media import (
    Abilities,
    Codec,
    Dtls,
    Format,
    Kind,
    MediaDescription,
    Role,
    SrtpKey,
    SrtpPolicy,
    StreamDescription,
    Suite,
    Transport,
)
from transcode.payload import h264_profile
from transcode.payload.h264_profile import Profile
from transcode.video.limits import fit_within

FEEDBACK = ("nack", "nack pli", "ccm fir", "ccm tmmbr", "goog-remb")
"""What we understand and may ask for on video streams."""

_COMPANIONS = frozenset({Codec.TELEPHONE_EVENT, Codec.COMFORT_NOISE, Codec.RTX})
_SOUND = (Codec.OPUS, Codec.G722, Codec.PCMU, Codec.PCMA, Codec.G729, Codec.G723)
_PICTURES = (Codec.H264, Codec.VP8, Codec.H263P, Codec.H263, Codec.H261)
_CARRIED = {
    Kind.AUDIO: frozenset({*_SOUND, Codec.TELEPHONE_EVENT, Codec.COMFORT_NOISE}),
    Kind.VIDEO: frozenset({*_PICTURES, Codec.RTX}),
    Kind.TEXT: frozenset({Codec.T140, Codec.RED}),
    Kind.CAMERA: frozenset({Codec.H224}),
    Kind.DATA: frozenset[Codec](),
}
"""What streams of each kind can be made of. Peers list more: key presses beside pictures, at their clock rate."""
PAYLOAD_TYPES = range(128)
"""What a packet's header holds (RFC 3550 §5.1)."""
ENCODABLE = frozenset(
    {
        Codec.PCMU,
        Codec.PCMA,
        Codec.G722,
        Codec.OPUS,
        Codec.G723,
        Codec.H264,
        Codec.VP8,
        Codec.H263P,
        Codec.H263,
        Codec.H261,
    }
)
"""What we can send; the rest (G.729) is only received."""

MAX_LEVEL = 31
"""H.264 level 3.1: 720p30, what we ask for at 720p (Table A-1)."""
MAX_LEVEL_1080 = 40
"""H.264 level 4.0: 1080p30."""
TEXT_RATE = 90
"""Characters a second that we say we take, three times the default, for pasted text (RFC 4103 §6, RFC 9071)."""
NOBODY = ("0.0.0.0", "::")
"""Addresses that put a stream on hold in the way of old (RFC 2543 §B.5, RFC 3264 §8.4)."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one stream speaks: formats that we receive, the one that we send, and its companions.

    described are the formats as our answer spells them. telephone_event and rtx are payload types of the sending
    direction, None where the peer takes none; rtx_receive maps a retransmission payload type to the one that it
    repeats. plain is the t140 format of the sending direction, for a text stream; send is then it or red. sctp_port is
    the peer's, for a data stream.
    """

    stream: StreamDescription
    receive: tuple[Format, ...]
    send: Format | None
    described: tuple[Format, ...] = ()
    telephone_event: int | None = None
    rtx: int | None = None
    rtx_receive: tuple[tuple[int, int], ...] = ()
    plain: Format | None = None
    sctp_port: int | None = None

    @property
    def active(self) -> bool:
        """Whether the stream is taken at all."""
        return bool(self.receive) or self.send is not None


def choose(
    remote: MediaDescription, abilities: Abilities, reachable: Callable[[Transport], bool] = lambda _: True
) -> tuple[Chosen | None, ...]:
    """Choose for each stream of an offer, in order; None refuses a stream.

    Of several streams of one kind and role the first one is taken that is reachable: an offer for both families of
    addresses has one for each (RFC 4091). Raises Refused with NO_COMMON_FORMAT if no stream is left of those that the
    peer wanted.
    """
    chosen: list[Chosen | None] = []
    taken: set[tuple[Kind, Role]] = set()
    wanted = False
    ways = {_line(stream) for stream in remote.streams if not stream.refused and reachable(stream.transport)}
    for stream in remote.streams:
        usable = not stream.refused and _is_spoken(stream, abilities)
        usable = usable and (_line(stream) not in ways or reachable(stream.transport))
        wanted = wanted or (usable and stream.kind is not Kind.DATA)
        one = _choose_stream(stream, abilities) if usable and _line(stream) not in taken else None
        if one is not None:
            taken.add(_line(stream))
        chosen.append(one)
    if wanted and not taken - {(Kind.DATA, Role.MAIN)}:
        raise Refused(Reason.NO_COMMON_FORMAT)
    return tuple(chosen)


def _line(stream: StreamDescription) -> tuple[Kind, Role]:
    return stream.kind, stream.role


def _is_spoken(stream: StreamDescription, abilities: Abilities) -> bool:
    """Whether streams of this kind have the role here: slides are pictures."""
    return stream.role is Role.MAIN or (stream.kind is Kind.VIDEO and abilities.slides)


def _choose_stream(stream: StreamDescription, abilities: Abilities) -> Chosen | None:
    if stream.kind is Kind.DATA:
        transport = stream.transport
        spoken = abilities.ice and transport.ice is not None and transport.sctp_port is not None
        return Chosen(stream, (), None, sctp_port=transport.sctp_port) if spoken else None
    if (stream.kind is Kind.TEXT and not abilities.text) or stream.kind is Kind.CAMERA:
        return None
    if not (stream.receive or stream.send):  # inactive in both directions: the line stays, nothing flows
        return Chosen(stream, (), None)
    stream = _understood(stream)
    listed = stream.receive or stream.send
    if stream.kind is Kind.TEXT:
        return _choose_text(stream, listed)
    main = best(listed, stream.kind, abilities)
    if main is None:
        return None
    companions = _beside(listed, main)
    both = tuple(_ours(one, abilities) for one in (main, *companions))
    takes = bool(stream.receive) and not on_hold(stream)
    return Chosen(
        stream,
        both if stream.send else (),
        main if takes and main.codec in ENCODABLE else None,
        both,
        telephone_event=_keys(both, main) if takes else None,
        rtx=_first(both, Codec.RTX) if takes else None,
        rtx_receive=tuple((one.payload_type, main.payload_type) for one in both if one.codec is Codec.RTX),
    )


def _understood(stream: StreamDescription) -> StreamDescription:
    """Return a stream with those of its formats that a stream of its kind can have."""
    carried = _CARRIED[stream.kind]

    def kept(formats: tuple[Format, ...]) -> tuple[Format, ...]:
        return tuple(
            one for one in formats if one.codec in carried and one.payload_type in PAYLOAD_TYPES and one.clock_rate > 0
        )

    return replace(stream, receive=kept(stream.receive), send=kept(stream.send))


def _choose_text(stream: StreamDescription, listed: tuple[Format, ...]) -> Chosen | None:
    """Choose plain text, and redundancy for it where the peer knows it (RFC 4103 §5.2, §10)."""
    plain = next((one for one in listed if one.codec is Codec.T140), None)
    if plain is None:
        return None
    red = next((one for one in listed if one.codec is Codec.RED and _repeats_only(one, plain)), None)
    ours = replace(plain, parameters=(("cps", str(TEXT_RATE)),), feedback=())
    both = (ours,) if red is None else (replace(red, feedback=()), ours)
    takes = bool(stream.receive) and not on_hold(stream)
    return Chosen(stream, both if stream.send else (), (red or plain) if takes else None, both, plain=plain)


def _repeats_only(red: Format, plain: Format) -> bool:
    """Whether all blocks of a redundant format are this text (RFC 4102 §2); a peer that names none means so."""
    listed = next((name for name, value in red.parameters if not value and name), "")
    return not listed or set(listed.split("/")) == {str(plain.payload_type)}


def on_hold(stream: StreamDescription) -> bool:
    """Whether a description names nobody's address: it asks us to send nothing, if its packets do not tell where."""
    transport = stream.transport
    hidden = transport.traversal is not None and transport.traversal.hidden
    return transport.ice is None and not hidden and transport.address in NOBODY


def best(formats: tuple[Format, ...], kind: Kind, abilities: Abilities) -> Format | None:
    """Return the format to speak of those that the peer takes; None if none is common."""
    if kind is Kind.AUDIO:
        common = [one for one in formats if one.codec in abilities.audio and one.codec not in _COMPANIONS]
        # G.723.1 sounds worst of all: it serves those who know nothing else that we can send.
        return min(common, key=lambda one: (one.codec not in ENCODABLE, one.codec is Codec.G723), default=None)
    ranked = [
        (abilities.video.index(one.codec), _h264_rank(one), order)
        for order, one in enumerate(formats)
        if one.codec in abilities.video
    ]
    return formats[min(ranked)[2]] if ranked else None


_PROFILE_RANKS = {Profile.CONSTRAINED_BASELINE: 0, Profile.BASELINE: 1, Profile.MAIN: 10, Profile.HIGH: 10}


def _h264_rank(format: Format) -> int:
    """Rank H.264 variants: non-interleaved before single NAL, constrained baseline first, for it is most shared."""
    if format.codec is not Codec.H264:
        return 0
    mode = format.parameter("packetization-mode", "0")
    if mode not in ("0", "1"):
        return 1_000  # interleaved mode is not spoken
    rank = 0 if mode == "1" else 100
    return rank + _PROFILE_RANKS.get(h264_profile.profile_level(format).profile, 20)


def _beside(listed: tuple[Format, ...], main: Format) -> tuple[Format, ...]:
    """Return the companions of a format, one of each codec and clock rate: more of one say nothing, and would use up
    the payload types that offers of ours need beside them."""
    fitting = [one for one in listed if one.codec in _COMPANIONS and _goes_with(one, main)]
    return tuple({(one.codec, one.clock_rate): one for one in reversed(fitting)}.values())[::-1]


def _goes_with(companion: Format, main: Format) -> bool:
    if companion.codec is Codec.RTX:
        return companion.parameter("apt") == str(main.payload_type)
    if companion.codec is Codec.TELEPHONE_EVENT:
        # RFC 4733 §2.1 asks for the clock rate of the sound; phones with one entry at 8 kHz beside Opus exist.
        return companion.clock_rate == main.clock_rate or companion.clock_rate == 8000
    return companion.clock_rate == main.clock_rate


def _keys(formats: tuple[Format, ...], main: Format) -> int | None:
    """Return the payload type for key presses, best at the clock rate of the sound (RFC 4733 §2.1)."""
    keys = [one for one in formats if one.codec is Codec.TELEPHONE_EVENT]
    fitting = [one for one in keys if one.clock_rate == main.clock_rate]
    return next((one.payload_type for one in fitting + keys), None)


def _first(formats: tuple[Format, ...], codec: Codec) -> int | None:
    return next((one.payload_type for one in formats if one.codec is codec), None)


def _ours(format: Format, abilities: Abilities) -> Format:
    """Return the peer's format with the parameters that we answer with."""
    feedback = tuple(value for value in format.feedback if value in FEEDBACK)
    if format.codec is Codec.H264:
        return replace(format, parameters=_answered_h264(format, abilities), feedback=feedback)
    if format.codec is Codec.OPUS:
        return replace(format, parameters=(("useinbandfec", "1"),), feedback=())
    if format.codec in (Codec.H263, Codec.H263P, Codec.H261):
        return replace(format, parameters=_sizes(format), feedback=feedback)
    return replace(format, feedback=feedback)


def _answered_h264(format: Format, abilities: Abilities) -> tuple[tuple[str, str], ...]:
    """Return the answer's parameters: the offered profile, at a level that both hold (RFC 6184 §8.2.2).

    A terminal that offers a low level and raises it by max-fs and max-mbps, as many room systems do, understands the
    same of us: without that it would send us no more than its level says.
    """
    offered = h264_profile.profile_level(format)
    most = MAX_LEVEL_1080 if abilities.height > 720 else MAX_LEVEL
    asymmetric = format.parameter("level-asymmetry-allowed") == "1"
    raised = format.parameter("max-fs") or format.parameter("max-mbps")
    level = replace(offered, level_idc=most if asymmetric else min(most, offered.level_idc))
    parameters: list[tuple[str, str]] = [("level-asymmetry-allowed", "1")] if asymmetric else []
    parameters.append(("profile-level-id", str(level)))
    parameters.append(("packetization-mode", format.parameter("packetization-mode", "0")))
    if raised and level.level_idc < most:
        limits = h264_profile.LEVELS[most]
        parameters.append(("max-mbps", str(limits.macroblocks_per_second)))
        parameters.append(("max-fs", str(limits.frame_macroblocks)))
    return tuple(parameters)


def _sizes(format: Format) -> tuple[tuple[str, str], ...]:
    kept = tuple((name, value) for name, value in format.parameters if name in ("cif", "qcif"))
    return kept or (("cif", "1"), ("qcif", "1"))


def choose_keying(
    stream: StreamDescription, policy: SrtpPolicy, supported: frozenset[Suite] = frozenset(Suite)
) -> SrtpKey | Dtls | None:
    """Return what we take of an offer: DTLS where it is offered, else a key line; None means that media go in clear.

    Raises Refused with ENCRYPTION_NEEDED (policy require, nothing offered) or ENCRYPTION_UNSUPPORTED (demanded, but
    turned off here or with suites that we do not have). RFC 4568 §5.1.2, RFC 5763 §5, RFC 8643 §3.
    """
    transport = stream.transport
    demanded = (bool(transport.keys) or transport.dtls is not None) and not transport.optional
    if policy is SrtpPolicy.OFF:
        if demanded:
            raise Refused(Reason.ENCRYPTION_UNSUPPORTED, "encryption is turned off here")
        return None
    if transport.dtls is not None:
        return transport.dtls
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
        most = h264_profile.limits(format)
        return fit_within(most.macroblocks_per_second, most.frame_macroblocks, width, height, rate)
    if format.codec in (Codec.H263, Codec.H263P, Codec.H261):
        interval = format.parameter("cif") or ("1" if not format.parameter("qcif") else "")
        size = (352, 288) if interval else (176, 144)
        interval = interval or format.parameter("qcif", "1")
        divisor = int(interval) if is_number(interval) and 1 <= int(interval) <= 32 else 1
        return (*size, max(1, min(rate, 30 // divisor)))
    # VP8, RFC 7741 §6.1: macroblocks of a picture, and pictures/s.
    frames, blocks = format.parameter("max-fr"), format.parameter("max-fs")
    if is_number(frames) and int(frames):
        rate = min(rate, int(frames))
    if is_number(blocks) and int(blocks):
        return fit_within(int(blocks) * rate, int(blocks), width, height, rate)
    return width, height, rate


def is_number(text: str) -> bool:
    """Whether a parameter is a number that makes sense; peers write what they like, and not all digits are ours."""
    return text.isascii() and text.isdigit() and len(text) < 10


def sent_profile(format: Format, width: int, height: int, frame_rate: int) -> str:
    """Return the profile-level-id to encode for a receiver of an H.264 format: raised where max-fs and the like let
    more be sent than its level says."""
    given = h264_profile.profile_level(format)
    if given.limits.frame_rate(width, height) >= frame_rate:
        return str(given)
    level = min((one for one, most in h264_profile.LEVELS.items() if most.frame_rate(width, height) >= frame_rate))
    return str(replace(given, constraints=given.constraints & ~0x10, level_idc=level))


def choose_answered(ours: StreamDescription, theirs: StreamDescription, abilities: Abilities) -> Chosen | None:
    """Choose from the answer to our offer; None if it holds nothing that we offered.

    We receive on our own payload types and send on theirs (RFC 3264 §6.1).
    """
    wanted = bool(theirs.receive or theirs.send)
    theirs = _understood(theirs)
    if theirs.kind is Kind.CAMERA:
        sends = theirs.receive[0] if theirs.receive and not on_hold(theirs) else None
        return Chosen(theirs, theirs.send, sends)
    if theirs.separate:
        return _choose_separate(ours, theirs, abilities)
    known = {one.codec for one in (*ours.receive, *ours.send)}
    listed = tuple(one for one in theirs.receive or theirs.send if one.codec in known)
    if not listed:
        return None if wanted else Chosen(theirs, (), None)
    if theirs.kind is Kind.TEXT:
        one = _choose_text(theirs, listed)
        return None if one is None else replace(one, receive=ours.receive if theirs.send else ())
    main = best(listed, theirs.kind, abilities)
    if main is None:
        return None
    kept = {one.codec for one in listed}
    takes = bool(theirs.receive) and not on_hold(theirs)
    return Chosen(
        theirs,
        tuple(one for one in ours.receive if one.codec in kept) if theirs.send else (),
        main if takes and main.codec in ENCODABLE else None,
        telephone_event=_keys(tuple(one for one in listed if _goes_with(one, main)), main) if takes else None,
    )


def _choose_separate(ours: StreamDescription, theirs: StreamDescription, abilities: Abilities) -> Chosen:
    """Choose where each direction stands for itself (H.245): we receive what the peer says that it sends."""
    takes = bool(theirs.receive) and not on_hold(theirs)
    main = best(theirs.receive, theirs.kind, abilities) if takes else None
    beside = tuple(one for one in theirs.receive if main is not None and _goes_with(one, main))
    return Chosen(
        theirs,
        tuple(one for one in theirs.send if one.codec in {known.codec for known in ours.receive}),
        main if main is not None and main.codec in ENCODABLE else None,
        telephone_event=None if main is None else _keys(beside, main),
    )
