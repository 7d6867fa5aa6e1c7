"""Composing a picture of tiles.

A `Compositor` keeps one frame of one size and draws into it only what changed: a tile is scaled again when its
source has a new picture, its name is blended over it, and a frame line around the speaker is drawn in the gap between
the tiles. If nothing changed the same frame is handed out again. One leg that fills the picture and has its size is
handed out as it is, without a copy.

The frame is written to in place at the next call: whoever takes it has to be done with it by then. The encoders are:
libx264, libvpx and FFmpeg's own copy what they keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from transcode.media import LegId
from transcode.video.layout import PictureKey, Tile, places
from transcode.video.sizes import pixel_aspect
from transcode.video.slates import ACCENT
from transcode.video.source import Picture
from transcode.video.text import BACKGROUND, Card, Painter, Patch, Plane, colour

STRETCH = 0.03
"""Difference of shape that is stretched away and not letterboxed; nobody sees 3 %."""
MAX_SIDE = 1920
"""Pixels of a side of a composed picture."""
_BLACK = colour(BACKGROUND)
_LINE = colour(ACCENT)


@dataclass(frozen=True, slots=True)
class Composition:
    """A composed picture. changed tells that it differs from the one before; arrivals are those of the source
    pictures that are in it for the first time, arrival that of the newest one in it (0.0: none)."""

    frame: VideoFrame
    changed: bool
    arrivals: tuple[float, ...]
    arrival: float


@dataclass(slots=True)
class _Place:
    """A tile as it was drawn: where, which source, which of its pictures (0: initials, -1: nothing yet)."""

    tile: Tile
    inner: Tile
    leg: LegId
    name: str
    serial: int = -1
    lit: bool = False


class Compositor:
    """Composes pictures of one size, width x height even pixels. Used by one thread at a time.

    Raises ValueError for a size that is odd or too large.
    """

    def __init__(self, width: int, height: int, painter: Painter) -> None:
        if width % 2 or height % 2 or not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE:
            raise ValueError(f"{width}x{height} is no size to compose")
        self.width = width
        self.height = height
        self.scaled = 0
        self._aspect = pixel_aspect(width, height)
        self._painter = painter
        self._key: PictureKey | None = None
        self._frame = VideoFrame(width, height, "yuv420p")
        self._views = planes(self._frame)
        self._places: list[_Place] = []
        self._scalers: list[VideoReformatter] = []
        self._arrival = 0.0
        self._arrivals: list[float] = []
        self._whole: VideoFrame | None = None
        self._whole_serial = -1
        self._noticed: VideoFrame | None = None

    def compose(self, key: PictureKey, pictures: Mapping[LegId, Picture], speaker: LegId | None) -> Composition:
        """Return the picture that `key` names, of the sources' latest pictures; who has none is shown as initials."""
        below = self._composed(key, pictures, speaker)
        return self._with_notice(below, key.notice) if key.notice else below

    def _with_notice(self, below: Composition, notice: str) -> Composition:
        """Return a picture with a notice over it. What is below is drawn into again, so it must stay as it is."""
        if self._noticed is None:
            self._noticed = VideoFrame(self.width, self.height, "yuv420p")
        elif not below.changed:
            return replace(below, frame=self._noticed)
        views = planes(self._noticed)
        for view, source in zip(views, planes(below.frame), strict=True):
            view[:] = source
        patch = self._painter.notice(notice, self.width, self.height)
        y = max(2, self.height // 24) & ~1
        if patch.width <= self.width and y + patch.height <= self.height:
            self._blend(patch, (self.width - patch.width) // 2 & ~1, y, views)
        return replace(below, frame=self._noticed)

    def _composed(self, key: PictureKey, pictures: Mapping[LegId, Picture], speaker: LegId | None) -> Composition:
        changed = key != self._key
        if changed:
            self._begin(key)
        self._arrivals = []
        if key.single and not key.text:
            whole = self._whole_picture(pictures.get(key.legs[0]))
            if whole is not None:
                return whole
        for place, scaler in zip(self._places, self._scalers, strict=False):
            changed |= self._draw(place, scaler, pictures.get(place.leg))
            lit = place.leg == speaker and not key.single
            if lit != place.lit:
                self._surround(place, lit)
                changed = True
        self._arrival = max(self._arrivals, default=self._arrival)
        return Composition(self._frame, changed, tuple(self._arrivals), self._arrival)

    def shows(self, key: PictureKey, serial: int) -> bool:
        """Whether the picture that was composed last is this one of one source, with its picture of that serial."""
        if key != self._key or not self._places:
            return False
        return serial == (self._places[0].serial if self._whole is None else self._whole_serial)

    def _begin(self, key: PictureKey) -> None:
        """Clear the frame for another picture."""
        self._key = key
        self._arrival = 0.0
        self._whole, self._whole_serial = None, -1
        for view, value in zip(self._views, _BLACK, strict=True):
            view[:] = value
        if not key.legs:
            self._places = []
            card = self._painter.slate(key.title, key.text, self.width, self.height, key.entry)
            self._paste(card, Tile(0, 0, self.width, self.height))
            return
        gap = 0 if key.single else max(2, round(self.width / 320) & ~1)
        where = places(key, self.width, self.height)
        self._places = [
            _Place(tile, _inside(tile, gap), leg, name)
            for tile, leg, name in zip(where, key.legs, key.names, strict=False)
        ]
        while len(self._scalers) < len(self._places):
            self._scalers.append(VideoReformatter())

    def _whole_picture(self, picture: Picture | None) -> Composition | None:
        """Return a leg's picture as the whole composition, None if it has none or another shape."""
        if picture is None:
            self._whole = None
            return None
        if picture.serial == self._whole_serial and self._whole is not None:
            return Composition(self._whole, False, (), picture.arrival)
        shape = Tile(0, 0, self.width, self.height)
        if _fitted(picture, shape, self._aspect) != shape:
            self._whole = None
            return None
        frame = picture.frame
        if (picture.width, picture.height) != (self.width, self.height):
            frame = self._scale(self._scalers[0], picture, self.width, self.height)
        self._whole, self._whole_serial = frame, picture.serial
        # What the kept frame shows is out of date from now on.
        self._places[0].serial = -1
        return Composition(frame, True, (picture.arrival,), picture.arrival)

    def _draw(self, place: _Place, scaler: VideoReformatter, picture: Picture | None) -> bool:
        """Bring one tile up to date; tell whether anything had to be done."""
        serial = 0 if picture is None else picture.serial
        if serial == place.serial:
            return False
        inner = place.inner
        if picture is None:
            self._paste(self._painter.initials(place.name, inner.width, inner.height), inner)
        else:
            self._show(place, scaler, picture)
        place.serial = serial
        caption = self._caption(place, picture is None)
        if caption:
            self._label(place, caption)
        return True

    def _caption(self, place: _Place, initials: bool) -> str:
        """Return what is written on a tile: a name, except where one picture is shown alone, or that one's text.

        Nothing is written over slides.
        """
        if self._key is None or not self._key.single:
            slides = self._key is not None and self._key.slides and place is self._places[0]
            return "" if slides and not initials else place.name
        return self._key.text or (place.name if initials else "")

    def _show(self, place: _Place, scaler: VideoReformatter, picture: Picture) -> None:
        target = _fitted(picture, place.inner, self._aspect)
        if target != place.inner:
            self._fill(place.inner, _BLACK)
        frame = picture.frame
        if (frame.width, frame.height) != (target.width, target.height):
            frame = self._scale(scaler, picture, target.width, target.height)
        for index, source in enumerate(planes(frame)):
            self._view(index, target)[:] = source
        self._arrivals.append(picture.arrival)

    def _scale(self, scaler: VideoReformatter, picture: Picture, width: int, height: int) -> VideoFrame:
        self.scaled += 1
        return scaler.reformat(picture.frame, width, height, "yuv420p", interpolation=Interpolation.BILINEAR)

    def _label(self, place: _Place, text: str) -> None:
        inner = place.inner
        margin = max(2, inner.height // 40) & ~1
        patch = self._painter.label(text, (inner.width - 2 * margin) & ~1, inner.height)
        if patch.height + margin > inner.height or patch.width + margin > inner.width:
            return
        self._blend(patch, inner.x + margin, inner.y + inner.height - margin - patch.height & ~1)

    def _surround(self, place: _Place, lit: bool) -> None:
        """Draw the line around a tile, or take it away."""
        place.lit = lit
        outer, inner = place.tile, place.inner
        value = _LINE if lit else _BLACK
        gap = inner.x - outer.x
        self._fill(Tile(outer.x, outer.y, outer.width, gap), value)
        self._fill(Tile(outer.x, outer.y + outer.height - gap, outer.width, gap), value)
        self._fill(Tile(outer.x, inner.y, gap, inner.height), value)
        self._fill(Tile(outer.x + outer.width - gap, inner.y, gap, inner.height), value)

    # Samples.

    def _view(self, index: int, tile: Tile, views: tuple[Plane, Plane, Plane] | None = None) -> Plane:
        half = 1 if index else 0
        x, y = tile.x >> half, tile.y >> half
        return (views or self._views)[index][y : y + (tile.height >> half), x : x + (tile.width >> half)]

    def _fill(self, tile: Tile, value: tuple[int, int, int]) -> None:
        for index in range(3):
            self._view(index, tile)[:] = value[index]

    def _paste(self, card: Card, tile: Tile) -> None:
        for index, plane in enumerate(card.planes):
            self._view(index, tile)[:] = plane

    def _blend(self, patch: Patch, x: int, y: int, views: tuple[Plane, Plane, Plane] | None = None) -> None:
        tile = Tile(x, y, patch.width, patch.height)
        for index, ink in enumerate(patch.ink):
            below = self._view(index, tile, views)
            below[:] = (below * patch.rest[min(index, 1)] + ink + 128) >> 8


def planes(frame: VideoFrame) -> tuple[Plane, Plane, Plane]:
    """Return a yuv420p frame's planes as arrays of uint8 over its own memory, of shapes (h, w), (h/2, w/2) twice."""
    views = []
    for index, plane in enumerate(frame.planes):
        half = 1 if index else 0
        width, height = (frame.width + half) >> half, (frame.height + half) >> half
        flat = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]
        views.append(flat[: plane.line_size * height].reshape(height, plane.line_size)[:, :width])
    return views[0], views[1], views[2]


def _inside(tile: Tile, gap: int) -> Tile:
    return Tile(tile.x + gap, tile.y + gap, tile.width - 2 * gap, tile.height - 2 * gap)


def _fitted(picture: Picture, tile: Tile, aspect: Fraction) -> Tile:
    """Return where in a tile a picture goes without being distorted; aspect is that of the tile's pixels."""
    wide = picture.width * float(picture.aspect) / float(aspect)
    shape, room = wide / picture.height, tile.width / tile.height
    if abs(shape / room - 1) <= STRETCH:
        return tile
    if shape > room:
        height = max(2, min(tile.height, round(tile.width / shape)) & ~1)
        return Tile(tile.x, tile.y + ((tile.height - height) // 2 & ~1), tile.width, height)
    width = max(2, min(tile.width, round(tile.height * shape)) & ~1)
    return Tile(tile.x + ((tile.width - width) // 2 & ~1), tile.y, width, tile.height)
