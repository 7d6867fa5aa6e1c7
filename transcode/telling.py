"""What one leg may tell: everybody's events go by one queue, and one peer must not fill it."""

from __future__ import annotations

from collections.abc import Callable

from transcode.events import CameraAsked, DataMessage, Dtmf, MediaEvent, Text

RATE = 50.0
"""Events a second of what a peer does by hand: keys, lines of text, a camera that is steered, messages of a page."""
BURST = 200
"""Events at once: a pasted text of as many lines."""
_BY_HAND = (CameraAsked, DataMessage, Dtmf, Text)


class Telling:
    """Hands on one leg's events, those of its peer's making up to a bound; dropped counts the others."""

    def __init__(self, emit: Callable[[MediaEvent], None], clock: Callable[[], float]) -> None:
        self.dropped = 0
        self._emit = emit
        self._clock = clock
        self._credit = float(BURST)
        self._credited = clock()

    def tell(self, event: MediaEvent) -> None:
        """Hand on an event."""
        if isinstance(event, _BY_HAND):
            now = self._clock()
            self._credit = min(float(BURST), self._credit + (now - self._credited) * RATE)
            self._credited = now
            if self._credit < 1.0:
                self.dropped += 1
                return
            self._credit -= 1.0
        self._emit(event)
