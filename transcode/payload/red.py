"""Redundant payloads: several blocks in one packet, older ones first (RFC 2198)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_BLOCKS = 16
"""Blocks of one payload that are read; text has three, and each costs four octets of header."""
MAX_LENGTH = (1 << 10) - 1
"""Octets of a redundant block (§3: ten bits)."""
MAX_OFFSET = (1 << 14) - 1
"""Ticks that a redundant block may be older than its packet (§3: fourteen bits)."""
_HEADER = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its payload type, how many ticks older than the packet it is (0 for the primary one), its octets."""

    payload_type: int
    offset: int
    data: bytes


def parse(payload: bytes) -> list[Block]:
    """Return a payload's blocks, the primary one last. Raises ValueError."""
    heads: list[tuple[int, int, int]] = []
    at = 0
    while at < len(payload) and payload[at] & 0x80:
        if len(heads) == MAX_BLOCKS:
            raise ValueError(f"more than {MAX_BLOCKS} redundant blocks")
        if at + _HEADER.size > len(payload):
            raise ValueError("the header of a redundant block is cut short")
        (word,) = _HEADER.unpack_from(payload, at)
        heads.append((word >> 24 & 0x7F, word >> 10 & MAX_OFFSET, word & MAX_LENGTH))
        at += _HEADER.size
    if at >= len(payload):
        raise ValueError("the primary block's header is missing")
    primary = payload[at] & 0x7F
    at += 1
    blocks = []
    for payload_type, offset, length in heads:
        if at + length > len(payload):
            raise ValueError("a redundant block is cut short")
        blocks.append(Block(payload_type, offset, payload[at : at + length]))
        at += length
    return [*blocks, Block(primary, 0, payload[at:])]


def pack(blocks: list[Block]) -> bytes:
    """Return the payload of these blocks, the primary one last. Raises ValueError where one does not fit its header."""
    *redundant, primary = blocks
    heads = bytearray()
    for block in redundant:
        if len(block.data) > MAX_LENGTH or not 0 <= block.offset <= MAX_OFFSET:
            raise ValueError("a redundant block is too long or too old")
        heads += _HEADER.pack(0x80000000 | block.payload_type << 24 | block.offset << 10 | len(block.data))
    return bytes(heads) + bytes([primary.payload_type]) + b"".join(block.data for block in blocks)
