"""When slides count as coming."""

from __future__ import annotations

from transcode.sharing import SHARING_ENDS, SlidesWatch


def test_slides_come_with_the_first_picture_and_cease_a_while_after_the_last() -> None:
    watch = SlidesWatch()
    assert not watch.update(0, 0.0)
    assert watch.update(1, 1.0)
    assert watch.sharing
    assert not watch.update(1, 1.0 + SHARING_ENDS / 2)
    assert not watch.update(2, 9.0)
    assert not watch.update(2, 8.9 + SHARING_ENDS)
    assert watch.update(2, 9.0 + SHARING_ENDS)
    assert not watch.sharing
    assert watch.update(3, 30.0)


def test_a_stream_that_ends_ceases_at_once_and_begins_anew() -> None:
    watch = SlidesWatch()
    watch.update(5, 0.0)
    assert watch.update(None, 0.1)
    assert not watch.update(0, 0.2)
    assert not watch.sharing
    assert watch.update(1, 0.3)
