"""From a media description to the m= lines that spell it (RFC 3264, RFC 4566 family).

An answer's line is spelled after the offered one: the same protocol, the peer's own names of codecs and crypto
suites, its mid. What the peer offered and we do not do at all (application, image, BFCP) is answered with port
0 and its own formats (RFC 3264 §6).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sip.describe import direction, read_formats, usable
from sip.describe_transport import is_mismatch, leading, read_crypto_lines, trickles
from sip.describe_values import (
    is_unspecified,
    read_rtpmap,
    write_candidate,
    write_crypto,
    write_mid,
    write_parameters,
    write_rtpmap,
)
from sip.sdp import Attribute, Media, Session
from transcode.media import Format, Ice, Kind, Role, StreamDescription, Transport

REFUSED_FORMAT = "0"
"""What stands on the m= line of a stream that never had a format."""
_TRANSPORT = frozenset(
    {"candidate", "crypto", "end-of-candidates", "fingerprint", "ice-options", "ice-pwd", "ice-ufrag", "rtcp", "setup"}
)
"""Attributes that only the first line of a bundle has (RFC 9143 §7.1.3, category TRANSPORT of RFC 8859)."""
_DIRECTIONS = {
    (True, True): "sendrecv",
    (False, True): "sendonly",
    (True, False): "recvonly",
    (False, False): "inactive",
}


def offer_line(stream: StreamDescription, address: str, mid: str | None, last: tuple[Format, ...]) -> Media:
    """Return the m= line that offers a stream; address stands in where its transport has none.

    mid is printed if given. last holds the formats that the line had before: an inactive line still lists formats.
    """
    formats = _union(stream) or last
    if stream.refused or not formats:
        return refused_line(stream.kind.value, profile(stream.transport), [str(format.payload_type) for format in last])
    directions = bool(stream.receive), bool(stream.send)
    line = _line(stream, profile(stream.transport), formats, directions, address, mid, _Spelling())
    if stream.transport.ice is not None and stream.transport.dtls is not None and stream.send:
        line = _with(line, _msid(stream))
    return line


def bundled(line: Media) -> Media:
    """Return a line of a bundle as all but its first one are written: it says nothing of the transport.

    rtcp-mux is left, which says the same everywhere: browsers look for it in each line.
    """
    return replace(line, attributes=tuple(one for one in line.attributes if one.name not in _TRANSPORT))


def bundle_only(line: Media) -> Media:
    """Return an offered line as one that may only travel with the bundle's first one (RFC 9143 §6, §7.2.1)."""
    plain = bundled(line)
    return replace(plain, port=0, attributes=(*plain.attributes, Attribute("bundle-only")))


def answer_line(session: Session, offered: Media, stream: StreamDescription | None, address: str) -> Media:
    """Return the m= line that answers an offered one; stream None refuses it.

    What the peer does not take is not sent, and what it does not send is not asked for (RFC 3264 §6.1).
    """
    if stream is None or stream.refused or not usable(session, offered):
        line = refused_line(offered.kind, offered.protocol, offered.formats)
        mid = offered.first("mid")
        return _with(line, Attribute("mid", mid)) if mid else line
    peer_receives, peer_sends = direction(session, offered)
    directions = (bool(stream.receive) and peer_sends, bool(stream.send) and peer_receives)
    formats = _union(stream) or read_formats(offered)
    line = _line(stream, offered.protocol, formats, directions, address, offered.first("mid"), _Spelling(offered))
    more = [Attribute(name, value) for name in ("content", "label") if (value := offered.first(name))]
    if offered.has("msid") and stream.send:
        more.append(_msid(stream))
    if stream.transport.ice is not None and trickles(session, leading(session, offered)):
        more.append(Attribute("end-of-candidates"))
    if is_mismatch(session, offered):
        more.append(Attribute("ice-mismatch"))
    return _with(line, *(one for one in more if not line.has(one.name)))


def _with(line: Media, *more: Attribute) -> Media:
    return replace(line, attributes=(*line.attributes, *more))


def _msid(stream: StreamDescription) -> Attribute:
    """Name our sound and picture of one role as one MediaStream, so that a page keeps them in step (RFC 8830)."""
    return Attribute("msid", f"{stream.role.value} {stream.role.value}-{stream.kind.value}")


def refused_line(kind: str, protocol: str, formats: Iterable[str]) -> Media:
    """Return an m= line with port 0."""
    return Media(kind, 0, protocol, tuple(formats) or (REFUSED_FORMAT,))


