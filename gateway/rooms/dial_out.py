"""Dialled calls: those that the house is asked to make into a room, from the moment that they are asked for.

Theory of operation. Each is a `Dialling`: the pure life of `redialling.py`, and a task that places the call, waits for
its end and for the time of the next try. What others see of it is a `Dialled`, published with each change. It is asked
for by a program, a host, or the house itself for the list of a room (`dial_lists.py`). While somebody is called into a
room where only one is, that one hears a ring tone; when nobody answers in the end, the room is told why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from gateway.calls import CallId, Order
from gateway.reasons import Reason, Refused
from gateway.rooms.identity import make_id
from gateway.rooms.model import CallFailed, DialChanged, Dialled, DialState, Left, Ringing, RoomDeleted, RoomEvent
from gateway.rooms.outbound import Asker, Role
from gateway.rooms.redialling import ONCE, OPEN, Redialling, Tries
from transcode.media import RoomId, Sound

if TYPE_CHECKING:
    from gateway.rooms.call import RoomCall
    from gateway.rooms.desk import FrontDesk
    from gateway.rooms.room import Room

log = structlog.get_logger()

RING_TIME = 90.0
"""Seconds that it may ring; what is not answered by then goes to nobody or to a mailbox."""
MAX_DIALLED = 500
"""Dialled calls that are not over, in the whole house: each has a task and may hold a call."""
MAX_IN_ROOM = 100
"""The same in one room: a large meeting's list."""
MAX_CALLING = 50
"""Calls that are being placed at once: each has media ports, and messages that are sent again. Lists wait."""
MAX_OVER = 200
"""Dialled calls that are over and still told of, so that who asked can read what became of them."""
OVER_TIME = 600.0
"""Seconds that they are told of."""

_PROMPTS = {
    Reason.BUSY: "busy",
    Reason.NO_ANSWER: "no-answer",
    Reason.TIMEOUT: "no-answer",
}
"""What a room is told of a call that failed; "call-failed" of all others."""


@dataclass(frozen=True, slots=True)
class DialWish:
    """Whom to call, and how: an address, a trunk (empty: the rules' own), what the others read, and how often."""

    target: str
    trunk: str = ""
    name: str = ""
    tries: Tries = ONCE


class Dialling:
    """One dialled call."""

    def __init__(self, room: Room, asker: Asker, wish: DialWish, since: float) -> None:
        self.id = make_id()
        self.room = room
        self.asker = asker
        self.wish = wish
        self.life = Redialling(wish.tries)
        self.since = since
        self.call: RoomCall | None = None
        self.detail = ""
        self.refused: Refused | None = None
        """How the last try failed."""
        self.task: asyncio.Task[None] | None = None
        self.changed = asyncio.Event()

    def told(self, now: float, wall: float) -> Dialled:
        """Return what others may know of it; now is the time of the life's clock, wall that of people's."""
        life = self.life
        answered = self.call is not None and life.state is DialState.ANSWERED
        return Dialled(
            id=self.id,
            room=self.room.settings.id,
            target=self.wish.target,
            name=self.wish.name,
            by=self.asker.role.value,
            state=life.state,
            since=self.since,
            number=life.number,
            tries=life.tries.most,
            keep_connected=life.tries.keep,
            reason=life.reason,
            call=self.call.id if answered and self.call is not None else None,
            participant=self.call.participant_id if answered and self.call is not None else None,
            due=None if life.due is None else wall + max(0.0, life.due - now),
        )


