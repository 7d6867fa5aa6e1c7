"""Frames of Q.922 in RTP payloads: as they are (H.323 Annex Q), or as a bit stream of HDLC between flags. Pure.

The bit stream has the least significant bit of each octet first, a zero behind five ones, a check sequence at the end
and flags around; it need not end at an octet. `read` tells the two apart by the first octet: a flag, or the address.
"""

from __future__ import annotations

MAX_FRAME = 263
"""Octets of a frame: two of address, one of control, 260 of information (Q.922 §5.9)."""
FLAGS = 3
"""Flags before and behind a frame; one would do, real endpoints send as many."""
_FLAG = (0, 1, 1, 1, 1, 1, 1, 0)
_GOOD = 0xF0B8
"""What the check comes to over a frame with its check sequence (ISO/IEC 13239)."""


def _check(data: bytes) -> int:
    """Return the check of ISO/IEC 13239 before it is inverted."""
    value = 0xFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = (value >> 1) ^ 0x8408 if value & 1 else value >> 1
    return value


def write_hdlc(frame: bytes) -> bytes:
    """Return a frame as a bit stream; it ends in ones, which are no flag."""
    data = frame + (_check(frame) ^ 0xFFFF).to_bytes(2, "little")
    bits = list(_FLAG * FLAGS)
    ones = 0
    for octet in data:
        for place in range(8):
            bit = octet >> place & 1
            bits.append(bit)
            ones = ones + 1 if bit else 0
            if ones == 5:
                bits.append(0)
                ones = 0
    bits += _FLAG * FLAGS
    bits += [1] * (-len(bits) % 8)
    return bytes(int("".join(map(str, bits[place : place + 8])), 2) for place in range(0, len(bits), 8))


def read_hdlc(payload: bytes) -> list[bytes]:
    """Return the frames of a bit stream that are whole and pass their check."""
    frames: list[bytes] = []
    found: list[int] = []
    inside = False
    ones = 0
    for octet in payload:
        for place in range(7, -1, -1):
            bit = octet >> place & 1
            if bit:
                ones += 1
                if ones > 6:  # an abort; nothing begins before the next flag
                    inside = False
                found.append(1)
                continue
            if ones == 6:
                if inside:
                    frames += _frame(found[:-7])
                found, inside = [], True
            elif ones != 5:
                found.append(0)
            ones = 0
            if len(found) > 8 * (MAX_FRAME + 4):
                found, inside = [], False
    return frames


def _frame(bits: list[int]) -> list[bytes]:
    """Return the frame of the bits between two flags, if it is one."""
    if len(bits) % 8 or not 6 * 8 <= len(bits) <= 8 * (MAX_FRAME + 2):
        return []
    data = bytes(
        sum(bit << place for place, bit in enumerate(bits[start : start + 8])) for start in range(0, len(bits), 8)
    )
    return [data[:-2]] if _check(data) == _GOOD else []


def read(payload: bytes) -> list[bytes]:
    """Return the frames of a payload, whichever of the two forms it has."""
    if payload[:1] == b"\0":
        return [payload] if 4 <= len(payload) <= MAX_FRAME else []
    return read_hdlc(payload)
