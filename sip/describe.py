"""From a session description to the media description that it spells (RFC 3264, RFC 8866).

Only audio, video and text over RTP become streams; other lines (application, image, BFCP) are the answer's business
alone, see `describe_write`. A line that could be a stream but holds nothing that is known here becomes a refused one
(port 0), so that the positions and ids of the others stay. Directions are turned into format lists: what the
describing side takes and what it will send.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sip.describe_transport import alive, leading, read_crypto_lines, read_dtls, read_transport
from sip.describe_values import (
    MAX_FEEDBACK,
    is_unspecified,
    read_feedback,
    read_mid,
    read_number,
    read_parameters,
    read_rtpmap,
    static_format,
)
from sip.sdp import Media, Session
from transcode.media import Codec, Format, Kind, MediaDescription, Role, StreamDescription, Transport

KINDS = {"audio": Kind.AUDIO, "video": Kind.VIDEO, "text": Kind.TEXT}
PROFILES = frozenset(
    {
        "RTP/AVP",
        "RTP/AVPF",
        "RTP/SAVP",
        "RTP/SAVPF",
        "UDP/TLS/RTP/SAVP",
        "UDP/TLS/RTP/SAVPF",
    }
)
"""Transport protocols of m= lines that carry RTP on UDP (RFC 3551, 4585, 3711, 5124, 5764)."""
MAX_SSRCS = 16
"""SSRCs of one line; a stream with retransmission has two."""
MAX_PACKET_TIME = 200
"""ms of a=ptime; RFC 3551 §4.2 asks receivers to take up to this."""
_DIRECTIONS = {
    "sendrecv": (True, True),
    "sendonly": (False, True),
    "recvonly": (True, False),
    "inactive": (False, False),
}


def describe(session: Session, ids: Sequence[str]) -> MediaDescription:
    """Return the media description that a parsed SDP spells; ids names its m= lines, one each."""
    slides, bundle = _slide_labels(session), _bundle(session, ids)
    streams = []
    for media, id in zip(session.media, ids, strict=True):
        if media.kind in KINDS:
            stream = _stream(session, media, id, slides)
            named = read_mid(media.first("mid") or "", media.all("extmap") + session.all("extmap"))
            streams.append(replace(stream, mid=named) if id in bundle else stream)
    return MediaDescription(tuple(streams), bundle)


def direction(session: Session, media: Media) -> tuple[bool, bool]:
    """Return whether the describing side receives and sends on a line (RFC 3264 §5.1, §8.4)."""
    for name in _DIRECTIONS:
        if media.has(name):
            receives, sends = _DIRECTIONS[name]
            break
    else:
        receives, sends = next((_DIRECTIONS[name] for name in _DIRECTIONS if session.has(name)), (True, True))
    tagged = leading(session, media)
    if is_unspecified(session.address(tagged)) and not tagged.has("ice-ufrag") and not session.has("ice-ufrag"):
        receives = False
    return receives, sends


def read_formats(media: Media) -> tuple[Format, ...]:
    """Return the formats of a line that are known here, in its order (RFC 8866 §6.6, §6.15; RFC 4585 §4.2)."""
    maps = {found.payload_type: found for found in map(read_rtpmap, media.all("rtpmap")) if found}
    parameters = _by_payload_type(media.all("fmtp"))
    feedback = [found for found in map(read_feedback, media.all("rtcp-fb")) if found]
    formats: dict[int, Format] = {}
    for word in media.formats:
        payload_type = read_number(word, 127)
        if payload_type is None or payload_type in formats:
            continue
        known = maps.get(payload_type)
        if known is not None:
            base: Format | None = Format(known.codec, payload_type, known.clock_rate, known.channels)
        else:
            base = static_format(payload_type)
        if base is not None:
            wanted = (value for number, value in feedback if number in (None, payload_type))
            formats[payload_type] = Format(
                base.codec,
                payload_type,
                base.clock_rate,
                base.channels,
                read_parameters(base.codec, parameters.get(payload_type, "")),
                tuple(dict.fromkeys(wanted))[:MAX_FEEDBACK],
            )
    return tuple(formats.values())


def usable(session: Session, media: Media) -> bool:
    """Tell whether a line may carry a stream: RTP on a port, a known codec, keys where its profile demands them."""
    if media.kind not in KINDS or media.protocol.upper() not in PROFILES or not alive(session, media):
        return False
    if not any(format.codec not in _COMPANIONS for format in read_formats(media)):
        return False
    protocol = media.protocol.upper()
    if "SAVP" not in protocol or read_dtls(session, media) is not None:
        return True
    return "TLS" not in protocol and bool(read_crypto_lines(leading(session, media)))


_COMPANIONS = frozenset({Codec.TELEPHONE_EVENT, Codec.COMFORT_NOISE, Codec.RTX, Codec.RED})
"""Formats that go along with another and make no stream alone."""


def _stream(session: Session, media: Media, id: str, slides: frozenset[str]) -> StreamDescription:
    formats = read_formats(media) if usable(session, media) else ()
    receives, sends = direction(session, media)
    packet_time = read_number((media.first("ptime") or "").split(".")[0].strip(), MAX_PACKET_TIME)
    ssrcs, cname = _sources(media)
    return StreamDescription(
        id,
        KINDS[media.kind],
        formats if receives else (),
        formats if sends else (),
        read_transport(session, media) if formats else Transport(None, 0),
        _role(media, slides),
        _bandwidth(session, media),
        packet_time or None,
        ssrcs,
        cname,
    )


def _sources(media: Media) -> tuple[tuple[int, ...], str]:
    """Return the announced SSRCs and the first cname (RFC 5576 §4.1)."""
    ssrcs: dict[int, None] = {}
    cname = ""
    for value in media.all("ssrc"):
        number, _, rest = value.partition(" ")
        ssrc = read_number(number, 2**32 - 1)
        if ssrc is not None and len(ssrcs) < MAX_SSRCS:
            ssrcs[ssrc] = None
        if not cname and rest.lower().startswith("cname:"):
            cname = rest[len("cname:") :].strip()[:255]
    return tuple(ssrcs), cname


def _bandwidth(session: Session, media: Media) -> int | None:
    """Return bit/s that the describing side takes (RFC 3890, RFC 8866 §5.8). A session's bound holds for its video."""
    for bandwidths in (media.bandwidths, session.bandwidths if media.kind == "video" else ()):
        named = dict(reversed(bandwidths))
        if named.get("TIAS"):
            return named["TIAS"]
        for kind in ("AS", "CT"):
            if named.get(kind):
                return named[kind] * 1000
    return None


