"""RTCP packets on the wire: reports (RFC 3550 §6) and feedback (RFC 4585, RFC 5104, REMB).

`parse` reads a whole datagram, compound or of reduced size (RFC 5506), into frozen dataclasses; what is of no use
here (APP, SLI, RPSI, XR, transport-wide feedback, unknown types) is skipped by its length. `pack` writes them one
after the other. SSRCs are 32-bit numbers everywhere; `sender` is the SSRC of who sent the message, `media` that of
the stream which it is about.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = 200, 201, 202, 203, 204, 205, 206, 207

MAX_DATAGRAM = 2048
"""Octets of one RTCP datagram; nothing real is longer than an Ethernet frame."""
MAX_PACKETS = 64
"""Packets in one compound; a busy one holds about six."""
MAX_BLOCKS = 31
"""Report blocks in one packet: the count has five bits."""
MAX_SEQUENCES = 1024
"""Sequence numbers taken from one NACK packet; no history here is longer."""
MAX_BIT_RATE = 1 << 40
"""Bit/s; the exponents on the wire allow numbers that mean nothing."""
MAX_TEXT = 255
"""Octets of a CNAME or a BYE's reason: their length has one octet."""

_HEADER = struct.Struct("!BBH")
_BLOCK = struct.Struct("!IIIIII")
_SENDER = struct.Struct("!IQIII")
_PAIR = struct.Struct("!II")
_SSRC = struct.Struct("!I")
_NACK = struct.Struct("!HH")
_CNAME = 1


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """How one source is received (RFC 3550 §6.4.1).

    fraction_lost is in 1/256 of the packets expected since the last report, lost the signed 24-bit total, highest
    the extended highest sequence number, jitter in ticks of the source's clock, last_sr the middle 32 bits of the
    last sender report's NTP time, delay the time since then in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_sr: int
    delay: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR (RFC 3550 §6.4.1): ntp is 32.32 fixed-point seconds; packets and octets are modulo 2**32."""

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR (RFC 3550 §6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES (RFC 3550 §6.5), of which only the canonical names are kept: pairs of SSRC and CNAME."""

    names: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE (RFC 3550 §6.6)."""

    ssrcs: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Nack:
    """Generic NACK (RFC 4585 §6.2.1): sequence numbers that are missed, modulo 2**16."""

    sender: int
    media: int
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RateEntry:
    """One stream's limit in a TMMBR or TMMBN: bit_rate in bit/s, overhead in octets a packet (RFC 5104 §4.2.1.1)."""

    ssrc: int
    bit_rate: int
    overhead: int = 0


@dataclass(frozen=True, slots=True)
class RateRequest:
    """TMMBR (RFC 5104 §4.2.1): send at most so much."""

    sender: int
    entries: tuple[RateEntry, ...]


@dataclass(frozen=True, slots=True)
class RateNotification:
    """TMMBN (RFC 5104 §4.2.2): the limits that a sender holds to, with their owners' SSRCs."""

    sender: int
    entries: tuple[RateEntry, ...]


@dataclass(frozen=True, slots=True)
class PictureLoss:
    """PLI (RFC 4585 §6.3.1)."""

    sender: int
    media: int


@dataclass(frozen=True, slots=True)
class FullIntraRequest:
    """FIR (RFC 5104 §4.3.1): pairs of SSRC and command number."""

    sender: int
    entries: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class EstimatedBandwidth:
    """REMB (draft-alvestrand-rmcat-remb-03): bit_rate in bit/s over all of ssrcs."""

    sender: int
    bit_rate: int
    ssrcs: tuple[int, ...]


RtcpPacket = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Goodbye
    | Nack
    | RateRequest
    | RateNotification
    | PictureLoss
    | FullIntraRequest
    | EstimatedBandwidth
)


def parse(data: bytes) -> list[RtcpPacket]:
    """Read one RTCP datagram. Raises ValueError if any part of it is malformed (RFC 3550 A.2, RFC 5506)."""
    end = len(data)
    if end < 8:
        raise ValueError("RTCP datagram shorter than one packet")
    if end > MAX_DATAGRAM:
        raise ValueError("RTCP datagram longer than is taken")
    packets: list[RtcpPacket] = []
    position = count = 0
    while position < end:
        if position + 4 > end:
            raise ValueError("RTCP packet shorter than its header")
        first, packet_type, words = _HEADER.unpack_from(data, position)
        if first >> 6 != 2:
            raise ValueError("RTCP version is not 2")
        if not 192 <= packet_type <= 223:
            raise ValueError("not an RTCP packet type")
        start, position = position + 4, position + 4 + 4 * words
        if position > end:
            raise ValueError("RTCP packet longer than its datagram")
        count += 1
        if count > MAX_PACKETS:
            raise ValueError("too many RTCP packets in one datagram")
        stop = position
        if first & 0x20:
            padding = data[stop - 1] if words else 0
            if padding == 0 or padding > stop - start or position != end:
                raise ValueError("RTCP padding is wrong")
            stop -= padding
        reader = _READERS.get(packet_type)
        if reader is not None:
            packet = reader(data[start:stop], first & 0x1F)
            if packet is not None:
                packets.append(packet)
    return packets