def profile(transport: Transport) -> str:
    """Return the transport protocol that a transport is offered with (RFC 4585, 3711, 5764, 8643)."""
    if transport.dtls is not None and not transport.optional:
        return "UDP/TLS/RTP/SAVPF" if transport.feedback else "UDP/TLS/RTP/SAVP"
    secure = "S" if transport.keys and not transport.optional else ""
    return f"RTP/{secure}AVP{'F' if transport.feedback else ''}"


class _Spelling:
    """How the peer spells what it offered on a line: names of codecs by payload type and of crypto suites by tag."""

    def __init__(self, offered: Media | None = None) -> None:
        self.codecs: dict[int, str] = {}
        self.suites: dict[int, str] = {}
        if offered is not None:
            maps = (read_rtpmap(value) for value in offered.all("rtpmap"))
            self.codecs = {found.payload_type: found.name for found in maps if found}
            self.suites = {crypto.key.tag: crypto.name for crypto in read_crypto_lines(offered)}


def _union(stream: StreamDescription) -> tuple[Format, ...]:
    """Return the formats of both directions, those that we take first; one of each payload type."""
    formats: dict[int, Format] = {}
    for format in (*stream.receive, *stream.send):
        formats.setdefault(format.payload_type, format)
    return tuple(formats.values())


def _line(
    stream: StreamDescription,
    protocol: str,
    formats: tuple[Format, ...],
    directions: tuple[bool, bool],
    address: str,
    mid: str | None,
    spelling: _Spelling,
) -> Media:
    transport = stream.transport
    attributes: list[Attribute] = []
    if mid:
        attributes.append(Attribute("mid", mid))
        if stream.mid is not None:
            attributes.append(Attribute("extmap", write_mid(stream.mid)))
    for format in formats:
        attributes += _format_attributes(format, spelling)
    if stream.packet_time:
        attributes.append(Attribute("ptime", str(stream.packet_time)))
    attributes.append(Attribute(_DIRECTIONS[directions]))
    if stream.role is Role.SLIDES:
        attributes.append(Attribute("content", "slides"))
    attributes += _transport_attributes(transport, spelling)
    attributes += [Attribute("ssrc", f"{ssrc} cname:{stream.cname or '-'}") for ssrc in stream.ssrcs]
    return Media(
        stream.kind.value,
        transport.port,
        protocol,
        tuple(str(format.payload_type) for format in formats),
        connection=address if is_unspecified(transport.address) else transport.address,
        bandwidths=_bandwidths(stream),
        attributes=tuple(attributes),
    )


def _format_attributes(format: Format, spelling: _Spelling) -> list[Attribute]:
    attributes = [Attribute("rtpmap", write_rtpmap(format, spelling.codecs.get(format.payload_type)))]
    if format.parameters:
        attributes.append(Attribute("fmtp", f"{format.payload_type} {write_parameters(format)}"))
    return attributes + [Attribute("rtcp-fb", f"{format.payload_type} {value}") for value in format.feedback]


def _transport_attributes(transport: Transport, spelling: _Spelling) -> list[Attribute]:
    attributes: list[Attribute] = []
    if transport.rtcp_mux:
        attributes.append(Attribute("rtcp-mux"))
    elif transport.rtcp_port and transport.rtcp_port != transport.port + 1:
        attributes.append(Attribute("rtcp", str(transport.rtcp_port)))
    if transport.dtls is not None:
        attributes += [Attribute("fingerprint", f"{it.algorithm} {it.value}") for it in transport.dtls.fingerprints]
        attributes.append(Attribute("setup", transport.dtls.setup.value))
    attributes += [Attribute("crypto", write_crypto(key, spelling.suites.get(key.tag))) for key in transport.keys]
    return attributes + (_ice_attributes(transport.ice) if transport.ice is not None else [])


def _ice_attributes(ice: Ice) -> list[Attribute]:
    attributes = [Attribute("ice-ufrag", ice.user), Attribute("ice-pwd", ice.password)]
    attributes += [Attribute("candidate", write_candidate(candidate)) for candidate in ice.candidates]
    if not ice.complete:
        attributes.append(Attribute("ice-options", "trickle"))
    return attributes


def _bandwidths(stream: StreamDescription) -> tuple[tuple[str, int], ...]:
    if not stream.bandwidth or stream.kind is not Kind.VIDEO:
        return ()
    return (("AS", max(1, stream.bandwidth // 1000)), ("TIAS", stream.bandwidth))
