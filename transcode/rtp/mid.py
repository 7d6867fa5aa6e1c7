"""The RTP header extension that names a packet's stream in a bundle (RFC 9143 §15, RFC 8285)."""

from __future__ import annotations

from transcode.media import Mid

MAX_NAME = 16
"""Octets of a name: what one element of the one-byte form holds (RFC 8285 §4.2)."""
MAX_ID = 14
"""Ids of the one-byte form; 15 is kept for later (RFC 8285 §4.2)."""
_ONE_BYTE = b"\xbe\xde"
_PADDING = 0


def header_extension(mid: Mid) -> bytes:
    """Return the whole header extension of a packet that names its stream. The name is one that `fits`."""
    name = mid.name.encode()
    content = bytes([mid.extension << 4 | len(name) - 1]) + name
    content += bytes(-len(content) % 4)
    return _ONE_BYTE + (len(content) // 4).to_bytes(2, "big") + content


def fits(mid: Mid) -> bool:
    """Tell whether a name and its id go into the one-byte form, which every peer reads."""
    return 1 <= mid.extension <= MAX_ID and 1 <= len(mid.name.encode()) <= MAX_NAME


def read_name(packet: bytes, extension: int) -> str | None:
    """Return the name in an RTP packet's header extension of that id; None where there is none that makes sense."""
    start = 12 + 4 * (packet[0] & 0x0F)
    if not packet[0] & 0x10 or len(packet) < start + 4:
        return None
    profile, words = packet[start : start + 2], int.from_bytes(packet[start + 2 : start + 4], "big")
    content = packet[start + 4 : start + 4 + 4 * words]
    if profile == _ONE_BYTE:
        return _read_one_byte(content, extension)
    return _read_two_byte(content, extension) if profile[0] == 0x10 and profile[1] < 0x10 else None


def _read_one_byte(content: bytes, extension: int) -> str | None:
    at = 0
    while at < len(content):
        if content[at] == _PADDING:
            at += 1
            continue
        id, length = content[at] >> 4, (content[at] & 0x0F) + 1
        if id > MAX_ID:
            return None  # nothing that follows is to be read (§4.2)
        if id == extension:
            return _text(content, at + 1, length)
        at += 1 + length
    return None


def _read_two_byte(content: bytes, extension: int) -> str | None:
    at = 0
    while at + 1 < len(content):
        if content[at] == _PADDING:
            at += 1
            continue
        id, length = content[at], content[at + 1]
        if id == extension:
            return _text(content, at + 2, length)
        at += 2 + length
    return None


def _text(content: bytes, start: int, length: int) -> str | None:
    octets = content[start : start + length]
    return octets.decode("utf-8", "replace") if len(octets) == length > 0 else None
