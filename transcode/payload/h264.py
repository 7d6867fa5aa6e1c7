"""H.264 over RTP (RFC 6184): single NAL unit and non-interleaved mode.

Receiving takes single NAL units, STAP-A and FU-A in whatever mode was agreed; STAP-B, MTAP and FU-B belong to the
interleaved mode, which nobody offers, and are counted. The depacketizer keeps the parameter sets that signalling or the
stream gave, and puts those that a key frame lacks in front of it: a decoder that starts there needs no others.

A key frame is an IDR picture, a picture with a recovery point of zero frames, or one of I slices only that comes with
a sequence parameter set: some terminals answer a request for a key frame with these and never send an IDR picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.bits import BitReader
from transcode.payload.h264_profile import NAL_PPS, is_parameter_set
from transcode.payload.h264_sps import NAL_SPS, split_annexb, unescape
from transcode.payload.interface import MTU, Picture, even_cuts

NAL_SLICE, NAL_PARTITION_C, NAL_IDR, NAL_SEI, NAL_AUD, NAL_FILLER = 1, 4, 5, 6, 9, 12
STAP_A, FU_A = 24, 28
START_CODE = b"\x00\x00\x00\x01"
MAX_NALS = 512
"""NAL units of one picture: 1080p has 68 rows of macroblocks, and mode 0 at 1,200 octets cuts 600 KB in 512."""
MAX_SPS_KEPT = 32
"""seq_parameter_set_id runs from 0 to 31."""
MAX_PPS_KEPT = 64
"""Picture parameter sets kept for key frames that lack them; ids run to 255, encoders use 1 to 4."""
MAX_RECOVERY = 300
"""Frames of gradual refresh, 10 s at 30 pictures/s; more is no recovery."""
SEI_RECOVERY_POINT = 6
MAX_SEI = 32
"""SEI messages of one NAL unit that are looked at."""
_I_SLICES = frozenset({2, 4, 7, 9})
_AHEAD = frozenset({NAL_SEI, NAL_SPS, NAL_PPS, NAL_AUD})
_LEFT_OUT = frozenset({NAL_AUD, 10, 11, NAL_FILLER})


class H264Depacketizer:
    """Makes access units of payloads, and keeps parameter sets."""

    codec = Codec.H264
    tolerant = False

    def __init__(self, parameter_sets: Sequence[bytes] = ()) -> None:
        """parameter_sets are NAL units known from signalling, see `h264_profile.sprop_parameter_sets`."""
        self._sps: dict[int, bytes] = {}
        self._pps: dict[int, bytes] = {}
        self.malformed = 0
        self.unsupported = 0
        self.bad_parameter_sets = 0
        self._resuming = False
        for nal in parameter_sets:
            self._keep(nal)

    def counters(self) -> dict[str, int]:
        """Return what was counted since the beginning, by name."""
        return {
            "malformed": self.malformed,
            "unsupported": self.unsupported,
            "bad_parameter_sets": self.bad_parameter_sets,
        }

    def begins(self, payload: bytes) -> bool:
        """Whether this payload begins with a parameter set, SEI, delimiter, or the slice of macroblock 0."""
        if not payload:
            return False
        kind, nal = payload[0] & 0x1F, payload[:3]
        if kind == STAP_A:
            nal = payload[3:6]
        elif kind == FU_A and len(payload) > 2:
            if not payload[1] & 0x80:
                return False
            nal = payload[1:3]
        if len(nal) < 2:
            return False
        kind = nal[0] & 0x1F
        return kind in _AHEAD or (NAL_SLICE <= kind <= NAL_IDR and nal[1] >= 0x80)

    def resume(self) -> None:
        """Put all parameter sets in front of the next picture, key frame or not."""
        self._resuming = True

    def assemble(self, payloads: Sequence[bytes | None]) -> Picture:
        """Return the access unit that these payloads make, as a byte stream; None stands where packets were lost."""
        nals, damaged = self._nal_units(payloads)
        kept: list[bytes] = []
        own: set[tuple[int, int]] = set()
        for nal in nals:
            kind = nal[0] & 0x1F
            if kind in (NAL_SPS, NAL_PPS):
                identity = self._keep(nal)
                if identity is None:
                    damaged = True
                    continue
                own.add((kind, identity))
            elif kind in _LEFT_OUT:
                continue
            elif kind == 0 or kind > 12:
                self.unsupported += 1
                continue
            kept.append(nal)
        if not any(NAL_SLICE <= nal[0] & 0x1F <= NAL_IDR for nal in kept):
            return Picture(damaged=damaged)
        key, recovery = _entry(kept)
        if key or self._resuming or recovery is not None:
            self._resuming = False
            kept = self._absent_sets(own) + kept
        return Picture(b"".join([part for nal in kept for part in (START_CODE, nal)]), key, damaged, recovery)

    def _nal_units(self, payloads: Sequence[bytes | None]) -> tuple[list[bytes], bool]:
        """Take payloads apart: NAL units, and whether some are missing."""
        nals: list[bytes] = []
        damaged = False
        fragments: list[bytes] = []
        for payload in payloads:
            kind = payload[0] & 0x1F if payload else 0
            whole = True
            if fragments and kind != FU_A:
                fragments = []
                damaged = True
            if payload is None:
                damaged = True
            elif 1 <= kind < STAP_A:
                nals += _without_start_codes(payload)
            elif kind == STAP_A:
                whole = _unpack_stap(payload, nals)
            elif kind == FU_A:
                whole = _join_fragment(payload, fragments, nals)
            else:
                self.unsupported += 1
                damaged = True
            if not whole:
                self.malformed += 1
                damaged = True
            if len(nals) > MAX_NALS:
                self.malformed += 1
                return nals[:MAX_NALS], True
        return nals, damaged or bool(fragments)

    def _keep(self, nal: bytes) -> int | None:
        """Remember a parameter set and return its id; None if it is malformed."""
        identity = _set_id(nal) if is_parameter_set(nal) else None
        if identity is None:
            self.bad_parameter_sets += 1
            return None
        kept, bound = (self._sps, MAX_SPS_KEPT) if nal[0] & 0x1F == NAL_SPS else (self._pps, MAX_PPS_KEPT)
        if identity not in kept and len(kept) >= bound:
            del kept[next(iter(kept))]
        kept[identity] = nal
        return identity

    def _absent_sets(self, own: set[tuple[int, int]]) -> list[bytes]:
        """Return the kept parameter sets that a key frame does not bring itself."""
        sets = [nal for identity, nal in self._sps.items() if (NAL_SPS, identity) not in own]
        return sets + [nal for identity, nal in self._pps.items() if (NAL_PPS, identity) not in own]


def _without_start_codes(nal: bytes) -> list[bytes]:
    """Return a NAL unit, or those in a payload in which a sender left start codes standing."""
    if b"\x00\x00\x01" not in nal:
        return [nal]
    return [part for part in split_annexb(b"\x00\x00\x01" + nal.lstrip(b"\x00")) if part]


def _unpack_stap(payload: bytes, nals: list[bytes]) -> bool:
    """Append the NAL units of a STAP-A (§5.7.1); False if a length in it is wrong."""
    at = 1
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 2])
        at += 2
        if size == 0 or at + size > len(payload):
            return False
        nals += _without_start_codes(payload[at : at + size])
        at += size
    return at > 1


def _join_fragment(payload: bytes, fragments: list[bytes], nals: list[bytes]) -> bool:
    """Take one FU-A (§5.8) and append the NAL unit that it ends; False if it does not fit what came before."""
    if len(payload) < 3:
        fragments.clear()
        return False
    indicator, header = payload[0], payload[1]
    whole = True
    if header & 0x80:
        whole = not fragments
        fragments[:] = [bytes([indicator & 0xE0 | header & 0x1F])]
    elif not fragments:
        return False
    elif fragments[0][0] & 0x1F != header & 0x1F:
        fragments.clear()
        return False
    fragments.append(payload[2:])
    if header & 0x40:
        nals += _without_start_codes(b"".join(fragments))
        fragments.clear()
    return whole


def _set_id(nal: bytes) -> int | None:
    """Return the id of a parameter set; None if there is none to read."""
    sps = nal[0] & 0x1F == NAL_SPS
    try:
        identity = BitReader(unescape(nal[:16]), 32 if sps else 8).unsigned()
    except ValueError:
        return None
    return identity if identity <= (31 if sps else 255) else None


def _entry(nals: Sequence[bytes]) -> tuple[bool, int | None]:
    """Return whether decoding can start at this access unit, and after how many frames all is right if it does."""
    with_sps = False
    recovery: int | None = None
    slices = intra_slices = 0
    for nal in nals:
        kind = nal[0] & 0x1F
        if kind == NAL_IDR:
            return True, 0
        if kind == NAL_SEI:
            found = _recovery_point(nal)
            recovery = recovery if found is None else found
        elif kind == NAL_SPS:
            with_sps = True
        elif kind <= NAL_PARTITION_C:
            slices += 1
            intra_slices += _is_intra_slice(nal)
    if recovery == 0 or (with_sps and slices > 0 and slices == intra_slices):
        return True, 0
    return False, recovery


def _is_intra_slice(nal: bytes) -> bool:
    """Whether a slice holds no inter prediction (§7.3.3: first_mb_in_slice, slice_type)."""
    try:
        bits = BitReader(unescape(nal[:16]), 8)
        bits.unsigned()
        return nal[0] & 0x1F in (NAL_SLICE, 2) and bits.unsigned() in _I_SLICES
    except ValueError:
        return False


def _recovery_point(nal: bytes) -> int | None:
    """Return the frames that a SEI's recovery point counts, None if it holds none (§D.1.8)."""
    data = unescape(nal)
    at = 1
    for _ in range(MAX_SEI):
        numbers = []
        for _ in range(2):
            value = 0
            while at < len(data) and data[at] == 0xFF:
                value += 255
                at += 1
            if at >= len(data):
                return None
            numbers.append(value + data[at])
            at += 1
        kind, size = numbers
        if kind == SEI_RECOVERY_POINT:
            try:
                frames = BitReader(data[at : at + 5]).unsigned()
            except ValueError:
                return None
            return frames if frames <= MAX_RECOVERY else None
        at += size
    return None


