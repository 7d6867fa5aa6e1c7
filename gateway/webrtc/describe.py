"""Browser SDP (JSEP, RFC 9429) to and from `MediaDescription`: what each section means.

Reading takes what browsers offer and leaves out what nobody here speaks: codecs that have no name in
`transcode.media.Codec`, header extensions, simulcast, transport-wide feedback. Sections of an unknown kind are no
streams; `negotiation` answers them with port 0. A stream's id is its mid.

A section that `a=content:slides` marks (RFC 4796) carries slides; without such marks, which browsers do not make, the
second and later video sections of an offer do.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import re
from collections.abc import Iterable

from gateway.reasons import Reason, Refused
from gateway.webrtc.sdp import Attributes, Section, Session, is_token, parse, unsigned
from transcode.media import (
    MAX_FORMATS,
    Candidate,
    Codec,
    Dtls,
    Fingerprint,
    Format,
    Ice,
    Kind,
    MediaDescription,
    Role,
    Setup,
    StreamDescription,
    Transport,
)

MAX_MID = 32
"""Characters of a mid; browsers use one or two, and names like "audio" are seen."""
MAX_CANDIDATES = 64
"""Candidates of one section; more are left out."""
MAX_CANDIDATE = 512
"""Characters of one candidate line; with extensions about 200."""
MAX_SSRCS = 16
"""SSRCs of one section: three layers of simulcast with retransmission have 6."""
MAX_FINGERPRINTS = 8
"""Fingerprints of one section: one a digest algorithm."""
NO_PORT = 9
"""The discard port: what a description says where only ICE knows (RFC 8839 §4.3.1)."""
RTP_PROTOCOLS = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"})
DATA_PROTOCOLS = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP"})
DATA_FORMAT = "webrtc-datachannel"
FEEDBACK = frozenset({"nack", "nack pli", "ccm fir", "ccm tmmbr", "goog-remb"})
"""The rtcp-fb values that are kept; what we do not speak is not answered."""

_CODECS = {codec.value.lower(): codec for codec in Codec if codec not in (Codec.T140, Codec.RED)}
"""Codecs by name. Browsers write no T.140, and what they call red is redundant sound, which is not spoken here."""
_STATIC = {
    "0": (Codec.PCMU, 8000),
    "8": (Codec.PCMA, 8000),
    "9": (Codec.G722, 8000),
    "13": (Codec.COMFORT_NOISE, 8000),
    "18": (Codec.G729, 8000),
}
_ICE_TEXT = re.compile(r"[A-Za-z0-9+/]{4,256}\Z")
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){15,63}\Z")
_DIRECTIONS = {
    "sendrecv": (True, True),
    "sendonly": (True, False),
    "recvonly": (False, True),
    "inactive": (False, False),
}


def read(text: str) -> tuple[Session, MediaDescription]:
    """Read a browser's description. Raises `Refused` with BAD_DESCRIPTION and what is wrong with it."""
    try:
        session = parse(text)
        return session, _meaning(session)
    except ValueError as wrong:
        raise Refused(Reason.BAD_DESCRIPTION, str(wrong)) from wrong


def stream_id(section: Section, index: int) -> str:
    """Return the mid of a section, or its index if it has none."""
    return section.attributes.first("mid") or str(index)


def is_known(section: Section) -> bool:
    """Tell whether a section is a stream for us at all."""
    if section.media in ("audio", "video"):
        return section.protocol in RTP_PROTOCOLS
    return section.media == "application" and section.protocol in DATA_PROTOCOLS and DATA_FORMAT in section.formats


def bundled(session: Session) -> tuple[str, ...]:
    """Return the mids of the first BUNDLE group (RFC 9143 §7); later groups count as not bundled."""
    for group in session.attributes.all("group"):
        words = group.split()
        if words and words[0] == "BUNDLE":
            return tuple(words[1:])
    return ()


def _meaning(session: Session) -> MediaDescription:
    ids = [stream_id(section, index) for index, section in enumerate(session.sections)]
    for id in ids:
        if len(id) > MAX_MID or not is_token(id):
            raise ValueError("a mid makes no sense")
    if len(set(ids)) != len(ids):
        raise ValueError("two sections have the same mid")
    bundle = tuple(mid for mid in bundled(session) if mid in ids)
    shared = _tagged(session, bundle, ids)
    marked = any(section.attributes.has("content") for section in session.sections)
    streams: list[StreamDescription] = []
    videos = 0
    for id, section in zip(ids, session.sections, strict=True):
        if not is_known(section):
            continue
        role = Role.MAIN
        if section.media == "video":
            if "slides" in (section.attributes.first("content") or "").split(",") or (not marked and videos > 0):
                role = Role.SLIDES
            videos += 1
        streams.append(_stream(id, section, session.attributes, role, shared if id in bundle else None))
    kept = {stream.id for stream in streams}
    return MediaDescription(tuple(streams), tuple(mid for mid in bundle if mid in kept))


