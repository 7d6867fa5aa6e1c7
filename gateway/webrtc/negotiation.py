"""Offer and answer with one browser: the m= lines so far, and our descriptions written for them.

Theory of operation. JSEP never drops or reorders m= lines (RFC 3264 §8, RFC 9429 §5.2.2), so this remembers them
across offers of either side. `offered` and `answer`, or `offer` and `answered`, come in pairs:

    IDLE --offered--> THEIRS --answer--> IDLE
    IDLE --offer----> OURS --answered--> IDLE          OURS --offered--> refused with GLARE
                                                       OURS or THEIRS --withdraw--> IDLE

Lines that are no streams (`describe.is_known`) are kept and answered with port 0.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from enum import Enum

from gateway.reasons import Reason, Refused
from gateway.webrtc.describe import DATA_FORMAT, NO_PORT, is_known, read, stream_id, write_candidate
from gateway.webrtc.sdp import Section
from transcode.media import MAX_STREAMS, Codec, Format, Kind, MediaDescription, Role, StreamDescription

MAX_MESSAGE = 65536
"""Octets of one data channel message that we take; what peers assume where nothing is said (RFC 8841 §6.1)."""


class Turn(Enum):
    """Whose description is on the table."""

    IDLE = "idle"
    THEIRS = "theirs"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class _Line:
    """One m= line: what a refusal of it must repeat."""

    id: str
    media: str
    protocol: str
    formats: tuple[str, ...]


class Negotiation:
    """The offers and answers of one session. Every method may raise `Refused`."""

    def __init__(self, session_id: int | None = None) -> None:
        self._session_id = session_id if session_id is not None else secrets.randbits(62)
        self._version = 0
        self._lines: list[_Line] = []
        self._before: list[_Line] = []
        self._bundle: tuple[str, ...] = ()
        self._reduced: set[str] = set()
        self._offer: MediaDescription | None = None
        self.turn = Turn.IDLE

    def offered(self, sdp: str) -> MediaDescription:
        """Take the browser's offer. Raises `Refused`: BAD_DESCRIPTION, or GLARE while an offer of ours is open."""
        if self.turn is not Turn.IDLE:
            raise Refused(Reason.GLARE)
        session, description = read(sdp)
        if not session.sections:
            raise Refused(Reason.BAD_DESCRIPTION, "the offer has no m= lines")
        if len(session.sections) < len(self._lines):
            raise Refused(Reason.BAD_DESCRIPTION, "the offer dropped an m= line")
        self._before = self._lines
        self._lines = [_line(section, index) for index, section in enumerate(session.sections)]
        self._bundle = description.bundle
        self._reduced = _reduced(session.sections)
        self.turn = Turn.THEIRS
        return description

    def answer(self, local: MediaDescription) -> str:
        """Write our answer to the offer that was taken last."""
        if self.turn is not Turn.THEIRS:
            raise Refused(Reason.INTERNAL, "there is no offer to answer")
        text = self._write(local, tuple(mid for mid in self._bundle if _accepted(local, mid)))
        self.turn = Turn.IDLE
        return text

    def offer(self, local: MediaDescription) -> str:
        """Write an offer of ours. Raises `Refused` with GLARE while another offer is open."""
        if self.turn is not Turn.IDLE:
            raise Refused(Reason.GLARE)
        known = {line.id for line in self._lines}
        added = [_own_line(stream) for stream in local.streams if stream.id not in known]
        if len(self._lines) + len(added) > MAX_STREAMS:
            raise Refused(Reason.INTERNAL, "too many m= lines")
        self._before = self._lines
        self._lines = [*self._lines, *added]
        self._reduced = {line.id for line in self._lines}
        self._offer = local
        self.turn = Turn.OURS
        return self._write(local, tuple(mid for mid in local.bundle if _accepted(local, mid)))

    def answered(self, sdp: str) -> MediaDescription:
        """Take the browser's answer to our offer; streams have the roles that the offer gave them."""
        if self.turn is not Turn.OURS or self._offer is None:
            raise Refused(Reason.BAD_REQUEST, "there is no offer to answer")
        session, description = read(sdp)
        if [stream_id(section, index) for index, section in enumerate(session.sections)] != [
            line.id for line in self._lines
        ]:
            raise Refused(Reason.BAD_DESCRIPTION, "the answer's m= lines are not those of the offer")
        roles = {stream.id: stream.role for stream in self._offer.streams}
        self.turn = Turn.IDLE
        streams = (replace(each, role=roles.get(each.id, each.role)) for each in description.streams)
        return replace(description, streams=tuple(each for each in streams if each.id in roles))

    def withdraw(self) -> None:
        """Forget the offer on the table: it was refused, or rolled back (RFC 9429 §4.1.10.2)."""
        if self.turn is not Turn.IDLE:
            self._lines = self._before
            self.turn = Turn.IDLE

    def _write(self, local: MediaDescription, bundle: tuple[str, ...]) -> str:
        self._version += 1
        lines = [
            "v=0",
            f"o=- {self._session_id} {self._version} IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
        ]
        if bundle:
            lines.append(f"a=group:BUNDLE {' '.join(bundle)}")
        lines.append("a=msid-semantic: WMS *")
        for line in self._lines:
            stream = local.stream(line.id)
            if stream is None or stream.refused:
                lines += _refusal(line)
            elif stream.kind is Kind.DATA:
                lines += [*_head(stream, "UDP/DTLS/SCTP", [DATA_FORMAT]), *_data(stream), *_path(stream)]
            else:
                lines += _media(stream, line.id in self._reduced)
        return "\r\n".join(lines) + "\r\n"


