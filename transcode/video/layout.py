"""Who is where in which picture: tiles of a layout, and which picture each leg sees.

Pure functions of what they are given. `views` names a picture by its `PictureKey`; legs whose keys are equal see the
same picture, which is composed once. `Seating` remembers the order of people, so that nobody jumps when others come,
go or speak.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from transcode.media import Layout, LegId, LegPlan, ViewPlan

MAX_GRID = 16
"""Tiles of an equal grid: at 720p a tile of a 4x4 grid is 320x180, below that a face cannot be read."""
MAX_AUTO_GRID = 9
"""Sources up to which AUTO shows an equal grid; above it 1+7 keeps the speaker large."""
MAX_SPOTLIT = 6
"""Sources up to which a spotlight is shown as 1+5, which holds them all; above it as 1+7."""
SLIDES_PARTS = 5
"""Slides take four fifths of the width and height of a picture of people; a fifth of 720p (256x144) shows a face."""
_GRIDS = ((1, 1), (2, 2), (3, 2), (3, 3), (4, 4))
"""Columns and rows of equal grids, the smallest that holds all is taken."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A place in a picture, in pixels from its upper left corner; all even, as 4:2:0 sampling wants."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PictureKey:
    """What a picture shows: equal keys are one picture.

    legs are in the order of the layout's tiles, names beside them. layout is what is drawn and never AUTO. No legs
    at all is the slate, with its title, its text, and its entry, what was typed so far; one leg with a text has that
    written under its picture. slides says that the first of several stands for slides, large and without its name;
    layout says nothing then. notice is a line over all of it.
    """

    layout: Layout
    legs: tuple[LegId, ...]
    names: tuple[str, ...]
    title: str = ""
    text: str = ""
    slides: bool = False
    entry: str | None = None
    notice: str = ""

    @property
    def scene(self) -> PictureKey:
        """The picture without what changes often in it and is small: keys that were typed, and a notice."""
        return replace(self, entry=None, notice="") if self.entry is not None or self.notice else self

    @property
    def single(self) -> bool:
        """Whether one leg fills the whole picture."""
        return len(self.legs) == 1


def slides_of(leg: LegId) -> LegId:
    """Return the name under which a leg's slides go among sources and viewers, beside its picture of people."""
    return LegId(f"{leg} slides")


def tiles(layout: Layout, count: int, width: int, height: int) -> tuple[Tile, ...]:
    """Return where `count` legs stand in a picture of width x height pixels; fewer if the layout has fewer places.

    The unfilled last row of a grid is centred. Raises ValueError for AUTO, which is no shape.
    """
    if layout is Layout.AUTO:
        raise ValueError("AUTO has to be resolved first")
    if count <= 0:
        return ()
    if count == 1 or layout is Layout.SPEAKER:
        return (Tile(0, 0, width & ~1, height & ~1),)
    if layout is Layout.ONE_PLUS_FIVE:
        return _one_plus(3, min(count, 6), width, height)
    if layout is Layout.ONE_PLUS_SEVEN:
        return _one_plus(4, min(count, 8), width, height)
    return _grid(min(count, MAX_GRID), width, height)


def places(key: PictureKey, width: int, height: int) -> tuple[Tile, ...]:
    """Return where the legs of a picture stand: `tiles` of its layout, or slides with people down the right side."""
    if not key.slides:
        return tiles(key.layout, len(key.legs), width, height)
    w, h = _even(width, SLIDES_PARTS), _even(height, SLIDES_PARTS)
    edge, count = SLIDES_PARTS - 1, min(len(key.legs), SLIDES_PARTS)
    left, top = _middle(width, SLIDES_PARTS * w), _middle(height, edge * h)
    people = [Tile(left + edge * w, top + row * h, w, h) for row in range(count - 1)]
    return (Tile(left, top, edge * w, edge * h), *people)


