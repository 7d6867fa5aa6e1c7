"""One room's state: who is in it, and the view plan that follows from that. Pure: no I/O, no clock of its own."""

from __future__ import annotations

import hmac

from gateway.calls import CallProtocol
from gateway.reasons import Reason, Refused
from gateway.rooms.chat import Chat
from gateway.rooms.floor import PresentationFloor
from gateway.rooms.model import (
    Changed,
    Formats,
    Joined,
    Left,
    Participant,
    ParticipantId,
    PresenterChanged,
    Rank,
    RoomChanged,
    RoomEvent,
    RoomSettings,
    SpeakerChanged,
    SpotlightChanged,
    Stage,
    WhenLocked,
)
from transcode.events import FormatsChanged
from transcode.media import Kind, LegId, LegPlan, Role, Sound, ViewPlan

RINGBACK = (Sound("tones/ringback"),)
"""What one who is alone hears while somebody is being called into the room."""
ECHO_CAPTION = "Echo test: this is you, one second ago"
"""What is written under everybody's own picture in an echo room."""


class Room:
    """Participants in the order they came; each change returns the events that it makes.

    private is the room of a gateway call, which is in no list and shows no slate.
    """

    def __init__(self, settings: RoomSettings, private: bool = False) -> None:
        self.settings = settings
        self.private = private
        self.speaker: ParticipantId | None = None
        self.spotlight: ParticipantId | None = None
        """Whom everybody sees large, whoever speaks."""
        self.notice = ""
        """What those read who may let others in."""
        self.chat = Chat(settings.id)
        self.floor = PresentationFloor()
        self.rings = False
        """Whether somebody is being called into it."""
        self.notices: dict[ParticipantId, str] = {}
        """What is written over somebody's picture."""
        self._participants: dict[ParticipantId, Participant] = {}
        self._legs: dict[LegId, ParticipantId] = {}

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Everybody in the room, in the order they came."""
        return tuple(self._participants.values())

    def participant(self, id: ParticipantId) -> Participant | None:
        """Return a participant by its id."""
        return self._participants.get(id)

    def by_leg(self, leg: LegId) -> Participant | None:
        """Return the participant whose media this leg is."""
        id = self._legs.get(leg)
        return None if id is None else self._participants[id]

    def admit(
        self,
        pin: str | None,
        waiting: int = 0,
        rank: Rank | None = None,
        most: int | None = None,
        invited: bool = False,
    ) -> Rank:
        """Say as what a caller with this PIN may enter; waiting counts those admitted but not in yet.

        rank was decided elsewhere and needs no PIN; most is another bound than the room's. invited: it was called
        from inside, and comes in though the room is locked.
        Raises `Refused` with PIN_NEEDED, WRONG_PIN, ROOM_LOCKED or ROOM_FULL.
        """
        rank = rank or self._rank(pin)
        shut = self.settings.locked and self.settings.when_locked is WhenLocked.REFUSE
        if shut and rank is not Rank.HOST and not invited:
            raise Refused(Reason.ROOM_LOCKED)
        if len(self._participants) + waiting >= (most or self.settings.max_participants):
            raise Refused(Reason.ROOM_FULL)
        return rank

    def holds_back(self, rank: Rank) -> Stage | None:
        """Return what a newcomer waits at before it may come in, None where it need not wait."""
        settings = self.settings
        if rank is Rank.HOST or self.private:
            return None
        if settings.locked:
            return Stage.KNOCKING
        return Stage.LOBBY if settings.lobby and not any(one.rank is Rank.HOST for one in self.participants) else None

    def may_admit(self, one: Participant) -> bool:
        """Whether a participant may let others in: hosts, and everybody where there are none."""
        return one.rank is Rank.HOST or (self.settings.host_pin is None and not self.settings.apart)

    def is_host_pin(self, pin: str) -> bool:
        """Whether this is the PIN of hosts."""
        known = self.settings.host_pin
        return known is not None and _same(pin, known)

    def _rank(self, pin: str | None) -> Rank:
        settings = self.settings
        if self.is_host_pin(pin or ""):
            return Rank.HOST
        if settings.guest_pin is not None:
            if not pin:
                raise Refused(Reason.PIN_NEEDED)
            if not _same(pin, settings.guest_pin):
                raise Refused(Reason.WRONG_PIN)
        elif pin and settings.host_pin is not None:
            raise Refused(Reason.WRONG_PIN)
        return Rank.GUEST

    def join(self, participant: Participant) -> list[RoomEvent]:
        """Let a participant in; one with the same id is replaced (a browser that came back)."""
        before = self._participants.get(participant.id)
        if before is not None:
            self._legs.pop(before.leg, None)
        self._participants[participant.id] = participant
        self._legs[participant.leg] = participant.id
        made = Joined if before is None else Changed
        return [made(self.settings.id, participant)]

    def leave(self, id: ParticipantId, reason: Reason) -> list[RoomEvent]:
        """Let a participant go."""
        gone = self._participants.pop(id, None)
        if gone is None:
            return []
        self._legs.pop(gone.leg, None)
        self.notices.pop(id, None)
        if not self._participants:
            self.chat.forget()  # who meets here next does not read what these ones wrote
        events: list[RoomEvent] = [Left(self.settings.id, gone, reason)]
        if self.speaker == id:
            self.speaker = None
            events.append(SpeakerChanged(self.settings.id, None))
        if self.spotlight == id:
            events += self.light(None, "")
        return events + self.release_floor(id)

    def take_floor(self, id: ParticipantId, rank: Rank, implicit: bool = False) -> list[RoomEvent]:
        """Let a participant present. Raises `Refused` with BUSY."""
        before = self.floor.holder
        self.floor.request(id, rank, implicit)
        return [] if before == id else [PresenterChanged(self.settings.id, id)]

    def release_floor(self, id: ParticipantId, implicit: bool = False) -> list[RoomEvent]:
        """Let a participant present no more; implicit: only if it presented by sending slides."""
        return [PresenterChanged(self.settings.id, None)] if self.floor.release(id, implicit) else []

    def light(self, id: ParticipantId | None, by: str) -> list[RoomEvent]:
        """Have everybody see somebody large, or nobody; by is who wants it."""
        if id == self.spotlight:
            return []
        self.spotlight = id
        return [SpotlightChanged(self.settings.id, id, by)]

    def change(self, id: ParticipantId, **changes: object) -> list[RoomEvent]:
        """Change fields of a participant; nothing happens if they are so already."""
        before = self._participants.get(id)
        if before is None:
            return []
        after = before.but(**changes)
        if after == before:
            return []
        self._participants[id] = after
        return [Changed(self.settings.id, after)]

    def talking(self, leg: LegId, talking: bool) -> list[RoomEvent]:
        """Note that a leg began or ceased to talk."""
        who = self.by_leg(leg)
        return [] if who is None else self.change(who.id, talking=talking and not who.muted)

    def speaks(self, leg: LegId | None) -> list[RoomEvent]:
        """Note who the active speaker is."""
        who = None if leg is None else self.by_leg(leg)
        id = None if who is None else who.id
        if id == self.speaker:
            return []
        self.speaker = id
        return [SpeakerChanged(self.settings.id, id)]

    def seen_by(self, leg: LegId) -> LegId | None:
        """Return the leg whose picture another one sees largest: of the spotlight, of the speaker, or of the only other
        one."""
        others = {one.id: one for one in self._participants.values() if one.leg != leg}
        for id in (self.spotlight, self.speaker):
            if id in others:
                return others[id].leg
        return next(iter(others.values())).leg if len(others) == 1 else None

    @property
    def shown(self) -> ParticipantId | None:
        """Who is seen largest, as far as that is one for all: who stands in the spotlight, or speaks."""
        return self.spotlight if self.spotlight is not None else self.speaker

    def formats(self, event: FormatsChanged) -> list[RoomEvent]:
        """Note what a leg's stream carries."""
        who = self.by_leg(event.leg)
        if who is None or event.kind not in (Kind.AUDIO, Kind.VIDEO):
            return []
        formats = Formats(
            event.codec_in, event.codec_out, event.width_in, event.height_in, event.width_out, event.height_out
        )
        field = "slides" if event.role is Role.SLIDES else event.kind.value
        return self.change(who.id, **{field: formats})

    def change_settings(self, settings: RoomSettings) -> list[RoomEvent]:
        """Take new settings."""
        if settings == self.settings:
            return []
        self.settings = settings
        return [RoomChanged(settings.id, settings)]

    def _reads_notice(self, one: Participant) -> bool:
        """Whether the notice is written into somebody's picture: a browser shows on its page what it tells."""
        return bool(self.notice) and one.protocol is not CallProtocol.WEBRTC and self.may_admit(one)

    def plan(self, dial: str = "") -> ViewPlan:
        """Return who hears whom and who sees what; dial says on the slate how others get in.

        The two of a private room wait for nobody: there is no title and no hint.
        """
        legs = tuple(
            LegPlan(
                leg=one.leg,
                name=one.name,
                heard=not one.muted,
                seen=not one.camera_off,
                layout=None,
                notice=self.notices.get(one.id) or (self.notice if self._reads_notice(one) else ""),
                slides=one.sees_slides,
                keys=one.signals_keys,
            )
            for one in self._participants.values()
        )
        holder = self.participant(self.floor.holder) if self.floor.holder is not None else None
        presenter = None if holder is None else holder.leg
        lit = self.participant(self.spotlight) if self.spotlight is not None else None
        spotlight = None if lit is None else lit.leg
        if self.private:
            return ViewPlan(legs=legs, layout=self.settings.layout, presenter=presenter, forward=True)
        echo = self.settings.apart
        rings = self.rings and not echo and len(self._participants) == 1
        background = RINGBACK if rings else ()
        slate = ECHO_CAPTION if echo else dial
        layout, title = self.settings.layout, self.settings.title
        return ViewPlan(
            legs=legs,
            layout=layout,
            title=title,
            slate=slate,
            echo=echo,
            presenter=presenter,
            spotlight=spotlight,
            background=background,
        )


def _same(pin: str, known: str) -> bool:
    """Compare PINs in a time that tells nothing; what is given may hold anything, lone surrogates too."""
    return hmac.compare_digest(pin.encode("utf-8", "surrogatepass"), known.encode())
