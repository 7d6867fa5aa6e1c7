"""What we offer: every codec that we take and send, on payload types of our own choice; and what of it is answered.
Pure."""

from __future__ import annotations

from dataclasses import replace

from transcode.bundle import agreed_mid, rides_along
from transcode.media import Abilities, Codec, Format, Kind, MediaDescription, Role, StreamDescription, Transport, Wanted
from transcode.negotiate import ENCODABLE, FEEDBACK, MAX_LEVEL, MAX_LEVEL_1080, TEXT_RATE, Chosen, choose_answered

EVENTS = (("0-16", ""),)
"""telephone-event: the twelve keys, A to D, and flash (RFC 4733 §3.2)."""
_NOWHERE = Transport(None, 0)

_AUDIO = {
    Codec.OPUS: Format(Codec.OPUS, 107, 48000, 2, (("useinbandfec", "1"),)),
    Codec.G722: Format(Codec.G722, 9, 8000),
    Codec.PCMU: Format(Codec.PCMU, 0, 8000),
    Codec.PCMA: Format(Codec.PCMA, 8, 8000),
}
_OLD = {
    Codec.G729: Format(Codec.G729, 18, 8000),
    Codec.G723: Format(Codec.G723, 4, 8000),
}
"""What only peers whose directions stand for themselves are offered: G.729 can be received alone."""
_TEXT = (
    Format(Codec.RED, 104, 1000, parameters=(("105/105/105", ""),)),
    Format(Codec.T140, 105, 1000, parameters=(("cps", str(TEXT_RATE)),)),
)
"""Text with two redundant generations, and plain (RFC 4103 §10)."""
_CAMERA = tuple(Format(Codec.H224, 100, 8000, parameters=(("framing", one),)) for one in ("hdlc", "plain"))
"""Camera control in both framings; each direction is agreed on by itself, so they may share a payload type."""
_OLD_SIZES = (("cif", "1"), ("qcif", "1"))


def offered_streams(wanted: Wanted, abilities: Abilities) -> tuple[StreamDescription, ...]:
    """Return the streams of an offer; their transports are the caller's to fill in.

    Only what can be sent as well is offered, so that the answer fits both directions; the rest too where each stands
    for itself.
    """
    streams = []
    if wanted.audio:
        sound = [_AUDIO[codec] for codec in abilities.audio if codec in _AUDIO]
        rates = dict.fromkeys(one.clock_rate for one in sound)
        keys = {8000: 101, 48000: 102}
        sound += [Format(Codec.TELEPHONE_EVENT, keys[rate], rate, parameters=EVENTS) for rate in rates]
        formats = tuple(sound)
        more = tuple(_OLD[codec] for codec in abilities.audio if codec in _OLD and wanted.separate)
        sent = tuple(one for one in more if one.codec in ENCODABLE)
        streams.append(StreamDescription("0", Kind.AUDIO, formats + more, formats + sent, _NOWHERE, packet_time=20))
    if wanted.video:
        formats = tuple(format for codec in abilities.video for format in _video(codec, abilities))
        number = str(len(streams))
        streams.append(StreamDescription(number, Kind.VIDEO, formats, formats, _NOWHERE, bandwidth=abilities.bandwidth))
    if wanted.slides and abilities.slides:
        formats = tuple(format for codec in abilities.video for format in _video(codec, abilities))
        number, most = str(len(streams)), abilities.bandwidth
        streams.append(StreamDescription(number, Kind.VIDEO, formats, formats, _NOWHERE, Role.SLIDES, bandwidth=most))
    if wanted.text and abilities.text:
        number = str(len(streams))
        streams.append(StreamDescription(number, Kind.TEXT, _TEXT, _TEXT, _NOWHERE))
    if wanted.camera:
        number = str(len(streams))
        streams.append(StreamDescription(number, Kind.CAMERA, _CAMERA, _CAMERA, _NOWHERE))
    return tuple(streams)


def keep_numbers(stream: StreamDescription, known: tuple[Format, ...]) -> StreamDescription:
    """Return an offered stream with the payload types that are in use already.

    A number once given to a format stays with it for the whole call (RFC 3264 §8.3.2).
    """
    used = {_identity(one): one.payload_type for one in known}
    taken = {one.payload_type for one in known}
    free = (number for number in range(96, 128) if number not in taken)
    reserved = {one.payload_type for one in stream.receive} - taken
    spare = [number for number in free if number not in reserved]
    formats = []
    for one in stream.receive:
        number = used.get(_identity(one), one.payload_type)
        if _identity(one) not in used and number in taken:
            number = spare.pop(0)
        formats.append(replace(one, payload_type=number))
    sent = len(stream.send)  # what can be sent stands first
    return replace(stream, receive=tuple(formats), send=tuple(formats[:sent]))


def choose_answers(offered: MediaDescription, answer: MediaDescription, abilities: Abilities) -> dict[str, Chosen]:
    """Return what the streams of our offer speak that the answer takes, each as the kind that it was offered as."""
    chosen: dict[str, Chosen] = {}
    for ours in offered.streams:
        theirs = answer.stream(ours.id)
        if theirs is None or theirs.refused or theirs.kind is not ours.kind:
            continue
        theirs = replace(theirs, role=ours.role, mid=agreed_mid(ours.mid, theirs.mid))
        one = choose_answered(ours, theirs, abilities)
        if one is not None and rides_along(offered, answer, ours.id):
            chosen[ours.id] = one
    return chosen


def _identity(format: Format) -> tuple[Codec, int, str]:
    mode = format.parameter("packetization-mode", "0") if format.codec is Codec.H264 else ""
    return format.codec, format.clock_rate, mode


def _video(codec: Codec, abilities: Abilities) -> tuple[Format, ...]:
    if codec is Codec.H264:
        level = MAX_LEVEL_1080 if abilities.height > 720 else MAX_LEVEL
        profile = ("profile-level-id", f"42e0{level:02x}")
        return tuple(
            Format(codec, number, 90000, parameters=(profile, ("packetization-mode", mode)), feedback=FEEDBACK)
            for number, mode in ((97, "1"), (98, "0"))
        )
    if codec is Codec.VP8:
        return (Format(codec, 99, 90000, feedback=FEEDBACK),)
    numbers = {Codec.H263P: 103, Codec.H263: 34, Codec.H261: 31}
    return (Format(codec, numbers[codec], 90000, parameters=_OLD_SIZES, feedback=FEEDBACK),)
