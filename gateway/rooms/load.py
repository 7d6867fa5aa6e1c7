"""How much media is being set up at this moment, so that a flood of calls is turned away before it holds up all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.reasons import Reason, Refused

MAX_AT_ONCE = 500
"""Requests to the media plane at once, for the media of calls. At 100 calls a second ten are under way; with 500 it is
five seconds behind, and a caller who is told so can come back, which one who hears nothing cannot."""


class Load:
    """Counts what is under way."""

    def __init__(self, most: int = MAX_AT_ONCE) -> None:
        self.most = most
        self.under_way = 0

    def check(self) -> None:
        """Raise `Refused` with OVERLOAD if there is too much for another call."""
        if self.under_way >= self.most:
            raise Refused(Reason.OVERLOAD, "too many calls are being set up")

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one request for as long as it lasts."""
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
