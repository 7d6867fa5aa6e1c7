"""AudioCapability of H.245 and the sound formats of the house (H.245 §B.2.2.8; H.323 Annex on G.7xx, RFC 3551).

The number beside a codec bounds the frames in a packet: milliseconds for G.711 and G.722, frames of 10 ms for G.729,
of 30 ms for G.723.1. Opus is a generic capability (`opus.py`).
"""

from __future__ import annotations

from typing import Any

from h323.describe.opus import read_opus, write_opus
from transcode.media import Codec, Format

Capability = tuple[str, Any]

PACKET_MS = 20
"""Milliseconds of sound in a packet: what we send, and ask to be sent."""
_WRITTEN: dict[Codec, Capability] = {
    Codec.PCMU: ("g711Ulaw64k", PACKET_MS),
    Codec.PCMA: ("g711Alaw64k", PACKET_MS),
    Codec.G722: ("g722-64k", PACKET_MS),
    Codec.G729: ("g729AnnexA", PACKET_MS // 10),
    Codec.G723: ("g7231", {"maxAl-sduAudioFrames": 1, "silenceSuppression": False}),
}
_READ: dict[str, Codec] = {
    "g711Ulaw64k": Codec.PCMU,
    "g711Alaw64k": Codec.PCMA,
    "g722-64k": Codec.G722,
    "g729": Codec.G729,
    "g729AnnexA": Codec.G729,
    "g729wAnnexB": Codec.G729,
    "g729AnnexAwAnnexB": Codec.G729,
    "g7231": Codec.G723,
}
PAYLOAD_TYPES = {Codec.PCMU: 0, Codec.G723: 4, Codec.PCMA: 8, Codec.G722: 9, Codec.G729: 18}
"""Static payload types (RFC 3551 §6); channels of these codecs name none."""


_ALSO: dict[Codec, Capability] = {Codec.G729: ("g729", PACKET_MS // 10)}
"""Other names of what is received: plain G.729 and its Annex A read each other."""


def write_received(format: Format) -> list[Capability]:
    """Return the capabilities to receive a format, none for one that H.245 has no name for here."""
    found = (write_audio(format), _ALSO.get(format.codec))
    return [one for one in found if one is not None]


def write_audio(format: Format) -> Capability | None:
    """Return the capability of a format; None for one that H.245 has no name for here."""
    if format.codec is Codec.OPUS:
        return ("genericAudioCapability", write_opus(format))
    return _WRITTEN.get(format.codec)


def read_audio(capability: Capability) -> Format | None:
    """Return the format that a capability, a channel's data type or a mode means; None for one not spoken here."""
    if capability[0] in ("genericAudioCapability", "genericAudioMode"):
        return read_opus(capability[1])
    codec = _READ.get(capability[0])
    return None if codec is None else Format(codec, PAYLOAD_TYPES[codec], 8000)