class DialOut:
    """All dialled calls of the house."""

    def __init__(self, desk: FrontDesk) -> None:
        self._desk = desk
        self._all: dict[str, Dialling] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._places = asyncio.Semaphore(MAX_CALLING)

    # what is asked

    def begin(self, asker: Asker, room: Room, wish: DialWish) -> Dialling:
        """Have somebody called into a room, and return at once.

        Raises `Denied` where the house will not call: NOT_ALLOWED, BAD_REQUEST, NO_SUCH_USER; OVERLOAD where too many
        are called. For a room's list nothing is raised but OVERLOAD: what fails is told by the dialled call.
        """
        self._prune()
        living = [one for one in self._all.values() if not one.life.over]
        if len(living) >= MAX_DIALLED or sum(one.room is room for one in living) >= MAX_IN_ROOM:
            raise Refused(Reason.OVERLOAD, "too many are being called already")
        if asker.role is not Role.HOUSE:
            if self.calling >= MAX_CALLING:
                raise Refused(Reason.OVERLOAD, f"{MAX_CALLING} calls are being placed already")
            self._desk.switchboard.check(asker, self._order(room, wish), room)
        one = Dialling(room, asker, wish, self._desk.clock())
        self._all[one.id] = one
        one.task = self._start(self._run(one))
        self._tell(one)
        return one

    def one(self, id: str) -> Dialling:
        """Return a dialled call by its id. Raises `Refused` with NO_SUCH_USER."""
        found = self._all.get(id)
        if found is None:
            raise Refused(Reason.NO_SUCH_USER, f"there is no dialled call {id[:64]}")
        return found

    def knows(self, id: str) -> bool:
        """Tell whether this is the id of a dialled call."""
        return id in self._all

    def told(self, room: RoomId | None = None) -> list[Dialled]:
        """Return what is known of all dialled calls, or those into one room, oldest first."""
        self._prune()
        found = [one for one in self._all.values() if room is None or one.room.settings.id == room]
        return [self.tell_of(one) for one in found]

    def tell_of(self, one: Dialling) -> Dialled:
        """Return what is known of a dialled call."""
        return one.told(self._now(), self._desk.clock())

    async def outcome(self, one: Dialling) -> RoomCall:
        """Wait until a dialled call is answered, and return the call. Raises `Refused` with the reason it was not."""
        while one.life.state is not DialState.ANSWERED:
            if one.life.over:
                if one.refused is not None and one.life.state is DialState.FAILED:
                    raise one.refused
                raise Refused(one.life.reason or Reason.CANCELLED, one.detail)
            one.changed.clear()
            await one.changed.wait()
        assert one.call is not None
        return one.call

    async def cancel(self, id: str, reason: Reason = Reason.CANCELLED) -> None:
        """Have somebody called no more; a call that was answered is hung up. Raises `Refused` with NO_SUCH_USER."""
        one = self.one(id)
        call = one.call if one.life.state is DialState.ANSWERED else None
        if not self.stop(one, reason):
            return
        if call is not None and not call.over:
            await call.hang_up(Reason.HUNG_UP_BY_HOST)

    @property
    def calling(self) -> int:
        """How many are being called at this moment."""
        return sum(one.life.state in OPEN for one in self._all.values())

    @property
    def waiting(self) -> int:
        """How many wait for another try."""
        return sum(one.life.state is DialState.WAITING for one in self._all.values())

    def living(self, room: RoomId) -> list[Dialling]:
        """Return the dialled calls into a room that are not over."""
        return [one for one in self._all.values() if one.room.settings.id == room and not one.life.over]

    def asker_of(self, id: str) -> Role | None:
        """Return who asked for a dialled call, None if it is not known."""
        one = self._all.get(id) if id else None
        return None if one is None else one.asker.role

    async def close(self) -> None:
        """Give all up, for the house shuts."""
        for one in self._all.values():
            self.stop(one, Reason.SHUTDOWN)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # what happens

    def take(self, event: RoomEvent) -> None:
        """Hear of something that happened in the house."""
        match event:
            case Ringing():
                one = self._all.get(event.facts.dialled)
                if one is not None and one.life.rings():
                    self._tell(one)
            case Left():
                self._ended(event.participant.facts.dialled, event.participant.call, event.reason)
                self._emptied(event.room)
            case CallFailed():
                self._ended(event.facts.dialled, event.call, event.reason)
            case RoomDeleted():
                for one in self.living(event.room):
                    self.stop(one, Reason.ROOM_CLOSED)

    def _ended(self, id: str, call: CallId, reason: Reason) -> None:
        one = self._all.get(id) if id else None
        if one is not None and one.call is not None and one.call.id == call and one.life.ended(reason, self._now()):
            self._tell(one)

    def _emptied(self, id: RoomId) -> None:
        """When nobody is left, nobody is called any more, but where a program or a list wants that at any time."""
        room = self._desk.rooms.get(id)
        if room is None or room.participants:
            return
        for one in self.living(id):
            wanted = one.asker.role is Role.API and not one.life.tries.keep
            if not wanted and not self._desk.lists.always(one.id):
                self.stop(one, Reason.CANCELLED)

    # its own work

    async def _run(self, one: Dialling) -> None:
        """Place the call, as often as its life wants."""
        while not one.life.over:
            if one.life.state in OPEN:
                await self._try(one)
            elif one.life.due is not None:
                await asyncio.sleep(max(0.0, one.life.due - self._now()))
                if one.life.again(self._now()):
                    self._tell(one)
            else:
                one.changed.clear()
                await one.changed.wait()

    async def _try(self, one: Dialling) -> None:
        order = self._order(one.room, one.wish)
        board = self._desk.switchboard
        try:
            async with self._places, asyncio.timeout(RING_TIME):
                call = await board.place(one.asker, order, one.room, one.wish.name, dialled=one.id)
        except TimeoutError:
            self._fail(one, Refused(Reason.NO_ANSWER))
        except Refused as refused:
            self._fail(one, refused)
        except Exception as fault:  # the adapters' outermost shell here: one call's fault ends no other
            log.exception("dialled_call_broke", dialled=one.id, error=repr(fault))
            self._fail(one, Refused(Reason.INTERNAL))
        else:
            one.call = call
            one.life.answered(self._now())
            self._tell(one)

    def _fail(self, one: Dialling, refused: Refused) -> None:
        one.refused, one.detail = refused, refused.detail
        if one.life.failed(refused.reason, self._now()):
            self._tell(one)
            if one.life.state is DialState.FAILED and one.room.participants:
                self._start(self._announce(one.room, _PROMPTS.get(refused.reason, "call-failed")))

    def stop(self, one: Dialling, reason: Reason) -> bool:
        """Have somebody called no more; who is in the room stays there. Tell whether that changes something."""
        if not one.life.cancel(reason):
            return False
        if one.task is not None:
            one.task.cancel()
        self._tell(one)
        return True

    async def _announce(self, room: Room, prompt: str) -> None:
        with suppress(Refused):
            await self._desk.plane.announce(room.settings.id, (Sound(f"{self._desk.language_of(room)}/{prompt}"),))

    def _order(self, room: Room, wish: DialWish) -> Order:
        return Order(wish.target, wish.trunk, display=room.settings.title)

    def _tell(self, one: Dialling) -> None:
        """Something of a dialled call changed: tell everybody, and let its room ring or cease to."""
        one.since = self._desk.clock()
        one.changed.set()
        told = self.tell_of(one)
        reason = None if told.reason is None else told.reason.value
        log.info(
            "dialled",
            dialled=one.id,
            room=told.room,
            target=told.target,
            state=told.state.value,
            reason=reason,
            number=told.number,
            by=told.by,
        )
        self._desk.publish([DialChanged(told.room, told)])
        rings = any(each.life.state in OPEN for each in self.living(told.room))
        if one.room.rings is not rings:
            one.room.rings = rings
            if len(one.room.participants) <= 1:
                self._start(self._direct(told.room))

    async def _direct(self, room: RoomId) -> None:
        with suppress(Refused):
            await self._desk.direct(room)

    def _prune(self) -> None:
        """Forget what was over long ago, and the oldest of too many."""
        over = [one for one in self._all.values() if one.life.over]
        before = self._desk.clock() - OVER_TIME
        for number, one in enumerate(over):
            if one.since < before or len(over) - number > MAX_OVER:
                del self._all[one.id]

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
