"""A gateway call: a caller and the one it called, point to point, whatever their protocols.

Theory of operation. The two meet in a private room, which is no room to anybody else: it stands in no list, cannot be
dialled, shows no slate. So the media plane serves them as any two people in a room, each full-screen to the other.

    caller: arrive --admitted()--> waits --------------------------------> answered --> connected
    called:            placed --> ringing (told to the caller's line) --> answered, connected

The caller is not answered before the called one is; what the called one says, busy or declined, is what the caller
hears. A caller who gives up takes the call to the other back. Once both are in, the room lives as long as two are in it
or one is in and another is being called (a transfer); when one is left over, its call ends with the other's reason.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from gateway.calls import Order
from gateway.reasons import Reason, Refused
from gateway.rooms.dial_plan import ToCall
from gateway.rooms.outbound import Asker, Role
from gateway.rooms.room import Room
from transcode.media import Wanted

if TYPE_CHECKING:
    from gateway.rooms.call import RoomCall
    from gateway.rooms.switchboard import Switchboard

log = structlog.get_logger()

RING_TIME = 120.0
"""Seconds that a caller waits for an answer; proxies give up after three minutes (RFC 3261 §16.6, timer C)."""


class Bridge:
    """One gateway call. trunk is the one that the called one is reached through, empty for none."""

    def __init__(self, board: Switchboard, room: Room, to: ToCall) -> None:
        self.room = room
        self.to = to
        self.pending = 0
        """How many are being called into the room."""
        self.up = False
        self.over = False
        self._board = board
        self._members: list[RoomCall] = []
        self._caller: RoomCall | None = None
        self._dialling: asyncio.Task[RoomCall] | None = None

    @property
    def calls(self) -> list[RoomCall]:
        """The calls in this room, those that are on their way too."""
        return [call for call in self._members if call.room is self.room and not call.over]

    def take(self, call: RoomCall) -> None:
        """Take a call into the room; the first one is the caller's."""
        self._members = [*self.calls, call]
        self._caller = self._caller or call

    async def put_through(self, caller: RoomCall) -> None:
        """Call the other one and return when it has answered. Raises `Refused` with the reason it did not."""
        if caller is not self._caller or self.up:
            return
        if self.over:
            raise Refused(Reason.CANCELLED)
        self._dialling = asyncio.get_running_loop().create_task(self._dial(caller))
        try:
            async with asyncio.timeout(RING_TIME):
                called = await self._dialling
        except TimeoutError:
            raise Refused(Reason.NO_ANSWER) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():  # it was the call to the other one that was given up
                raise Refused(Reason.CANCELLED) from None
            raise
        if called.over or self.over:
            raise Refused(Reason.CANCELLED, "the other one hung up at once")
        self.up = True
        log.info("call_put_through", call=caller.id, to=called.id, room=self.room.settings.id)

    async def _dial(self, caller: RoomCall) -> RoomCall:
        facts = caller.facts
        if facts.hops <= 1:
            raise Refused(Reason.LOOP)
        asker = Asker(Role.CALLER, "", facts.account, facts.source, facts.trunk)
        order = Order(
            self.to.target,
            self.to.trunk,
            sender=facts.account or _user(facts.caller),
            display=facts.name,
            wanted=Wanted(video=facts.video),
            hops=facts.hops - 1,
        )
        return await self._board.place(asker, order, self.room)

    async def rings(self) -> None:
        """The other one is being rung."""
        if self._caller is not None and not self.up and not self._caller.over:
            await self._caller.line.ringing()

    async def pressed(self, call: RoomCall, digit: str, duration: int) -> None:
        """Carry a key that one pressed across: by events in the other's media, by signalling, else by its tones."""
        for other in self.calls:
            if other is not call and other.inside:
                with suppress(Refused):
                    signals = other.signals_keys
                    if not await self._board.desk.plane.press(other.leg, digit, duration, not signals) and signals:
                        await other.line.press(digit, duration)

    async def left(self, call: RoomCall, reason: Reason) -> None:
        """A call is over: see whether the room lives on."""
        if self.over or (not self.up and call is not self._caller):
            return  # one of several places where the called one was looked for
        rest = self.calls
        if self.up and (len(rest) > 1 or (rest and self.pending)):
            return
        self.over = True
        if self._dialling is not None and not self._dialling.done():
            self._dialling.cancel()
        for other in rest:
            with suppress(Refused):
                await other.hang_up(reason)
        self._board.closed(self)

    async def settled(self, reason: Reason) -> None:
        """Somebody who was called into the room has come, or will not."""
        rest = self.calls
        if self.up and not self.over and not self.pending and len(rest) < 2:
            self.over = True
            for other in rest:
                with suppress(Refused):
                    await other.hang_up(reason)
            self._board.closed(self)


def _user(address: str) -> str:
    """Return the user part of an address, empty where it has none."""
    user, at, _ = address.partition(":")[2].rpartition("@")
    return user if at else ""
