"""Commands that participants give by keys: what each does, and how the one who pressed is told.

Theory of operation. Keys of somebody in a room go to a `KeyReader` of its own; what that reads is done here, with the
rank that the participant has at that moment. Every command is confirmed by a prompt and by a notice in the picture, for
the one who pressed alone, and told to the log and the event stream with its reason: `normal`, or why it was not done.
In gateway calls keys belong to the other end, and in an echo room to the echo: there are no commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from gateway.reasons import Reason, Refused
from gateway.rooms.errands import Errands
from gateway.rooms.hosting import end_meeting, mute_guests
from gateway.rooms.key_commands import (
    FOR_HOSTS,
    KEY_TIME,
    PRESETS,
    Action,
    CommandTable,
    KeyReader,
    Pin,
    Read,
    Understood,
    Unknown,
)
from gateway.rooms.model import CommandGiven, Participant, Rank
from gateway.rooms.room import Room
from transcode.media import Layout, Sound

if TYPE_CHECKING:
    from gateway.rooms.call import RoomCall
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()

DONE = Sound("tones/confirm")
"""What is heard where no prompt says that a command was done."""
DENIED = Sound("tones/deny")
"""What is heard before the reason that a command was not done."""
HIDDEN = "•"
"""What stands in events for a key that may be one of a PIN."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command is confirmed: a text's name, whether it is spoken (else a tone is heard), a figure behind it."""

    text: str
    spoken: bool = True
    figure: int | None = None


_PROMPTS = {
    Reason.NOT_ALLOWED: "not-allowed",
    Reason.ROOM_FULL: "room-full",
    Reason.WRONG_PIN: "wrong-pin",
    Reason.PIN_NEEDED: "wrong-pin",
    Reason.LOCKED_OUT: "too-many-tries",
}
"""What is said where a command was not done; "unknown-command" for all other reasons."""


