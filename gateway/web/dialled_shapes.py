"""What the API takes and gives of calls that the house is asked to make."""

from __future__ import annotations

import datetime
from typing import Annotated

from pydantic import Field, model_validator

from gateway.rooms.dial_out import DialWish
from gateway.rooms.model import Dialled, DialState
from gateway.rooms.redialling import LONGEST_PAUSE, MAX_RETRIES, PAUSE, SHORTEST_PAUSE, Tries
from gateway.web.shapes import Address, Asked, Name, Shape, moment


class Invitation(Asked):
    """Whom to call, as an address that the gateway can dial; name is what the others read of it.

    trunk is what it goes through, where the rules allow several. wait: whether the answer comes when the call was taken
    or failed, or at once. retries are further tries after busy, no answer and the like, with so many seconds of pause.
    keep_connected: called again whenever the call is lost, until somebody ends it or the room is empty.
    """

    target: Address
    name: Name = ""
    trunk: Annotated[str, Field(max_length=64)] = ""
    wait: bool = True
    retries: Annotated[int, Field(ge=0, le=MAX_RETRIES)] = 0
    pause: Annotated[float, Field(ge=SHORTEST_PAUSE, le=LONGEST_PAUSE)] = PAUSE
    keep_connected: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> Invitation:
        if self.retries and self.keep_connected:
            raise ValueError("who is to be kept connected is tried without a bound: retries has no meaning")
        return self

    def wish(self) -> DialWish:
        """Return what is wished."""
        return DialWish(self.target, self.trunk, self.name, Tries(self.retries, self.pause, self.keep_connected))


class DialledShape(Shape):
    """A call that was asked for, from then until some minutes after its end.

    state is dialling, ringing, answered (call and participant say which), waiting (for another try, at next_try),
    failed, cancelled or ended. reason, and message in words, say why the last try failed or the call ended. number
    counts tries, tries is how many there are at most, null: no bound. by is who asked: api, host, or house for a list.
    """

    id: str
    room: str
    target: str
    name: str
    by: str
    state: DialState
    since: datetime.datetime
    number: int
    tries: int | None
    keep_connected: bool
    reason: str | None
    message: str | None
    call: str | None
    participant: str | None
    next_try: datetime.datetime | None


class DialledList(Shape):
    """Calls that were asked for, in that order."""

    dialled: list[DialledShape]


def dialled_shape(one: Dialled) -> DialledShape:
    """Return a dialled call as the API tells it."""
    return DialledShape(
        id=one.id,
        room=one.room,
        target=one.target,
        name=one.name,
        by=one.by,
        state=one.state,
        since=moment(one.since),
        number=one.number,
        tries=one.tries,
        keep_connected=one.keep_connected,
        reason=None if one.reason is None else one.reason.value,
        message=None if one.reason is None else one.reason.text,
        call=one.call,
        participant=one.participant,
        next_try=None if one.due is None else moment(one.due),
    )
