"""H.263 picture headers: size and coding type (ITU-T H.263 §5.1)."""

from __future__ import annotations

from dataclasses import dataclass

from transcode.payload.bits import BitReader

START_ZEROS = 16
"""Zero bits in front of the one of a start code: picture, GOB and slice alike (§5.1.1, §5.2.2)."""
SIZES: dict[int, tuple[int, int]] = {1: (128, 96), 2: (176, 144), 3: (352, 288), 4: (704, 576), 5: (1408, 1152)}
"""Source formats and their sizes in pixels: sub-QCIF, QCIF, CIF, 4CIF, 16CIF (§5.1.3)."""
_EXTENDED = 7
_CUSTOM = 6
_FULL = 1


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture header says. size in pixels is None where an extended header leaves it as it was (UFEP 0).

    source is the source format, 0 if the header is an extended one (PLUSPTYPE); the flags are those of PTYPE.
    """

    temporal_reference: int
    size: tuple[int, int] | None
    intra: bool
    source: int = 0
    unrestricted_vectors: bool = False
    arithmetic: bool = False
    advanced_prediction: bool = False
    pb_frames: bool = False

    @property
    def extended(self) -> bool:
        """Whether this is the header of H.263 version 2."""
        return self.source == 0


def begins_picture(data: bytes) -> bool:
    """Whether a picture start code is at the front (§5.1.1)."""
    return len(data) >= 3 and data[:2] == b"\0\0" and data[2] & 0xFC == 0x80


def parse_header(data: bytes) -> PictureHeader:
    """Read the header of a picture. Raises ValueError if it is none or malformed."""
    if not begins_picture(data):
        raise ValueError("no H.263 picture start code")
    bits = BitReader(data, 22)
    reference = bits.read(8)
    if bits.read(2) != 0b10:
        raise ValueError("PTYPE does not begin with 10")
    bits.skip(3)
    source = bits.read(3)
    if source == _EXTENDED:
        return _parse_extended(bits, reference)
    if source not in SIZES:
        raise ValueError(f"source format {source}")
    inter, umv, sac, advanced, pb = (bits.flag() for _ in range(5))
    return PictureHeader(reference, SIZES[source], not inter, source, umv, sac, advanced, pb)


def _parse_extended(bits: BitReader, reference: int) -> PictureHeader:
    """Read PLUSPTYPE and what follows it as far as the size (§5.1.4 to §5.1.6)."""
    update = bits.read(3)
    source = 0
    if update == _FULL:
        source = bits.read(3)
        bits.skip(15)
    elif update != 0:
        raise ValueError(f"UFEP {update}")
    coding = bits.read(3)
    bits.skip(6)
    if bits.flag():
        bits.skip(2)
    size = SIZES.get(source)
    if source == _CUSTOM:
        bits.skip(4)
        width = 4 * (bits.read(9) + 1)
        bits.skip(1)
        size = (width, 4 * bits.read(9))
    elif update == _FULL and size is None:
        raise ValueError(f"source format {source}")
    return PictureHeader(reference, size, coding == 0)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return the size in pixels that a picture claims; None if it tells none."""
    try:
        return parse_header(data).size
    except ValueError:
        return None
