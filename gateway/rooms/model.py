"""What a room and a participant are, and what can happen to them, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NewType

from gateway.calls import CallFacts, CallId, CallProtocol
from gateway.reasons import Reason
from gateway.rooms.key_commands import CommandTable
from transcode.media import Layout, LegId, RoomId

ParticipantId = NewType("ParticipantId", str)


class Rank(Enum):
    """What a participant may do in the room."""

    HOST = "host"
    GUEST = "guest"


class Stage(Enum):
    """What a call that stands outside is at.

    It is asked for a room, or for the PIN of one; it waits for a host, or knocks at a locked room.
    """

    MENU = "menu"
    PIN = "pin"
    LOBBY = "lobby"
    KNOCKING = "knocking"


class RoomMode(Enum):
    """What a room is for."""

    MEETING = "meeting"
    ECHO = "echo"


class HostLeaves(Enum):
    """What becomes of a meeting when its last host leaves."""

    CONTINUE = "continue"
    END = "end"


class Greeting(Enum):
    """What is heard when somebody comes or goes: nothing, a tone, or who it is."""

    NONE = "none"
    TONES = "tones"
    NAMES = "names"


class WhenLocked(Enum):
    """What somebody may do before a locked room: knock and wait, or nothing."""

    KNOCK = "knock"
    REFUSE = "refuse"


class DialTime(Enum):
    """When somebody on a room's list is called: when the first one joins, or for as long as the room is there."""

    FIRST_JOINS = "first_joins"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class AutoDial:
    """Somebody whom the house calls into a room by itself.

    trunk is the one that the call goes through, empty for none or the outbound rule's; name what the others read, empty
    for the number. retries, pause (s) and keep_connected are as in `redialling.Tries`.
    """

    target: str
    trunk: str = ""
    name: str = ""
    when: DialTime = DialTime.FIRST_JOINS
    keep_connected: bool = False
    retries: int = 0
    pause: float = 30.0


class DialState(Enum):
    """Where a dialled call stands: being called, in, waiting for another try, or over in one of three ways."""

    DIALLING = "dialling"
    RINGING = "ringing"
    ANSWERED = "answered"
    WAITING = "waiting"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What is set of a room, wherever it is kept. aliases are what else may be dialled for it.

    lobby lets guests wait for a host. The meeting ends host_leaves_after seconds after the last host left, if
    host_leaves says so; lone_timeout seconds after somebody is alone, idle_timeout seconds after the last sign of life;
    0: never. language is what callers are spoken to in, empty for the house's. auto_dial are those whom the house calls
    into it by itself; commands is what keys mean in it, None for the house's table.
    """

    id: RoomId
    name: str = ""
    layout: Layout = Layout.AUTO
    host_pin: str | None = field(default=None, repr=False)
    guest_pin: str | None = field(default=None, repr=False)
    max_participants: int = 50
    locked: bool = False
    mode: RoomMode = RoomMode.MEETING
    aliases: tuple[str, ...] = ()
    lobby: bool = False
    when_locked: WhenLocked = WhenLocked.KNOCK
    host_leaves: HostLeaves = HostLeaves.CONTINUE
    host_leaves_after: int = 60
    lone_timeout: int = 0
    idle_timeout: int = 0
    entry: Greeting = Greeting.NONE
    language: str = ""
    auto_dial: tuple[AutoDial, ...] = ()
    commands: CommandTable | None = None

    @property
    def apart(self) -> bool:
        """Whether everybody in it is alone: they neither hear, see nor read of each other."""
        return self.mode is RoomMode.ECHO

    @property
    def ends_itself(self) -> bool:
        """Whether anything but people ends a meeting in it."""
        return self.host_leaves is HostLeaves.END or self.lone_timeout > 0 or self.idle_timeout > 0

    @property
    def title(self) -> str:
        """What people read: the name, or the id where there is none."""
        return self.name or f"Room {self.id}"


@dataclass(frozen=True, slots=True)
class Formats:
    """What a participant's stream really carries: codec names, sizes in pixels; empty where nothing flows."""

    codec_in: str = ""
    codec_out: str = ""
    width_in: int = 0
    height_in: int = 0
    width_out: int = 0
    height_out: int = 0


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in a room. muted_by_self and muted_by_host are told apart: only who muted may unmute.

    joined is in seconds since 1970. sees_slides says whether slides stand in its picture, where it has one alone;
    signals_keys whether its peer is told of keys by signalling.
    """

    id: ParticipantId
    call: CallId
    leg: LegId
    name: str
    protocol: CallProtocol
    rank: Rank
    facts: CallFacts
    joined: float
    talking: bool = False
    muted_by_self: bool = False
    muted_by_host: bool = False
    camera_off: bool = False
    sees_slides: bool = True
    signals_keys: bool = False
    audio: Formats = Formats()
    video: Formats = Formats()
    slides: Formats = Formats()

    @property
    def muted(self) -> bool:
        """Whether the others do not hear this one."""
        return self.muted_by_self or self.muted_by_host

    def but(self, **changes: object) -> Participant:
        """Return this participant with something changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Joined:
    """A participant came in."""

    room: RoomId
    participant: Participant


@dataclass(frozen=True, slots=True)
class Changed:
    """Something of a participant is different: talking, muted, name, formats."""

    room: RoomId
    participant: Participant


@dataclass(frozen=True, slots=True)
class Left:
    """A participant is gone."""

    room: RoomId
    participant: Participant
    reason: Reason


