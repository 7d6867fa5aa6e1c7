"""H.281: what one terminal asks of another one's camera. Pure.

Pan left (10), no tilt (00), zoom in (11), no focus (00), for the usual time; and the preset of number 3:

    >>> write(CameraAction(CameraAct.START, pan=-1, zoom=1)).hex()
    '018c00'
    >>> write(CameraAction(CameraAct.RECALL, number=3)).hex()
    '0830'
"""

from __future__ import annotations

from transcode.media import CameraAct, CameraAction

HOLD = 0.8
"""Seconds that a move goes on without a sign of life, where the start does not say (H.281 §5.2)."""
_STEP = 0.05
"""Seconds of one unit of a start's time."""
MAIN_CAMERA = 1
_MOTION = 0x04
"""A source's capability: motion video."""
_CODES = {
    CameraAct.START: 0x01,
    CameraAct.CONTINUE: 0x02,
    CameraAct.STOP: 0x03,
    CameraAct.SOURCE: 0x04,
    CameraAct.SWITCHED: 0x05,
    CameraAct.STORE: 0x07,
    CameraAct.RECALL: 0x08,
}
_ACTS = {code: act for act, code in _CODES.items()}
MOVES = frozenset({CameraAct.START, CameraAct.CONTINUE, CameraAct.STOP})
"""Acts that say a direction; the others say a number."""
_WAYS = {0b00: 0, 0b10: -1, 0b11: 1}
_BITS = {way: bits for bits, way in _WAYS.items()}


def write(action: CameraAction) -> bytes:
    """Return an action's octets."""
    code = _CODES[action.act]
    if action.act not in MOVES:
        return bytes((code, (action.number & 0x0F) << 4))
    ways = [_BITS[one] for one in (action.pan, action.tilt, action.zoom, action.focus)]
    moved = ways[0] << 6 | ways[1] << 4 | ways[2] << 2 | ways[3]
    return bytes((code, moved, 0)) if action.act is CameraAct.START else bytes((code, moved))


def read(data: bytes) -> tuple[CameraAction, float]:
    """Read an action, and the seconds that a start holds for. Raises ValueError."""
    act = _ACTS.get(data[0]) if len(data) >= 2 else None
    if act is None:
        raise ValueError("no action of a camera")
    if act not in MOVES:
        return CameraAction(act, number=data[1] >> 4), 0.0
    try:
        pan, tilt, zoom, focus = (_WAYS[data[1] >> shift & 0b11] for shift in (6, 4, 2, 0))
    except KeyError:
        raise ValueError("a direction that is none") from None
    units = data[2] & 0x0F if act is CameraAct.START and len(data) > 2 else 0
    return CameraAction(act, pan, tilt, zoom, focus), units * _STEP or HOLD


def capabilities() -> bytes:
    """Return what our camera can do: the picture of the room moves by itself alone, and has no presets."""
    return bytes((0, MAIN_CAMERA << 4 | _MOTION, 0))


def read_presets(data: bytes) -> int:
    """Return how many presets the peer's capabilities tell of."""
    return data[0] & 0x0F if data else 0