class H264Packetizer:
    """Makes payloads of access units, in mode 0 (single NAL units) or 1 (STAP-A for parameter sets, FU-A).

    max_nal is the octets of a NAL unit that the encoder may make (x264: slice-max-size); None where NAL units are
    fragmented. In mode 0 a picture with a larger one is refused: a decoder would be left with a hole that no sequence
    number tells of.
    """

    def __init__(self, mode: int = 1, mtu: int = MTU) -> None:
        """mtu in octets of payload. Raises ValueError for a mode other than 0 and 1 or an mtu under 64."""
        if mode not in (0, 1) or mtu < 64:
            raise ValueError("packetization mode must be 0 or 1, and the MTU at least 64 octets")
        self.mode = mode
        self.mtu = mtu
        self.refused = 0

    @property
    def max_nal(self) -> int | None:
        """Octets that a NAL unit may have; None if any size will do."""
        return self.mtu if self.mode == 0 else None

    def packets(self, frame: EncodedFrame) -> list[tuple[bytes, bool]]:
        """Return the payloads and their marker bits; none if the picture was refused."""
        nals = [nal for nal in split_annexb(frame.data) if nal[0] & 0x1F not in _LEFT_OUT]
        if not nals or (self.mode == 0 and max(map(len, nals)) > self.mtu):
            self.refused += 1
            return []
        payloads = nals if self.mode == 0 else list(self._aggregated(nals))
        last = len(payloads) - 1
        return [(payload, index == last) for index, payload in enumerate(payloads)]

    def _aggregated(self, nals: list[bytes]) -> Iterator[bytes]:
        """Yield payloads of mode 1: what stands before the slices goes together, what is too large in fragments."""
        together: list[bytes] = []
        size = 1
        for nal in nals:
            head = nal[0] & 0x1F in (NAL_SEI, NAL_SPS, NAL_PPS)
            if together and (not head or size + 2 + len(nal) > self.mtu):
                yield _stap(together)
                together, size = [], 1
            if head and size + 2 + len(nal) <= self.mtu:
                together.append(nal)
                size += 2 + len(nal)
            elif len(nal) <= self.mtu:
                yield nal
            else:
                yield from self._fragments(nal)
        if together:
            yield _stap(together)

    def _fragments(self, nal: bytes) -> Iterator[bytes]:
        """Yield the FU-A of a NAL unit (§5.8)."""
        indicator, kind = nal[0] & 0xE0 | FU_A, nal[0] & 0x1F
        cuts = even_cuts(len(nal) - 1, self.mtu - 2)
        last = len(cuts) - 2
        for index in range(last + 1):
            header = kind | (0x80 if index == 0 else 0) | (0x40 if index == last else 0)
            yield bytes((indicator, header)) + nal[1 + cuts[index] : 1 + cuts[index + 1]]


def _stap(nals: Sequence[bytes]) -> bytes:
    """Return NAL units as one payload: alone, or as a STAP-A whose NRI is the highest of theirs (§5.7.1)."""
    if len(nals) == 1:
        return nals[0]
    importance = max(nal[0] & 0x60 for nal in nals)
    return bytes((importance | STAP_A,)) + b"".join(len(nal).to_bytes(2) + nal for nal in nals)