def pack(packets: Iterable[RtcpPacket]) -> bytes:
    """Write packets one after the other as one datagram. Raises ValueError if a value does not fit."""
    return b"".join(_pack_one(packet) for packet in packets)


def _read_blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    if start + 24 * count > len(body):
        raise ValueError("RTCP report ends inside its blocks")
    blocks = []
    for position in range(start, start + 24 * count, 24):
        ssrc, loss, highest, jitter, last_sr, delay = _BLOCK.unpack_from(body, position)
        lost = loss & 0xFFFFFF
        if lost & 0x800000:
            lost -= 0x1000000
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last_sr, delay))
    return tuple(blocks)


def _read_sr(body: bytes, count: int) -> RtcpPacket:
    if len(body) < 24:
        raise ValueError("RTCP sender report is too short")
    ssrc, ntp, timestamp, packets, octets = _SENDER.unpack_from(body)
    return SenderReport(ssrc, ntp, timestamp, packets, octets, _read_blocks(body, 24, count))


def _read_rr(body: bytes, count: int) -> RtcpPacket:
    if len(body) < 4:
        raise ValueError("RTCP receiver report is too short")
    return ReceiverReport(_SSRC.unpack_from(body)[0], _read_blocks(body, 4, count))


def _read_sdes(body: bytes, count: int) -> RtcpPacket:
    names = []
    position, end = 0, len(body)
    for _ in range(count):
        if position + 4 > end:
            raise ValueError("RTCP source description ends inside a chunk")
        ssrc = _SSRC.unpack_from(body, position)[0]
        position += 4
        while True:
            if position >= end:
                raise ValueError("RTCP source description has no end")
            item = body[position]
            if item == 0:
                break
            if position + 2 > end or position + 2 + body[position + 1] > end:
                raise ValueError("RTCP source description ends inside an item")
            text = body[position + 2 : position + 2 + body[position + 1]]
            if item == _CNAME:
                names.append((ssrc, text.decode("utf-8", "replace")))
            position += 2 + len(text)
        position += 4 - position % 4  # the chunk ends on the next boundary, after at least one null octet
    return SourceDescription(tuple(names))


def _read_bye(body: bytes, count: int) -> RtcpPacket:
    if len(body) < 4 * count:
        raise ValueError("RTCP BYE ends inside its sources")
    ssrcs = struct.unpack_from(f"!{count}I", body)
    reason = ""
    if len(body) > 4 * count:
        length = body[4 * count]
        text = body[4 * count + 1 : 4 * count + 1 + length]
        if len(text) < length:
            raise ValueError("RTCP BYE ends inside its reason")
        reason = text.decode("utf-8", "replace")
    return Goodbye(ssrcs, reason)


def _feedback(body: bytes) -> tuple[int, int]:
    if len(body) < 8:
        raise ValueError("RTCP feedback is too short")
    sender, media = _PAIR.unpack_from(body)
    return sender, media


def _read_rtpfb(body: bytes, form: int) -> RtcpPacket | None:
    sender, media = _feedback(body)
    if form == 1:
        return Nack(sender, media, _read_sequences(body))
    if form == 3:
        return RateRequest(sender, _read_rates(body))
    if form == 4:
        return RateNotification(sender, _read_rates(body))
    return None


def _read_sequences(body: bytes) -> tuple[int, ...]:
    if len(body) < 12 or len(body) % 4:
        raise ValueError("RTCP NACK has no whole entry")
    sequences: list[int] = []
    for position in range(8, len(body), 4):
        first, bits = _NACK.unpack_from(body, position)
        sequences.append(first)
        sequences.extend((first + bit + 1) & 0xFFFF for bit in range(16) if bits >> bit & 1)
        if len(sequences) >= MAX_SEQUENCES:
            break
    return tuple(sequences[:MAX_SEQUENCES])


def _read_rates(body: bytes) -> tuple[RateEntry, ...]:
    if len(body) % 8:
        raise ValueError("RTCP rate limit ends inside an entry")
    entries = []
    for position in range(8, len(body), 8):
        ssrc, word = _PAIR.unpack_from(body, position)
        bit_rate = min((word >> 9 & 0x1FFFF) << (word >> 26), MAX_BIT_RATE)
        entries.append(RateEntry(ssrc, bit_rate, word & 0x1FF))
    return tuple(entries)


def _read_psfb(body: bytes, form: int) -> RtcpPacket | None:
    sender, media = _feedback(body)
    if form == 1:
        return PictureLoss(sender, media)
    if form == 4:
        if len(body) < 16 or len(body) % 8:
            raise ValueError("RTCP FIR has no whole entry")
        return FullIntraRequest(
            sender,
            tuple((_SSRC.unpack_from(body, position)[0], body[position + 4]) for position in range(8, len(body), 8)),
        )
    if form == 15 and body[8:12] == b"REMB":
        return _read_remb(body, sender)
    return None


