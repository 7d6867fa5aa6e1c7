"""Attribute values of a session description: each kind read into plain data of `transcode.media`, and written.

Readers return None for a value that makes no sense: one bad line never costs more than what it describes.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from ipaddress import ip_address

from transcode.media import Candidate, Codec, Fingerprint, Format, Mid, SrtpKey, Suite
from transcode.rtp.mid import fits

MAX_PARAMETERS = 32
"""Parameters of one fmtp line; H.264 defines about 25."""
MAX_FEEDBACK = 16
"""rtcp-fb values that hold for one format; browsers send 6."""

CODECS = {codec.value.lower(): codec for codec in Codec} | {"h263-2000": Codec.H263P}
"""Encoding names in lower case (RFC 4855: they are compared so); H263-2000 packs as H263-1998 does (RFC 4629 §8.1)."""
CLOCKS = {
    Codec.PCMU: 8_000,
    Codec.PCMA: 8_000,
    Codec.G722: 8_000,
    Codec.OPUS: 48_000,
    Codec.G729: 8_000,
    Codec.G723: 8_000,
    Codec.H264: 90_000,
    Codec.VP8: 90_000,
    Codec.H263: 90_000,
    Codec.H263P: 90_000,
    Codec.H261: 90_000,
    Codec.T140: 1_000,
    Codec.RED: 1_000,
}
"""Clock rates in Hz of the codecs that have just one."""
STATIC = {
    0: Codec.PCMU,
    4: Codec.G723,
    8: Codec.PCMA,
    9: Codec.G722,
    13: Codec.COMFORT_NOISE,
    18: Codec.G729,
    31: Codec.H261,
    34: Codec.H263,
}
"""Payload types that need no rtpmap (RFC 3551 §6); all of these run at CLOCKS, comfort noise at 8,000 Hz."""
_UPPER = {Codec.H261, Codec.H263, Codec.H263P}
_UPPER_EXCEPT = {"profile", "level", "interlace"}
_CLOCK_MISTAKES = {(Codec.G722, 16_000)}
"""G.722 samples at 16 kHz and is stamped at 8 kHz; some devices write the former (RFC 3551 §4.5.2)."""


def static_format(payload_type: int) -> Format | None:
    """Return the format that a payload type has without an rtpmap."""
    codec = STATIC.get(payload_type)
    return None if codec is None else Format(codec, payload_type, CLOCKS.get(codec, 8_000))


MID_EXTENSION = "urn:ietf:params:rtp-hdrext:sdes:mid"
"""The header extension that names a packet's stream in a bundle (RFC 9143 §15.2)."""


def read_mid(mid: str, extmaps: list[str]) -> Mid | None:
    """Return how packets of a line name it, of its mid and extmap values (RFC 8285 §5); None where they do not.

    One that may go one way only, or has an id that needs the two-byte form, is as good as none.
    """
    for value in extmaps:
        number, uri = (*value.split(), "", "")[:2]
        id = read_number(number.removesuffix("/sendrecv"), 255)
        if uri == MID_EXTENSION and id is not None:
            named = Mid(mid, id)
            return named if fits(named) else None
    return None


def write_mid(mid: Mid) -> str:
    """Write the extmap value that says how packets name their line."""
    return f"{mid.extension} {MID_EXTENSION}"


def read_number(text: str, most: int) -> int | None:
    """Read a decimal number from 0 to `most`."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most else None


@dataclass(frozen=True, slots=True)
class RtpMap:
    """An rtpmap line; name as it was written (RFC 8866 §6.6)."""

    payload_type: int
    name: str
    codec: Codec
    clock_rate: int
    channels: int


def read_rtpmap(value: str) -> RtpMap | None:
    """Read "96 H264/90000"; None for a codec unknown here or a clock rate that it cannot have."""
    number, _, encoding = value.partition(" ")
    name, _, rest = encoding.strip().partition("/")
    clock_text, _, channel_text = rest.partition("/")
    payload_type = read_number(number.strip(), 127)
    codec = CODECS.get(name.lower())
    clock = read_number(clock_text.strip(), 192_000)
    channels = read_number(channel_text.strip() or "1", 255)
    if payload_type is None or codec is None or not clock or not channels:
        return None
    if (codec, clock) in _CLOCK_MISTAKES:
        clock = CLOCKS[codec]
    if clock != CLOCKS.get(codec, clock):
        return None
    if codec is Codec.OPUS:
        channels = 2
    return RtpMap(payload_type, name, codec, clock, channels)


def write_rtpmap(format: Format, name: str | None = None) -> str:
    """Write a format's rtpmap value; name is the peer's own spelling of the codec, where it has one."""
    channels = 2 if format.codec is Codec.OPUS else format.channels
    suffix = f"/{channels}" if channels > 1 else ""
    return f"{format.payload_type} {name or format.codec.value}/{format.clock_rate}{suffix}"


def read_parameters(codec: Codec, text: str) -> tuple[tuple[str, str], ...]:
    """Read what follows the payload type of an fmtp line; a word without "=" (events 0-16) has the value "".

    H.261 and H.263 devices also separate by blanks or "/", as RFC 3551's time wrote it.
    """
    pieces = re.split(r"[;\s/]+", text) if codec in _UPPER else text.split(";")
    pairs: list[tuple[str, str]] = []
    for piece in pieces:
        name, _, value = piece.partition("=")
        if name.strip() and len(pairs) < MAX_PARAMETERS:
            pairs.append((name.strip().lower(), value.strip()))
    return tuple(pairs)


def write_parameters(format: Format) -> str:
    """Write a format's parameters; those of H.261 and H.263 in capitals, as their devices compare them so."""
    pieces = []
    for name, value in format.parameters:
        shown = name.upper() if format.codec in _UPPER and name not in _UPPER_EXCEPT else name
        pieces.append(f"{shown}={value}" if value else shown)
    return ";".join(pieces)