def _tagged(session: Session, bundle: tuple[str, ...], ids: list[str]) -> Section | None:
    """Return the section whose transport the bundle uses: an answer gives it there alone (RFC 9143 §7.3)."""
    for mid in bundle:
        section = session.sections[ids.index(mid)]
        if section.attributes.has("ice-ufrag") or session.attributes.has("ice-ufrag"):
            return section
    return None


def _stream(id: str, section: Section, session: Attributes, role: Role, shared: Section | None) -> StreamDescription:
    kind = Kind.DATA if section.media == "application" else Kind(section.media)
    off = section.port == 0 and not section.attributes.has("bundle-only")
    formats = () if kind is Kind.DATA else _formats(section)
    sends, receives = _direction(section.attributes, session)
    transport = Transport(None, 0) if off else _transport(section, session, shared, kind)
    return StreamDescription(
        id=id,
        kind=kind,
        receive=formats if receives and not off else (),
        send=formats if sends and not off else (),
        transport=transport,
        role=role,
        bandwidth=_bandwidth(section),
        packet_time=_packet_time(section.attributes),
        ssrcs=_ssrcs(section.attributes),
        cname=_cname(section.attributes),
    )


def _direction(section: Attributes, session: Attributes) -> tuple[bool, bool]:
    for attributes in (section, session):
        for name, _ in attributes.pairs:
            if name in _DIRECTIONS:
                return _DIRECTIONS[name]
    return True, True


# Transport


def _transport(section: Section, session: Attributes, shared: Section | None, kind: Kind) -> Transport:
    # We always take the whole bundle or refuse lines of it: a bundled section's own path is never used.
    places = [section.attributes if shared is None else shared.attributes, session]
    dtls = _dtls(places)
    ice = _ice(places)
    if kind is not Kind.DATA and not any(place.has("rtcp-mux") for place in (section.attributes, *places)):
        raise ValueError("RTP and RTCP must share a port (a=rtcp-mux)")
    sctp_port = None
    if kind is Kind.DATA:
        sctp_port = unsigned(section.attributes.first("sctp-port") or "5000", 65535)
    address = section.connection if section.connection not in ("0.0.0.0", "::") else None
    return Transport(
        address=address,
        port=section.port or NO_PORT,
        rtcp_mux=kind is not Kind.DATA,
        feedback=section.protocol.endswith("F"),
        dtls=dtls,
        ice=ice,
        sctp_port=sctp_port,
    )


def _first(places: list[Attributes], name: str) -> str | None:
    return next((value for place in places if (value := place.first(name)) is not None), None)


def _dtls(places: list[Attributes]) -> Dtls:
    found = next((values for place in places if (values := place.all("fingerprint"))), [])
    fingerprints = []
    for value in found[:MAX_FINGERPRINTS]:
        words = value.split()
        if len(words) != 2 or not _FINGERPRINT.match(words[1]):
            raise ValueError("a fingerprint makes no sense")
        fingerprints.append(Fingerprint(words[0].lower(), words[1].upper()))
    if not fingerprints:
        raise ValueError("there is no fingerprint")
    try:
        setup = Setup(_first(places, "setup") or Setup.ACTPASS.value)
    except ValueError:
        raise ValueError("the DTLS role makes no sense") from None
    return Dtls(setup, tuple(fingerprints))


def _ice(places: list[Attributes]) -> Ice:
    # Both from one place: a mixture of two would belong to nobody.
    for place in places:
        user, password = place.first("ice-ufrag"), place.first("ice-pwd")
        if user is not None and password is not None:
            break
    else:
        raise ValueError("there are no ICE credentials")
    if not _ICE_TEXT.match(user) or not _ICE_TEXT.match(password) or len(password) < 22:
        raise ValueError("the ICE credentials make no sense")
    candidates = _candidates(value for place in places[:-1] for value in place.all("candidate"))
    complete = any(place.has("end-of-candidates") for place in places)
    return Ice(user, password, candidates, places[-1].has("ice-lite"), complete)


def _candidates(values: Iterable[str]) -> tuple[Candidate, ...]:
    """Read candidate lines, without those that make no sense to us (RFC 8839 §5.1)."""
    found = []
    for value in itertools.islice(values, MAX_CANDIDATES):
        with contextlib.suppress(ValueError):
            found.append(parse_candidate(value))
    return tuple(found)