class Commands:
    """The commands of the whole house. table holds for rooms that have none of their own; key_time is in seconds."""

    def __init__(self, desk: FrontDesk) -> None:
        self.table: CommandTable = PRESETS["pexip"]
        self.key_time = KEY_TIME
        self._desk = desk
        self._readers: dict[RoomCall, tuple[Room, KeyReader]] = {}
        self._timers: dict[RoomCall, asyncio.TimerHandle] = {}
        self._errands = Errands()

    # keys

    async def pressed(self, call: RoomCall, key: str) -> None:
        """Take a key of somebody who is in a room where commands may be given."""
        reader = self._reader(call)
        self._desk.pressed(call, HIDDEN if reader.secret(key) else key)
        read = reader.press(key, self._now())
        self._set_timer(call, reader)
        await self._do_all(call, read)

    def _reader(self, call: RoomCall) -> KeyReader:
        """Return the reader of a call in its room, with the room's table of this moment."""
        room, settings = call.room, call.room.settings
        table = self.table if settings.commands is None else settings.commands
        known = self._readers.get(call)
        if known is not None and known[0] is room and known[1].table == table:
            reader = known[1]
        else:
            if known is None:
                call.at_end(lambda: self._forget(call))
            reader = KeyReader(table, self.key_time)
            self._readers[call] = (room, reader)
        reader.has_pin = settings.host_pin is not None and call.rank is not Rank.HOST
        return reader

    def _set_timer(self, call: RoomCall, reader: KeyReader) -> None:
        before = self._timers.pop(call, None)
        if before is not None:
            before.cancel()
        if reader.due is not None:
            self._timers[call] = asyncio.get_running_loop().call_at(reader.due, self._expire, call, reader)

    def _expire(self, call: RoomCall, reader: KeyReader) -> None:
        self._timers.pop(call, None)
        read = reader.expire(self._now())
        if read:
            self._errands.run(self._do_all(call, read))

    def _forget(self, call: RoomCall) -> None:
        self._readers.pop(call, None)
        timer = self._timers.pop(call, None)
        if timer is not None:
            timer.cancel()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # what was read

    async def _do_all(self, call: RoomCall, read: list[Read]) -> None:
        for one in read:
            with suppress(Refused):  # the media plane may be gone in this moment; the call's own end tells of that
                await self._do(call, one)

    async def _do(self, call: RoomCall, read: Read) -> None:
        one = call.room.participant(call.participant_id)
        if one is None or not call.inside:
            return
        match read:
            case Understood(action, keys):
                await self._give(call, one, action, keys)
            case Pin():
                await self._give_pin(call, read)
            case Unknown(keys):
                self._told(call, "", keys, Reason.UNSUPPORTED)
                await self._deny(call, "unknown-command")

    async def _give(self, call: RoomCall, one: Participant, action: Action, keys: str) -> None:
        try:
            if action in FOR_HOSTS and not self._may(call.room, one, action):
                raise Refused(Reason.NOT_ALLOWED)
            answer = await _ACTIONS[action](self, call, one)
        except Refused as refused:
            self._told(call, action.value, keys, refused.reason)
            await self._deny(call, _PROMPTS.get(refused.reason, "unknown-command"))
            return
        self._told(call, action.value, keys, Reason.NORMAL)
        if answer is not None:
            await self.confirm(call, answer)

    @staticmethod
    def _may(room: Room, one: Participant, action: Action) -> bool:
        return room.may_admit(one) if action in (Action.ADMIT, Action.REFUSE) else one.rank is Rank.HOST

    async def _give_pin(self, call: RoomCall, pin: Pin) -> None:
        """Take digits as the host PIN. Those of a pause that were not asked for may be anything: nothing is said."""
        if not pin.digits:
            return
        try:
            await self._desk.hosts.promote(call, pin.digits)
        except Refused as refused:
            self._told(call, Action.HOST.value, HIDDEN, refused.reason)
            if pin.asked or pin.ended:
                await self._deny(call, _PROMPTS.get(refused.reason, "wrong-pin"))
            return
        self._told(call, Action.HOST.value, HIDDEN, Reason.NORMAL)
        await self.confirm(call, Answer("you-are-host"))

    def _told(self, call: RoomCall, command: str, keys: str, reason: Reason) -> None:
        log.info(
            "command",
            call=call.id,
            room=call.room_id,
            command=command or "unknown",
            keys=keys,
            reason=reason.value,
        )
        self._desk.publish([CommandGiven(call.room_id, call.participant_id, command, keys, reason)])

    async def confirm(self, call: RoomCall, answer: Answer) -> None:
        """Tell the one who pressed that its command was done."""
        language = self._desk.language_of(call.room)
        voice = self._desk.voice
        sounds = voice.prompts(language, answer.text) if answer.spoken else (DONE,)
        text = voice.written(language, answer.text)
        if answer.figure is not None:
            sounds += voice.digits(language, str(answer.figure))
            text = f"{text}: {answer.figure}"
        await self._tell(call, sounds, text)

    async def _deny(self, call: RoomCall, name: str) -> None:
        language = self._desk.language_of(call.room)
        voice = self._desk.voice
        await self._tell(call, (DENIED, *voice.prompts(language, name)), voice.written(language, name))

    async def _tell(self, call: RoomCall, sounds: tuple[Sound, ...], text: str) -> None:
        if call.over or not call.inside:
            return
        await self._desk.plane.play(call.leg, sounds)
        await self._desk.notices.show(call, text)

    # what commands do; each returns how it is confirmed

    async def _mute(self, call: RoomCall, one: Participant) -> Answer:
        await call.mute(audio=True)
        return Answer("muted")

    async def _unmute(self, call: RoomCall, one: Participant) -> Answer:
        await call.mute(audio=False)
        if one.muted_by_host:
            raise Refused(Reason.NOT_ALLOWED, "a host muted it")
        return Answer("unmuted")

    async def _toggle_mute(self, call: RoomCall, one: Participant) -> Answer:
        return await (self._unmute if one.muted_by_self or one.muted_by_host else self._mute)(call, one)

    async def _mute_guests(self, call: RoomCall, one: Participant) -> Answer:
        return await self._guests(call, True)

    async def _unmute_guests(self, call: RoomCall, one: Participant) -> Answer:
        return await self._guests(call, False)

    async def _toggle_guests(self, call: RoomCall, one: Participant) -> Answer:
        guests = [each for each in call.room.participants if each.rank is Rank.GUEST]
        return await self._guests(call, not guests or any(not each.muted_by_host for each in guests))

    async def _guests(self, call: RoomCall, muted: bool) -> Answer:
        await mute_guests(self._desk, call.room, muted)
        return Answer("all-muted" if muted else "all-unmuted")

    async def _lock(self, call: RoomCall, one: Participant) -> Answer:
        await self._desk.lock(call.room_id, True)
        return Answer("room-is-locked")

    async def _unlock(self, call: RoomCall, one: Participant) -> Answer:
        await self._desk.lock(call.room_id, False)
        return Answer("room-is-unlocked")

    async def _toggle_lock(self, call: RoomCall, one: Participant) -> Answer:
        return await (self._unlock if call.room.settings.locked else self._lock)(call, one)

    async def _layout(self, call: RoomCall, one: Participant) -> Answer:
        known = list(Layout)
        after = known[(known.index(call.room.settings.layout) + 1) % len(known)]
        await self._desk.set_room(replace(call.room.settings, layout=after))
        return Answer("layout-changed")

    async def _slides(self, call: RoomCall, one: Participant) -> Answer:
        shown = not one.sees_slides
        self._desk.publish(call.room.change(one.id, sees_slides=shown))
        await self._desk.direct(call.room_id)
        return Answer("slides-on" if shown else "slides-off")

    async def _end(self, call: RoomCall, one: Participant) -> None:
        # Not waited for: the key came by a job of one of the calls that this ends, or with the events of all media.
        self._errands.run(end_meeting(self._desk, call.room))

    async def _host(self, call: RoomCall, one: Participant) -> Answer:
        if one.rank is Rank.HOST:
            return Answer("you-are-host")
        if call.room.settings.host_pin is None:
            raise Refused(Reason.NOT_ALLOWED, "the room has no host PIN")
        reader = self._reader(call)
        reader.ask_pin(self._now())
        self._set_timer(call, reader)
        return Answer("enter-pin")

    async def _admit(self, call: RoomCall, one: Participant) -> Answer:
        await self._desk.lobby.admit_first(call.room, one.name)
        return Answer("let-in", spoken=False)

    async def _refuse(self, call: RoomCall, one: Participant) -> Answer:
        self._desk.lobby.refuse_first(call.room, one.name)
        return Answer("sent-away", spoken=False)

    async def _count(self, call: RoomCall, one: Participant) -> Answer:
        return Answer("participants", figure=len(call.room.participants))


_ACTIONS: dict[Action, Callable[[Commands, RoomCall, Participant], Awaitable[Answer | None]]] = {
    Action.MUTE: Commands._mute,
    Action.UNMUTE: Commands._unmute,
    Action.TOGGLE_MUTE: Commands._toggle_mute,
    Action.MUTE_GUESTS: Commands._mute_guests,
    Action.UNMUTE_GUESTS: Commands._unmute_guests,
    Action.TOGGLE_GUESTS: Commands._toggle_guests,
    Action.LOCK: Commands._lock,
    Action.UNLOCK: Commands._unlock,
    Action.TOGGLE_LOCK: Commands._toggle_lock,
    Action.LAYOUT: Commands._layout,
    Action.SLIDES: Commands._slides,
    Action.END: Commands._end,
    Action.HOST: Commands._host,
    Action.ADMIT: Commands._admit,
    Action.REFUSE: Commands._refuse,
    Action.COUNT: Commands._count,
}