def read_feedback(value: str) -> tuple[int | None, str] | None:
    """Read an rtcp-fb value: the payload type (None for *) and "nack", "nack pli", "ccm fir" ... (RFC 4585 §4.2)."""
    words = value.lower().split()
    if len(words) < 2:
        return None
    payload_type = None if words[0] == "*" else read_number(words[0], 127)
    if payload_type is None and words[0] != "*":
        return None
    kept = 3 if words[1] in ("nack", "ccm", "ack", "trr-int") else 2
    return payload_type, " ".join(words[1:kept])


_UNDERSTOOD = ("kdr", "wsh", "fec_order", "fec_key")
_SUITES = {suite.value: suite for suite in Suite} | {
    "AES_256_CM_HMAC_SHA1_80": Suite.AES_256_CM_HMAC_SHA1_80,
    "AES_CM_256_HMAC_SHA1_80": Suite.AES_256_CM_HMAC_SHA1_80,
    "AES_CM_256_HMAC_SHA1_32": Suite.AES_256_CM_HMAC_SHA1_32,
}
"""Suites by name; AES_CM_256 is how RFC 6188's draft and devices after it spell AES_256_CM."""


@dataclass(frozen=True, slots=True)
class Crypto:
    """A crypto line: the key, the suite's name as written, and whether packets carry a master key identifier."""

    key: SrtpKey
    name: str
    mki: bool


def read_crypto(value: str) -> Crypto | None:
    """Read "1 AES_CM_128_HMAC_SHA1_80 inline:key|2^20|1:4" (RFC 4568 §9.1). Of several keys the first is taken.

    A line with a session parameter that changes the packets and is not done here (UNENCRYPTED_SRTP ...) is none.
    """
    words = value.split()
    if len(words) < 3:
        return None
    tag, suite = read_number(words[0], 999_999_999), _SUITES.get(words[1].upper())
    if tag is None or suite is None:
        return None
    for word in words[3:]:
        name = word.split("=")[0].lower()
        if name not in _UNDERSTOOD and not name.startswith("-"):
            return None
    method, _, info = words[2].split(";")[0].partition(":")
    encoded, *rest = info.split("|")
    if method.lower() != "inline":
        return None
    try:
        octets = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(octets) != suite.key_length + suite.salt_length:
        return None
    key = SrtpKey(tag, suite, octets[: suite.key_length], octets[suite.key_length :])
    return Crypto(key, words[1], any(":" in part for part in rest))


def write_crypto(key: SrtpKey, name: str | None = None) -> str:
    """Write a key's crypto value; name is the peer's own spelling of the suite, where it has one."""
    return f"{key.tag} {name or key.suite.value} inline:{base64.b64encode(key.key + key.salt).decode()}"


def read_fingerprint(value: str) -> Fingerprint | None:
    """Read "sha-256 AB:CD:..." (RFC 8122 §5)."""
    words = value.split()
    if len(words) != 2 or not re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){15,63}", words[1]):
        return None
    return Fingerprint(words[0].lower(), words[1].upper())


def read_candidate(value: str) -> Candidate | None:
    """Read an ICE candidate (RFC 8839 §5.1); its address may be a name that ends in .local."""
    words = value.split()
    if len(words) < 8 or words[6].lower() != "typ":
        return None
    component, priority, port = (
        read_number(words[1], 256),
        read_number(words[3], 2**32 - 1),
        read_number(words[5], 65_535),
    )
    if component is None or priority is None or port is None or len(words[0]) > 32 or len(words[4]) > 255:
        return None
    rest = {words[at].lower(): words[at + 1] for at in range(8, len(words) - 1, 2)}
    related = read_number(rest.get("rport", ""), 65_535)
    return Candidate(
        words[0],
        component,
        words[2].lower(),
        priority,
        words[4],
        port,
        words[7].lower(),
        rest.get("raddr"),
        related,
        rest.get("tcptype"),
    )


def write_candidate(candidate: Candidate) -> str:
    """Write an ICE candidate's value."""
    text = (
        f"{candidate.foundation} {candidate.component} {candidate.protocol} {candidate.priority} "
        f"{candidate.address} {candidate.port} typ {candidate.type}"
    )
    if candidate.related_address is not None and candidate.related_port is not None:
        text += f" raddr {candidate.related_address} rport {candidate.related_port}"
    return f"{text} tcptype {candidate.tcp_type}" if candidate.tcp_type else text


def is_unspecified(address: str | None) -> bool:
    """Tell whether an address is missing, 0.0.0.0 or :: (RFC 3264 §8.4: the old spelling of hold)."""
    if not address:
        return True
    try:
        return ip_address(address).is_unspecified
    except ValueError:
        return False
