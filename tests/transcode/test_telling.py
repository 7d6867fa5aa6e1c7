"""How much one leg may tell."""

from __future__ import annotations

from transcode.events import MediaEvent, Silent, Text
from transcode.media import LegId
from transcode.telling import BURST, RATE, Telling

ANN = LegId("ann")


def test_one_peer_that_writes_without_end_is_told_of_up_to_a_bound() -> None:
    told: list[MediaEvent] = []
    now = 5.0
    telling = Telling(told.append, lambda: now)
    for number in range(3 * BURST):
        telling.tell(Text(ANN, str(number)))
    assert told == [Text(ANN, str(number)) for number in range(BURST)]
    assert telling.dropped == 2 * BURST
    telling.tell(Silent(ANN, 5.0))  # what the plane finds itself is told all the same
    assert told[-1] == Silent(ANN, 5.0)
    now += 1.0
    for _ in range(BURST):
        telling.tell(Text(ANN, "again"))
    assert told.count(Text(ANN, "again")) == RATE
    now += 3600.0
    for _ in range(2 * BURST):
        telling.tell(Text(ANN, "late"))
    assert told.count(Text(ANN, "late")) == BURST