@dataclass(frozen=True, slots=True)
class SpeakerChanged:
    """Somebody else is the room's active speaker now."""

    room: RoomId
    participant: ParticipantId | None


@dataclass(frozen=True, slots=True)
class PresenterChanged:
    """Somebody else's slides are shown in the room now, or nobody's."""

    room: RoomId
    participant: ParticipantId | None


@dataclass(frozen=True, slots=True)
class SpotlightChanged:
    """Somebody else is seen large by everybody now, or nobody is. by is who wanted that, empty: who was so has left."""

    room: RoomId
    participant: ParticipantId | None
    by: str = ""


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """A room was made or its settings changed."""

    room: RoomId
    settings: RoomSettings


@dataclass(frozen=True, slots=True)
class RoomDeleted:
    """A room is no more."""

    room: RoomId


@dataclass(frozen=True, slots=True)
class CallRefused:
    """A call was turned away at the door."""

    room: RoomId
    facts: CallFacts
    reason: Reason


@dataclass(frozen=True, slots=True)
class LockedOut:
    """After too many wrong PINs or room numbers none is taken for so many seconds.

    what: of the source that facts name, of this room, or rooms: room numbers of that source.
    """

    room: RoomId
    facts: CallFacts
    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A participant pressed a key on its telephone or remote control."""

    room: RoomId
    participant: ParticipantId
    digit: str


@dataclass(frozen=True, slots=True)
class CommandGiven:
    """A participant gave a command by keys, or tried to: reason is NORMAL where it was done, else why it was not.

    command is empty where there is no such command. keys are hidden where they may be a PIN.
    """

    room: RoomId
    participant: ParticipantId
    command: str
    keys: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Said:
    """Somebody wrote a message to the room: participant None is nobody in it, a program or an account.

    number grows by one with each message of a room; at is in seconds since 1970.
    """

    room: RoomId
    number: int
    participant: ParticipantId | None
    name: str
    text: str = field(repr=False)
    at: float


@dataclass(frozen=True, slots=True)
class Ringing:
    """Somebody whom the house calls is being rung."""

    room: RoomId
    call: CallId
    facts: CallFacts


@dataclass(frozen=True, slots=True)
class StandsOutside:
    """A call was answered but is in no room yet, or is at another stage of that.

    room is where it wants to go, empty while nobody knows. `Joined` with the same call tells that it went in,
    `CallFailed` that it ended before.
    """

    room: RoomId
    call: CallId
    participant: ParticipantId
    facts: CallFacts
    stage: Stage


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call ended before it was put through to anybody or let into a room.

    Of a gateway call: nobody answered, busy, the caller gave up; of one that the house placed the same; of one that
    stood outside: it hung up, or could not give a room and its PIN. began is when that one came, in seconds since 1970.
    """

    room: RoomId
    call: CallId
    facts: CallFacts
    reason: Reason
    began: float | None = None


@dataclass(frozen=True, slots=True)
class TransferGoes:
    """How the call goes that a participant was asked to make elsewhere.

    reason is NORMAL where it was answered, None while that is open, else why it failed; over: no more is told.
    """

    room: RoomId
    participant: ParticipantId
    target: str
    reason: Reason | None
    over: bool


@dataclass(frozen=True, slots=True)
class Dialled:
    """A call that the house was asked to make into a room, from then until some time after its end.

    by is the role of who asked. number counts tries, of tries at most, None where that is not bounded. reason says why
    the last one failed or ended, None while that is open. call and participant are those of the call that was answered.
    due is when the next try is, since when it is in this state, in seconds since 1970.
    """

    id: str
    room: RoomId
    target: str
    name: str
    by: str
    state: DialState
    since: float
    number: int = 1
    tries: int | None = 1
    keep_connected: bool = False
    reason: Reason | None = None
    call: CallId | None = None
    participant: ParticipantId | None = None
    due: float | None = None


@dataclass(frozen=True, slots=True)
class DialChanged:
    """A dialled call came to another state."""

    room: RoomId
    dialled: Dialled


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody who waited before a room is let in; `Joined` follows. by is who let it in, empty: the room itself."""

    room: RoomId
    call: CallId
    participant: ParticipantId
    facts: CallFacts
    by: str


@dataclass(frozen=True, slots=True)
class OutboundRefused:
    """Somebody wanted an address called that no rule allows, that the dial plan refuses, or one call too many.

    room is where it was to be called into; role, account and source are those of who asked.
    """

    room: RoomId
    role: str
    account: str
    source: str
    target: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """Somebody who waited before a room is not let in; `CallFailed` follows. by is who refused, empty: the house."""

    room: RoomId
    call: CallId
    participant: ParticipantId
    facts: CallFacts
    reason: Reason
    by: str


@dataclass(frozen=True, slots=True)
class RoomEnding:
    """A meeting ends by itself in so many seconds, 0: now. None: it was called off, the meeting goes on."""

    room: RoomId
    reason: Reason
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Announced:
    """Everybody in a room hears prompts, by their names; by is who wanted it."""

    room: RoomId
    prompts: tuple[str, ...]
    language: str
    by: str


RoomEvent = (
    Joined
    | Changed
    | Left
    | SpeakerChanged
    | PresenterChanged
    | SpotlightChanged
    | RoomChanged
    | RoomDeleted
    | CallRefused
    | LockedOut
    | KeyPressed
    | Ringing
    | StandsOutside
    | CallFailed
    | TransferGoes
    | OutboundRefused
    | Admitted
    | NotAdmitted
    | RoomEnding
    | Announced
    | DialChanged
    | CommandGiven
    | Said
)
