"""Key frames go twice to who loses packets and cannot ask for them again, and to nobody else."""

from __future__ import annotations

import pytest

from transcode.repeating import LOSSY, SUFFERING, KeyFrameRepeat


@pytest.mark.parametrize(
    ("loss", "feedback", "twice"),
    [(0.0, (), False), (LOSSY, (), False), (0.05, (), True), (0.05, ("nack pli",), True), (0.05, ("nack",), False)],
)
def test_loss_that_is_reported_counts_where_nothing_can_be_asked_for(
    loss: float, feedback: tuple[str, ...], twice: bool
) -> None:
    assert KeyFrameRepeat().wanted(loss, feedback, 10.0) is twice


def test_two_requests_soon_after_each_other_tell_of_loss_for_a_while() -> None:
    repeat = KeyFrameRepeat()
    repeat.requested(10.0)
    assert not repeat.wanted(0.0, (), 10.0)
    repeat.requested(12.0)
    assert repeat.wanted(0.0, (), 12.0)
    assert not repeat.wanted(0.0, ("nack",), 12.0)
    assert not repeat.wanted(0.0, (), 10.0 + SUFFERING)