def _role(media: Media, slides: frozenset[str]) -> Role:
    content = (media.first("content") or "").lower().replace(" ", "").split(",")
    return Role.SLIDES if "slides" in content or (media.first("label") or "") in slides else Role.MAIN


def _slide_labels(session: Session) -> frozenset[str]:
    """Return the labels of streams that a BFCP floor governs: those are slides (RFC 4583 §6, RFC 4796)."""
    labels: set[str] = set()
    for media in session.media:
        if media.kind == "application":
            for value in media.all("floorid"):
                _, _, streams = value.replace("m-stream:", "mstrm:").partition("mstrm:")
                labels.update(streams.split())
    return frozenset(labels)


def _bundle(session: Session, ids: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of the first BUNDLE group (RFC 9143 §7)."""
    for value in session.all("group"):
        kind, *mids = value.split() or [""]
        if kind.upper() == "BUNDLE":
            named = {
                media.first("mid"): id for media, id in zip(session.media, ids, strict=True) if media.kind in KINDS
            }
            return tuple(named[mid] for mid in dict.fromkeys(mids) if mid in named)
    return ()


def _by_payload_type(values: list[str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for value in values:
        number, _, rest = value.partition(" ")
        payload_type = read_number(number, 127)
        if payload_type is not None:
            found.setdefault(payload_type, rest)
    return found
