"""What a terminal wants of its conference that the room decides: to drop somebody, to end it, whom all see (H.243 §6).

The chair's token gives no rights in the room: a chair that is a host there may do these things, and a host may have
itself seen by all. Each wish is a job of its call, for the house answers later.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import structlog

from gateway.jobs import Job
from gateway.reasons import Reason, Refused
from h323.adapter_conference import Conferences, Terminal
from h323.conference import NO_DROP, broadcast_response
from h323.h245.events import Pdu

log = structlog.get_logger()


class Line(Terminal, Protocol):
    """What this needs of a call."""

    def do(self, job: Job) -> None:
        """Do a job after those that wait."""

    def tell(self, pdu: Pdu) -> None:
        """Send an H.245 message, if the call is not over."""


class ChairWishes:
    """Of one call."""

    def __init__(self, line: Line, conferences: Conferences) -> None:
        self._line = line
        self._conferences = conferences

    def take(self, kind: str, name: str, value: Any) -> bool:
        """Take a conferenceRequest or a conferenceCommand; False if it is about something else.

        name is its alternative, value what that holds.
        """
        view = self._line.view
        if view is None:
            return False
        job: Job
        match (kind, name):
            case ("request", "dropTerminal"):
                job = partial(self._drop, view.meant(value))
            case ("command", "dropConference"):
                job = self._drop_all
            case (_, "makeTerminalBroadcaster"):
                job = partial(self._show, view.meant(value), name, kind == "request")
            case (_, "broadcastMyLogicalChannel"):
                job = partial(self._show, view.me, name, kind == "request")
            case ("command", "cancelMakeTerminalBroadcaster" | "cancelBroadcastMyLogicalChannel"):
                job = partial(self._show_nobody, name == "cancelBroadcastMyLogicalChannel")
            case _:
                return False
        self._line.do(job)
        return True

    async def _drop(self, who: str | None) -> None:
        try:
            if who is None:
                raise Refused(Reason.NOT_ALLOWED, "only the chair may drop somebody")
            await self._conferences.drop(self._line, who)
        except Refused as refused:
            self._refused("dropTerminal", refused)
            self._line.tell(NO_DROP)

    async def _drop_all(self) -> None:
        try:
            await self._conferences.drop_all(self._line)
        except Refused as refused:
            self._refused("dropConference", refused)

    async def _show(self, who: str | None, name: str, answered: bool) -> None:
        granted = True
        try:
            if who is None:
                raise Refused(Reason.NOT_ALLOWED, "only the chair may choose whom all see")
            await self._conferences.show(self._line, who)
        except Refused as refused:
            granted = False
            self._refused(name, refused)
        if answered:
            self._line.tell(broadcast_response(name, granted))

    async def _show_nobody(self, itself: bool) -> None:
        try:
            await self._conferences.show_nobody(self._line, itself)
        except Refused as refused:
            self._refused("cancel", refused)

    def _refused(self, wish: str, refused: Refused) -> None:
        where = self._line.whereabouts
        log.info(
            "h323_chair_refused",
            call=None if where is None else where[1],
            wish=wish,
            reason=refused.reason.value,
            detail=refused.detail,
        )