def parse_candidate(text: str) -> Candidate:
    """Read one candidate (RFC 8839 §5.1), with or without "candidate:" or "a=candidate:". Raises ValueError."""
    if len(text) > MAX_CANDIDATE:
        raise ValueError("a candidate is too long")
    words = text.removeprefix("a=").removeprefix("candidate:").split()
    if len(words) < 8 or words[6] != "typ" or not all(map(is_token, (*words[:4], words[7]))) or len(words[0]) > 32:
        raise ValueError("a candidate makes no sense")
    more = dict(zip(words[8::2], words[9::2], strict=False))
    related = more.get("rport")
    return Candidate(
        foundation=words[0],
        component=unsigned(words[1], 256),
        protocol=words[2].lower(),
        priority=unsigned(words[3], 2**32 - 1),
        address=_host(words[4]),
        port=unsigned(words[5], 65535),
        type=words[7],
        related_address=_host(more["raddr"]) if "raddr" in more else None,
        related_port=unsigned(related, 65535) if related is not None else None,
        tcp_type=more.get("tcptype"),
    )


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if len(text) > 255 or not re.fullmatch(r"[A-Za-z0-9.-]+", text):
            raise ValueError("a candidate's address makes no sense") from None
        return text


def write_candidate(candidate: Candidate) -> str:
    """Write one candidate as browsers take it: "candidate:..."."""
    text = (
        f"candidate:{candidate.foundation} {candidate.component} {candidate.protocol} {candidate.priority} "
        f"{candidate.address} {candidate.port} typ {candidate.type}"
    )
    if candidate.related_address is not None:
        text += f" raddr {candidate.related_address} rport {candidate.related_port or 0}"
    return text + (f" tcptype {candidate.tcp_type}" if candidate.tcp_type else "")


# Formats


def _formats(section: Section) -> tuple[Format, ...]:
    maps = _by_payload(section.attributes.all("rtpmap"))
    parameters = _by_payload(section.attributes.all("fmtp"))
    feedback = [value.partition(" ") for value in section.attributes.all("rtcp-fb")]
    found: list[Format] = []
    for token in dict.fromkeys(section.formats):
        payload_type = unsigned(token, 127)
        named = _named(token, maps)
        if named is None:
            continue
        codec, clock_rate, channels = named
        found.append(
            Format(
                codec,
                payload_type,
                clock_rate,
                channels,
                _parameters(parameters.get(token, "")),
                tuple(
                    dict.fromkeys(
                        kept for who, _, what in feedback if who in (token, "*") and (kept := what) in FEEDBACK
                    )
                ),
            )
        )
    known = {str(each.payload_type) for each in found if each.codec is not Codec.RTX}
    formats = tuple(each for each in found if each.codec is not Codec.RTX or each.parameter("apt") in known)
    return formats[:MAX_FORMATS]


def _by_payload(values: list[str]) -> dict[str, str]:
    pairs = (value.partition(" ") for value in values)
    return {payload_type: rest.strip() for payload_type, _, rest in pairs}


def _named(token: str, maps: dict[str, str]) -> tuple[Codec, int, int] | None:
    if token not in maps:
        known = _STATIC.get(token)
        return None if known is None else (*known, 1)
    name, _, rest = maps[token].partition("/")
    rate, _, channels = rest.partition("/")
    codec = _CODECS.get(name.lower())
    if codec is None:
        return None
    return codec, unsigned(rate, 1_000_000), unsigned(channels or "1", 8)


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    """Read an fmtp line's pairs; a part without "=" (telephone-event's "0-16") has the name ""."""
    pairs = []
    for part in text.split(";")[:MAX_FORMATS]:
        name, equals, value = part.strip().partition("=")
        if equals:
            pairs.append((name.strip().lower(), value.strip()))
        elif name:
            pairs.append(("", name))
    return tuple(pairs)


def _bandwidth(section: Section) -> int | None:
    """Return b=TIAS in bit/s (RFC 3890), or b=AS in kbit/s times 1,000."""
    limits = dict(section.bandwidth)
    if "TIAS" in limits:
        return limits["TIAS"]
    return limits["AS"] * 1000 if "AS" in limits else None


def _packet_time(attributes: Attributes) -> int | None:
    value = attributes.first("ptime")
    return None if value is None else unsigned(value.partition(".")[0], 1000) or None


def _ssrcs(attributes: Attributes) -> tuple[int, ...]:
    numbers = dict.fromkeys(unsigned(value.partition(" ")[0], 2**32 - 1) for value in attributes.all("ssrc"))
    return tuple(numbers)[:MAX_SSRCS]


def _cname(attributes: Attributes) -> str:
    for value in attributes.all("ssrc"):
        name, _, rest = value.partition(" ")[2].partition(":")
        if name == "cname":
            return rest[:255]
    return ""
