"""Our registration with a carrier under a virtual clock: refresh, back-off, 423, Service-Route, moving, leaving."""

from __future__ import annotations

import random

import pytest

from sip.headers import Headers
from sip.message import Response
from sip.trunk_registration import (
    LONGEST_WAIT,
    REFUSED_WAIT,
    SHORTEST,
    Ask,
    Changed,
    Registration,
    State,
    granted,
)

CONTACT = "sip:rb1@192.0.2.9:5060"


def response(status: int, *headers: tuple[str, str]) -> Response:
    return Response(status, "Said", Headers(headers))


class Line:
    """A registration and what it asked and told, on a clock of its own."""

    def __init__(self, expires: int = 3_600, seed: int = 1) -> None:
        self.core = Registration(expires, random.Random(seed))
        self.now = 1_000.0
        self.asked: list[int] = []
        self.changes: list[bool] = []

    def take(self) -> None:
        for item in self.core.take():
            if isinstance(item, Ask):
                self.asked.append(item.expires)
            elif isinstance(item, Changed):
                self.changes.append(item.registered)

    def answer(self, status: int | None, *headers: tuple[str, str]) -> None:
        self.core.answered(response(status, *headers) if status else None, CONTACT, self.now)
        self.take()

    def wait(self) -> float:
        """Let time pass until something is due, and return how long that was."""
        due = self.core.next_timeout()
        assert due is not None
        waited, self.now = due - self.now, due
        self.core.tick(self.now)
        self.take()
        return waited

    def registered(self) -> Line:
        self.core.start()
        self.take()
        self.answer(200)
        assert self.core.state is State.REGISTERED
        return self


def test_it_registers_and_refreshes_for_ever_well_before_the_end() -> None:
    line = Line(600).registered()
    for _ in range(50):
        assert 480 <= line.wait() <= 540
        assert line.core.state is State.REFRESHING
        line.answer(200)
    assert line.asked == [600] * 51
    assert line.changes == [True]


def test_a_long_binding_is_refreshed_ten_minutes_before_its_end_at_the_latest() -> None:
    line = Line(86_400).registered()
    assert 69_000 < line.wait() <= 86_400 - 600 + 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([("Contact", f"<{CONTACT}>;expires=120")], 120),
        ([("Contact", "<sip:other@192.0.2.8>;expires=50"), ("Contact", f"<{CONTACT};ob>;expires=120")], 120),
        ([("Expires", "300")], 300),
        ([("Contact", f"<{CONTACT}>"), ("Expires", "300")], 300),
        ([], 3_600),
        ([("Expires", "soon")], 3_600),
        ([("Contact", "<nonsense>;expires=50")], 3_600),
        ([("Expires", "0")], SHORTEST),
        ([("Expires", "99999999")], 86_400),
    ],
)
def test_what_the_registrar_grants_counts(headers: list[tuple[str, str]], seconds: int) -> None:
    assert granted(response(200, *headers), CONTACT, 3_600) == seconds


def test_it_tries_again_for_ever_with_growing_bounded_waits() -> None:
    line = Line()
    line.core.start()
    line.take()
    waits = []
    for _ in range(40):
        line.answer(None)
        waits.append(line.wait())
    assert len(line.asked) == 41
    assert 4 <= waits[0] <= 5
    assert all(wait <= LONGEST_WAIT for wait in waits)
    assert all(wait >= LONGEST_WAIT / 2 for wait in waits[10:])
    assert line.changes == [False]  # said once
    line.answer(200)
    assert line.changes == [False, True]
    line.wait()
    line.answer(None)
    assert line.wait() <= 5  # the count begins anew


def test_a_wrong_password_is_not_tried_fast() -> None:
    line = Line()
    line.core.start()
    line.take()
    line.answer(403)
    assert line.wait() >= REFUSED_WAIT * 0.8
    assert line.core.why == "403 Said"


def test_retry_after_is_waited_for() -> None:
    line = Line()
    line.core.start()
    line.take()
    line.answer(503, ("Retry-After", "120 (at lunch)"))
    assert line.wait() == 120
    line.answer(503, ("Retry-After", "soon"))
    assert line.wait() < 30
    line.answer(503, ("Retry-After", "999999"))
    assert line.wait() == 3_600


def test_a_brief_interval_is_lengthened_as_told_and_not_for_ever() -> None:
    line = Line(60)
    line.core.start()
    line.take()
    line.answer(423, ("Min-Expires", "300"))
    assert line.asked == [60, 300]
    line.answer(200)
    assert line.core.state is State.REGISTERED
    again = Line(60)
    again.core.start()
    again.take()
    for least in (100, 200, 300, 400):
        again.answer(423, ("Min-Expires", str(least)))
    assert again.asked == [60, 100, 200, 300]
    assert again.core.state is State.WAITING


@pytest.mark.parametrize("least", ["10", "no", "", "99999999999"])
def test_a_423_that_makes_no_sense_is_a_failure(least: str) -> None:
    line = Line(60)
    line.core.start()
    line.take()
    line.answer(423, ("Min-Expires", least))
    assert line.core.state is State.WAITING


def test_a_binding_outlives_a_failed_refresh_and_ends_with_its_time() -> None:
    line = Line(600).registered()
    line.wait()
    line.answer(None)
    assert line.core.registered
    while line.core.registered:
        line.wait()
        if line.core.state is State.REFRESHING or line.core.state is State.TRYING:
            line.answer(None)
    assert line.now == pytest.approx(1_600)
    assert line.changes == [True, False]


def test_a_refused_refresh_ends_the_binding_at_once() -> None:
    line = Line(600).registered()
    line.wait()
    line.answer(403)
    assert line.changes == [True, False]


def test_service_route_is_kept_and_nonsense_in_it_left_out() -> None:
    line = Line()
    line.core.start()
    line.take()
    line.answer(200, ("Service-Route", "<sip:edge.example;lr>, <nonsense>, <tel:+49>"))
    assert line.core.service_route == ("<sip:edge.example;lr>",)
    line.wait()
    line.answer(200)
    assert line.core.service_route == ()


def test_a_new_address_is_told_at_once() -> None:
    line = Line().registered()
    line.core.moved()
    line.take()
    assert line.asked == [3_600, 3_600]
    assert line.core.state is State.REFRESHING


def test_it_un_registers_at_the_end() -> None:
    line = Line().registered()
    line.core.stop()
    line.take()
    assert line.asked[-1] == 0
    line.answer(200)
    assert line.core.state is State.GONE
    assert line.core.next_timeout() is None


def test_what_never_was_registered_leaves_in_silence() -> None:
    line = Line()
    line.core.start()
    line.take()
    line.answer(None)
    line.core.stop()
    line.take()
    assert line.core.state is State.GONE
    assert line.asked == [3_600]


def test_nothing_moves_once_it_is_gone() -> None:
    line = Line().registered()
    line.core.stop()
    line.answer(None)
    line.core.start()
    line.core.moved()
    line.answer(200)
    line.take()
    assert line.core.state is State.GONE