def _read_remb(body: bytes, sender: int) -> RtcpPacket:
    if len(body) < 16 or len(body) < 16 + 4 * body[12]:
        raise ValueError("RTCP REMB ends inside its sources")
    word = int.from_bytes(body[13:16], "big")
    bit_rate = min((word & 0x3FFFF) << (word >> 18), MAX_BIT_RATE)
    return EstimatedBandwidth(sender, bit_rate, struct.unpack_from(f"!{body[12]}I", body, 16))


_READERS: dict[int, Callable[[bytes, int], RtcpPacket | None]] = {
    SR: _read_sr,
    RR: _read_rr,
    SDES: _read_sdes,
    BYE: _read_bye,
    RTPFB: _read_rtpfb,
    PSFB: _read_psfb,
}


def _frame(packet_type: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body


def _pack_blocks(blocks: Sequence[ReportBlock]) -> bytes:
    if len(blocks) > MAX_BLOCKS:
        raise ValueError("too many report blocks")
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | max(-0x800000, min(block.lost, 0x7FFFFF)) & 0xFFFFFF,
            block.highest & 0xFFFFFFFF,
            min(block.jitter, 0xFFFFFFFF),
            block.last_sr,
            min(block.delay, 0xFFFFFFFF),
        )
        for block in blocks
    )


def _pack_sdes(packet: SourceDescription) -> bytes:
    chunks = b""
    for ssrc, name in packet.names:
        text = name.encode()[:MAX_TEXT]
        chunk = _SSRC.pack(ssrc) + bytes((_CNAME, len(text))) + text
        chunks += chunk + bytes(4 - len(chunk) % 4)
    return _frame(SDES, len(packet.names), chunks)


def _pack_bye(packet: Goodbye) -> bytes:
    body = struct.pack(f"!{len(packet.ssrcs)}I", *packet.ssrcs)
    if packet.reason:
        text = packet.reason.encode()[:MAX_TEXT]
        body += bytes((len(text),)) + text
        body += bytes(-len(body) % 4)
    return _frame(BYE, len(packet.ssrcs), body)


def _pack_nack(packet: Nack) -> bytes:
    if not packet.sequences:
        raise ValueError("a NACK names at least one packet")
    body = _PAIR.pack(packet.sender, packet.media)
    first, bits = packet.sequences[0], 0
    for sequence in packet.sequences[1:]:
        offset = sequence - first - 1
        if 0 <= offset < 16:  # an entry never spans the wrap: some parsers count on to 65536
            bits |= 1 << offset
        else:
            body += _NACK.pack(first, bits)
            first, bits = sequence, 0
    return _frame(RTPFB, 1, body + _NACK.pack(first, bits))


def _exponent(value: int, bits: int) -> tuple[int, int]:
    """Split a number into mantissa of so many bits and exponent, rounded down so that a limit stays a limit."""
    exponent = max(0, value.bit_length() - bits)
    return value >> exponent, exponent


def _pack_rates(form: int, packet: RateRequest | RateNotification) -> bytes:
    body = _PAIR.pack(packet.sender, 0)
    for entry in packet.entries:
        mantissa, exponent = _exponent(min(entry.bit_rate, MAX_BIT_RATE), 17)
        body += _PAIR.pack(entry.ssrc, exponent << 26 | mantissa << 9 | min(entry.overhead, 0x1FF))
    return _frame(RTPFB, form, body)


def _pack_fir(packet: FullIntraRequest) -> bytes:
    body = _PAIR.pack(packet.sender, 0)
    for ssrc, number in packet.entries:
        body += _PAIR.pack(ssrc, (number & 0xFF) << 24)
    return _frame(PSFB, 4, body)


def _pack_remb(packet: EstimatedBandwidth) -> bytes:
    mantissa, exponent = _exponent(min(packet.bit_rate, MAX_BIT_RATE), 18)
    count = len(packet.ssrcs)
    body = _PAIR.pack(packet.sender, 0) + b"REMB" + _SSRC.pack(count << 24 | exponent << 18 | mantissa)
    return _frame(PSFB, 15, body + struct.pack(f"!{count}I", *packet.ssrcs))


def _pack_one(packet: RtcpPacket) -> bytes:
    try:
        match packet:
            case SenderReport():
                head = _SENDER.pack(
                    packet.ssrc,
                    packet.ntp,
                    packet.timestamp,
                    packet.packets & 0xFFFFFFFF,
                    packet.octets & 0xFFFFFFFF,
                )
                return _frame(SR, len(packet.blocks), head + _pack_blocks(packet.blocks))
            case ReceiverReport():
                return _frame(RR, len(packet.blocks), _SSRC.pack(packet.ssrc) + _pack_blocks(packet.blocks))
            case SourceDescription():
                return _pack_sdes(packet)
            case Goodbye():
                return _pack_bye(packet)
            case Nack():
                return _pack_nack(packet)
            case RateRequest():
                return _pack_rates(3, packet)
            case RateNotification():
                return _pack_rates(4, packet)
            case PictureLoss():
                return _frame(PSFB, 1, _PAIR.pack(packet.sender, packet.media))
            case FullIntraRequest():
                return _pack_fir(packet)
            case EstimatedBandwidth():
                return _pack_remb(packet)
    except struct.error as error:
        raise ValueError(f"an RTCP value does not fit: {error}") from None