def _line(section: Section, index: int) -> _Line:
    return _Line(stream_id(section, index), section.media, section.protocol, section.formats)


def _own_line(stream: StreamDescription) -> _Line:
    if stream.kind is Kind.DATA:
        return _Line(stream.id, "application", "UDP/DTLS/SCTP", (DATA_FORMAT,))
    formats = tuple(str(each.payload_type) for each in _formats(stream))
    return _Line(stream.id, stream.kind.value, "UDP/TLS/RTP/SAVPF", formats or ("0",))


def _reduced(sections: tuple[Section, ...]) -> set[str]:
    return {
        stream_id(section, index)
        for index, section in enumerate(sections)
        if is_known(section) and section.attributes.has("rtcp-rsize")
    }


def _accepted(local: MediaDescription, mid: str) -> bool:
    stream = local.stream(mid)
    return stream is not None and not stream.refused


def _refusal(line: _Line) -> list[str]:
    return [
        f"m={line.media} 0 {line.protocol} {' '.join(line.formats)}",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{line.id}",
        "a=inactive",
    ]


def _head(stream: StreamDescription, protocol: str, formats: list[str]) -> list[str]:
    media = "application" if stream.kind is Kind.DATA else stream.kind.value
    address = stream.transport.address
    port = stream.transport.port if address is not None else NO_PORT
    family = "IP6" if address is not None and ":" in address else "IP4"
    lines = [f"m={media} {port} {protocol} {' '.join(formats)}", f"c=IN {family} {address or '0.0.0.0'}"]
    if stream.bandwidth is not None:
        lines += [f"b=AS:{max(1, stream.bandwidth // 1000)}", f"b=TIAS:{stream.bandwidth}"]
    return [*lines, f"a=mid:{stream.id}"]


def _formats(stream: StreamDescription) -> list[Format]:
    """Return what both directions name, once each, in our order of preference."""
    formats = {each.payload_type: each for each in stream.send}
    formats = {each.payload_type: each for each in stream.receive} | formats
    return list(formats.values())


def _media(stream: StreamDescription, reduced: bool) -> list[str]:
    formats = _formats(stream)
    if not formats:
        # Both directions are off, but the line lives: it needs some format.
        payload_types = ["0" if stream.kind is Kind.AUDIO else "96"]
    else:
        payload_types = [str(each.payload_type) for each in formats]
    lines = _head(stream, "UDP/TLS/RTP/SAVPF", payload_types)
    lines += [f"a={_direction(stream)}", "a=rtcp-mux"]
    if reduced:
        lines.append("a=rtcp-rsize")
    if stream.role is Role.SLIDES:
        lines.append("a=content:slides")
    for each in formats:
        lines += _format(each)
    if not formats and stream.kind is Kind.VIDEO:
        lines.append("a=rtpmap:96 VP8/90000")
    if stream.packet_time is not None:
        lines.append(f"a=ptime:{stream.packet_time}")
    return [*lines, *_sources(stream), *_path(stream)]


def _direction(stream: StreamDescription) -> str:
    if stream.send:
        return "sendrecv" if stream.receive else "sendonly"
    return "recvonly" if stream.receive else "inactive"


def _format(each: Format) -> list[str]:
    channels = f"/{each.channels}" if each.channels > 1 else ""
    lines = [f"a=rtpmap:{each.payload_type} {each.codec.value}/{each.clock_rate}{channels}"]
    lines += [f"a=rtcp-fb:{each.payload_type} {value}" for value in each.feedback]
    parameters = list(each.parameters)
    if each.codec is Codec.OPUS and not each.parameter("useinbandfec"):
        parameters.append(("useinbandfec", "1"))
    if parameters:
        text = ";".join(f"{name}={value}" if name else value for name, value in parameters)
        lines.append(f"a=fmtp:{each.payload_type} {text}")
    return lines


def _sources(stream: StreamDescription) -> list[str]:
    """Write what we send: sound and picture of one role make one MediaStream, so the browser keeps them in step."""
    if not stream.send:
        return []
    msid = f"{stream.role.value} {stream.role.value}-{stream.kind.value}"
    lines = [f"a=msid:{msid}"]
    if len(stream.ssrcs) == 2 and any(each.codec is Codec.RTX for each in stream.send):
        lines.append(f"a=ssrc-group:FID {stream.ssrcs[0]} {stream.ssrcs[1]}")
    for ssrc in stream.ssrcs:
        lines += [f"a=ssrc:{ssrc} cname:{stream.cname or 'roombridge'}", f"a=ssrc:{ssrc} msid:{msid}"]
    return lines


def _data(stream: StreamDescription) -> list[str]:
    return [f"a=sctp-port:{stream.transport.sctp_port or 5000}", f"a=max-message-size:{MAX_MESSAGE}"]


def _path(stream: StreamDescription) -> list[str]:
    lines = []
    ice, dtls = stream.transport.ice, stream.transport.dtls
    if ice is not None:
        lines += [f"a=ice-ufrag:{ice.user}", f"a=ice-pwd:{ice.password}", "a=ice-options:trickle"]
        lines += [f"a={write_candidate(each)}" for each in ice.candidates]
        if ice.complete:
            lines.append("a=end-of-candidates")
    if dtls is not None:
        lines += [f"a=fingerprint:{each.algorithm} {each.value}" for each in dtls.fingerprints]
        lines.append(f"a=setup:{dtls.setup.value}")
    return lines