def _grid(count: int, width: int, height: int) -> tuple[Tile, ...]:
    if count == 2:
        columns, rows = (2, 1) if width >= height else (1, 2)
    else:
        columns, rows = next(shape for shape in _GRIDS if shape[0] * shape[1] >= count)
        if width < height:
            columns, rows = rows, columns
    w, h = _even(width, columns), _even(height, rows)
    # A tile keeps the shape of the whole picture, which is a camera's.
    h = min(h, w * height // width & ~1)
    w = min(w, h * width // height + 1 & ~1)
    used_rows = -(-count // columns)
    left, top = _middle(width, columns * w), _middle(height, used_rows * h)
    out = []
    for index in range(count):
        row, column = divmod(index, columns)
        in_row = min(columns, count - row * columns)
        start = left if in_row == columns else _middle(width, in_row * w)
        out.append(Tile(start + column * w, top + row * h, w, h))
    return tuple(out)


def _one_plus(parts: int, count: int, width: int, height: int) -> tuple[Tile, ...]:
    """One large tile of (parts - 1) x (parts - 1) units, small ones down the right and then along the bottom."""
    w, h = _even(width, parts), _even(height, parts)
    left, top = _middle(width, parts * w), _middle(height, parts * h)
    edge = parts - 1
    places = [(edge, row) for row in range(edge)] + [(column, edge) for column in range(parts)]
    large = Tile(left, top, edge * w, edge * h)
    small = [Tile(left + x * w, top + y * h, w, h) for x, y in places[: count - 1]]
    return (large, *small)


def _even(length: int, parts: int) -> int:
    return (length // parts) & ~1


def _middle(whole: int, part: int) -> int:
    return ((whole - part) // 2) & ~1


class Seating:
    """The order of people in a room's pictures.

    `grid` is the order of joining. `seats` is for 1+N: the speaker sits first, and changes places with whoever sat
    there; a speaker from beyond the visible seats takes first the place of the one who has not spoken for longest. Who
    stands in the spotlight keeps the first seat; then the speaker has the place of the one who spoke before.
    """

    def __init__(self) -> None:
        self.grid: tuple[LegId, ...] = ()
        self.seats: tuple[LegId, ...] = ()
        self.speaker: LegId | None = None
        self.previous: LegId | None = None
        self._spoken: dict[LegId, int] = {}
        self._turn = 0

    def update(self, legs: Iterable[LegId]) -> None:
        """Take the legs that are seen now: who left gives its place up, who came sits down last."""
        wanted = list(dict.fromkeys(legs))
        present = set(wanted)
        self.grid = _kept(self.grid, wanted, present)
        self.seats = _kept(self.seats, wanted, present)
        self._spoken = {leg: turn for leg, turn in self._spoken.items() if leg in present}
        if self.previous not in present:
            self.previous = None
        if self.speaker not in present:
            self.speaker, self.previous = self.previous, None

    def speak(self, leg: LegId | None, spotlight: LegId | None = None) -> None:
        """Take the room's active speaker, and who stands in the spotlight; a leg that is not seen changes nothing."""
        if leg not in self.seats:
            leg = None
        if spotlight is not None and spotlight in self.seats:
            last = self.previous if self.speaker == spotlight else self.speaker
            self._look_at(spotlight, last if leg in (None, spotlight) else leg)
        elif leg is not None and leg != self.speaker:
            self._look_at(leg, self.speaker)

    def _look_at(self, leg: LegId, previous: LegId | None) -> None:
        for one, before in ((previous, self.previous), (leg, self.speaker)):
            if one is not None and one not in (before, self.speaker):
                self._turn += 1
                self._spoken[one] = self._turn
        self.speaker, self.previous = leg, previous

    def arranged(self, places: int) -> tuple[LegId, ...]:
        """Return who sits in the first `places` seats of 1+N, the speaker first; remembered until it changes."""
        seats = list(self.seats)
        for leg in (self.previous, self.speaker):  # the one before may be beyond them while another is in the spotlight
            if places > 1 and leg in seats[places:]:
                at = seats.index(leg)
                oldest = min(range(1, places), key=lambda seat: self._spoken.get(seats[seat], 0))
                seats[oldest], seats[at] = seats[at], seats[oldest]
        if self.speaker in seats[1:] and places > 0:
            at = seats.index(self.speaker)
            seats[0], seats[at] = seats[at], seats[0]
        self.seats = tuple(seats)
        return self.seats[:places]

    def visible(self, places: int) -> tuple[LegId, ...]:
        """Return who is in a grid of `places`, in order of joining; beyond that the ones who spoke last are in."""
        if len(self.grid) <= places:
            return self.grid
        ranked = sorted(self.grid, key=lambda leg: -self._spoken.get(leg, 0))
        chosen = set(ranked[:places])
        return tuple(leg for leg in self.grid if leg in chosen)


def _kept(order: Sequence[LegId], wanted: Sequence[LegId], present: set[LegId]) -> tuple[LegId, ...]:
    old = [leg for leg in order if leg in present]
    known = set(old)
    return (*old, *(leg for leg in wanted if leg not in known))


def views(
    plan: ViewPlan,
    sources: Iterable[LegId],
    seating: Seating,
    speaker: LegId | None = None,
    viewers: Container[LegId] | None = None,
) -> dict[LegId, PictureKey]:
    """Return what each leg of the plan sees, or each of the viewers alone.

    sources are the legs that send a picture; those that the plan takes out are not shown. speaker is the active one,
    None if nobody talks: the last one then keeps the place. AUTO: two people see each
    other full screen; from three on, everybody shares one equal grid that shows all, above nine 1+7. SPEAKER:
    everybody sees the speaker, the speaker the one before. Whoever stands in the spotlight has the speaker's place, and
    the large one of 1+N where AUTO or GRID would show a grid of three or more. A leg that could see nobody's picture
    sees the others' names, and the slate if there is nobody else. In an echo room each leg sees itself.

    A leg's notice is written over what it sees, which is a picture of its own then.

    The presenter's slides, where they are among the sources, are seen by all others: as what `slides_of` the leg names
    if that is a viewer, else by a leg's picture itself, with the last speakers beside them, unless its plan says not.
    """
    out = _views(plan, sources, seating, speaker, viewers)
    for leg in plan.legs:
        if leg.notice and leg.leg in out:
            out[leg.leg] = replace(out[leg.leg], notice=leg.notice)
    return out


def _views(
    plan: ViewPlan,
    sources: Iterable[LegId],
    seating: Seating,
    speaker: LegId | None,
    viewers: Container[LegId] | None,
) -> dict[LegId, PictureKey]:
    named = {leg.leg: leg for leg in plan.legs}
    sending = set(sources)
    seating.update(leg.leg for leg in plan.legs if leg.seen and leg.leg in sending)
    seating.speak(speaker, plan.spotlight)
    watching = [leg for leg in plan.legs if viewers is None or leg.leg in viewers]
    if plan.echo:
        return {leg.leg: PictureKey(Layout.SPEAKER, (leg.leg,), (leg.name,), text=plan.slate) for leg in watching}
    out = {leg.leg: _view(plan, leg, named, seating) for leg in watching}
    presenter = None if plan.presenter is None else named.get(plan.presenter)
    if presenter is None or slides_of(presenter.leg) not in sending:
        return out
    slides = PictureKey(Layout.SPEAKER, (slides_of(presenter.leg),), (presenter.name,))
    for leg in plan.legs:
        beside = slides_of(leg.leg)
        if leg is presenter:
            continue
        if viewers is not None and beside in viewers:
            out[beside] = slides
        elif leg.leg in out and leg.slides:
            out[leg.leg] = _with_people(slides, leg, named, seating)
    return out


def _with_people(slides: PictureKey, viewer: LegPlan, named: Mapping[LegId, LegPlan], seating: Seating) -> PictureKey:
    """Return slides with those who spoke last beside them: the same for all who see something else than themselves."""
    people = seating.arranged(SLIDES_PARTS - 1)
    if not any(leg != viewer.leg for leg in people):
        return slides
    names = (named[leg].name for leg in people)
    return replace(slides, legs=(*slides.legs, *people), names=(*slides.names, *names), slides=True)


def _view(plan: ViewPlan, viewer: LegPlan, named: Mapping[LegId, LegPlan], seating: Seating) -> PictureKey:
    layout = plan.layout if viewer.layout is None else viewer.layout
    seen = seating.grid
    if not any(leg != viewer.leg for leg in seen):
        others = (leg.leg for leg in plan.legs if leg.leg != viewer.leg and leg.seen)
        first = list(islice(others, MAX_AUTO_GRID))
        if not first:
            return PictureKey(Layout.SPEAKER, (), (), plan.title, plan.slate, entry=plan.entry)
        return _key(Layout.GRID, first, named)
    if layout is Layout.SPEAKER:
        return _key(Layout.SPEAKER, [_looked_at(viewer.leg, seating)], named)
    if len(seen) == 2 and viewer.leg in seen and layout is Layout.AUTO:
        return _key(Layout.SPEAKER, [leg for leg in seen if leg != viewer.leg], named)
    if plan.spotlight in seen and layout in (Layout.AUTO, Layout.GRID) and len(seen) > 2:
        layout = Layout.ONE_PLUS_FIVE if len(seen) <= MAX_SPOTLIT else Layout.ONE_PLUS_SEVEN
    if layout is Layout.AUTO:
        layout = Layout.GRID if len(seen) <= MAX_AUTO_GRID else Layout.ONE_PLUS_SEVEN
    if layout is Layout.ONE_PLUS_FIVE:
        return _key(layout, seating.arranged(6), named)
    if layout is Layout.ONE_PLUS_SEVEN:
        return _key(layout, seating.arranged(8), named)
    return _key(Layout.GRID, seating.visible(MAX_GRID), named)


def _looked_at(viewer: LegId, seating: Seating) -> LegId:
    """Whom a leg sees in SPEAKER: never itself, which the caller has made sure to be possible."""
    for leg in (seating.speaker, seating.previous):
        if leg is not None and leg != viewer:
            return leg
    return next(leg for leg in seating.grid if leg != viewer)


def _key(layout: Layout, legs: Sequence[LegId], named: Mapping[LegId, LegPlan]) -> PictureKey:
    # One leg fills the picture whatever the layout is called: equal pictures are to have equal keys.
    shape = Layout.SPEAKER if len(legs) == 1 else layout
    return PictureKey(shape, tuple(legs), tuple(named[leg].name for leg in legs))
