"""What the API takes and gives, as checked shapes; OpenAPI is made of them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.config import MAX_PARTICIPANTS, Wait
from gateway.config_calling import AutoDialConfig, CommandsConfig, DialList, written_commands
from gateway.rooms.chat import MAX_LENGTH
from gateway.rooms.model import (
    Formats,
    Greeting,
    HostLeaves,
    Participant,
    Rank,
    RoomMode,
    Stage,
    WhenLocked,
)
from gateway.rooms.room import Room
from gateway.webrtc.messages import clean_name
from transcode.interface import LegStatistics
from transcode.media import Layout


def _some_name(name: str) -> str:
    cleaned = clean_name(name)
    if not cleaned:
        raise ValueError("nothing of this name can be shown")
    return cleaned


RoomKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Name = Annotated[str, StringConstraints(max_length=64), AfterValidator(clean_name)]
Called = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_some_name)]
Address = Annotated[str, StringConstraints(pattern=r"^(?:sips?|tel|h323|user):[^\s<>\"]{1,250}$")]
"""An address that can be called; user:NAME is where an account of ours is registered."""
Pin = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,16}$")]
Tongue = Annotated[str, StringConstraints(pattern=r"^([a-z]{2,8}(-[A-Za-z0-9]{1,8})?)?$")]
"""A language by its tag, or none."""


class Shape(BaseModel):
    """What is given."""

    model_config = ConfigDict(frozen=True)


class Asked(BaseModel):
    """What is taken; a field that is not known is an error, so that a misspelt one is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Shape):
    """Why a request was refused: a word to compare and a sentence to read."""

    reason: str
    message: str


class RoomShape(Shape):
    """A room. host_pin and guest_pin say whether there is one; source is where the room is written down.

    waiting is how many wait to be let in.
    """

    id: str
    name: str
    title: str
    mode: RoomMode
    aliases: tuple[str, ...]
    layout: Layout
    locked: bool
    host_pin: bool
    guest_pin: bool
    max_participants: int
    lobby: bool
    when_locked: WhenLocked
    host_leaves: HostLeaves
    host_leaves_after: int
    lone_timeout: int
    idle_timeout: int
    entry: Greeting
    language: str
    commands: dict[str, str] | None
    auto_dial: tuple[AutoDialConfig, ...]
    participants: int
    waiting: int
    speaker: str | None
    presenter: str | None
    spotlight: str | None
    source: Literal["configuration", "api"]


class RoomList(Shape):
    """All rooms, by id."""

    rooms: list[RoomShape]


class RoomWish(Asked):
    """What can be set of a room. Times are in seconds; language is what callers are spoken to in, "": the house's."""

    name: Name = ""
    layout: Layout = Layout.AUTO
    locked: bool = False
    host_pin: Pin | None = None
    guest_pin: Pin | None = None
    max_participants: Annotated[int, Field(ge=1, le=MAX_PARTICIPANTS)] = 50
    lobby: bool = False
    when_locked: WhenLocked = WhenLocked.KNOCK
    host_leaves: HostLeaves = HostLeaves.CONTINUE
    host_leaves_after: Wait = 60
    lone_timeout: Wait = 0
    idle_timeout: Wait = 0
    entry: Greeting = Greeting.NONE
    language: Tongue = ""
    commands: CommandsConfig | None = None
    auto_dial: DialList = ()

    def settings(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Return fields as the desk knows them, all of them where none are named."""
        found = {name: getattr(self, name) for name in (type(self).model_fields if names is None else names)}
        if found.get("commands") is not None:
            found["commands"] = self.commands.table() if self.commands is not None else None
        if "auto_dial" in found:
            found["auto_dial"] = tuple(one.entry() for one in self.auto_dial)
        return found


class NewRoom(RoomWish):
    """A room to make. With guest_pin, nobody enters without a PIN; host_pin makes a host of who gives it."""

    id: RoomKey


class RoomChange(RoomWish):
    """What is to be different of a room; what is left out stays, and a PIN of null is taken away."""

    def changes(self) -> dict[str, Any]:
        """Return the fields that were given."""
        return self.settings(self.model_fields_set)


class WaitingShape(Shape):
    """Somebody who waits before a room: for a host (lobby), or for somebody to answer its knock (knocking).

    id is what it will have as a participant; since is when it came.
    """

    id: str
    call: str
    name: str
    stage: Stage
    since: datetime.datetime
    protocol: str
    secure: bool
    source: str
    agent: str


class WaitingList(Shape):
    """Everybody who waits before a room, in the order they came."""

    waiting: list[WaitingShape]


class NewMessage(Asked):
    """A message to a room; name is who the others read that it comes from."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
    name: Called = "Roombridge"


class MessageShape(Shape):
    """A message of a room's chat. participant is None for one that came from outside the room."""

    number: int
    participant: str | None
    name: str
    text: str
    at: datetime.datetime


class MessageList(Shape):
    """The latest messages of a room, oldest first."""

    messages: list[MessageShape]


class AudioShape(Shape):
    """Codecs of a participant's sound; in is what it sends. Empty where nothing flows."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    into: Annotated[str, Field(alias="in")]
    out: str


class VideoShape(AudioShape):
    """Codecs and sizes in pixels of a participant's picture."""

    width_in: int
    height_in: int
    width_out: int
    height_out: int


class ParticipantShape(Shape):
    """Somebody in a room. joined is when it came in; source its address; agent its product, as it says itself."""

    id: str
    call: str
    name: str
    protocol: str
    rank: str
    talking: bool
    muted: bool
    muted_by_host: bool
    camera_off: bool
    joined: datetime.datetime
    direction: str
    secure: bool
    source: str
    agent: str
    audio: AudioShape
    video: VideoShape
    slides: VideoShape


class ParticipantList(Shape):
    """Everybody in a room, in the order they came."""

    participants: list[ParticipantShape]


class StreamShape(Shape):
    """Counters of one stream since it began; jitter and round_trip in ms, losses as a share, bit rate in bit/s."""

    id: str
    kind: str
    role: str
    codec_in: str
    codec_out: str
    packets_in: int
    packets_out: int
    bytes_in: int
    bytes_out: int
    lost_in: int
    loss_in: float
    loss_out: float
    jitter: float
    round_trip: float | None
    concealed: int
    width_in: int
    height_in: int
    width_out: int
    height_out: int
    frames_in: int
    frames_out: int
    key_frames_in: int
    key_frames_out: int
    bit_rate_target: int
    forwarded: int
    encrypted: str


class ParticipantDetail(ParticipantShape):
    """A participant and what its media do; streams is null while the media plane does not answer."""

    streams: list[StreamShape] | None


class ParticipantChange(Asked):
    """What is to be different of a participant; what is left out stays.

    muted mutes it for all, whatever it wants; rank makes a host or a guest of it; spotlight has everybody see it large,
    whoever speaks.
    """

    muted: bool | None = None
    rank: Rank | None = None
    spotlight: bool | None = None
    name: Called | None = None


class Transfer(Asked):
    """Whom a participant is to call instead of us: an address, or the peer of another participant of any room."""

    target: Address | None = None
    participant: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,64}$")] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Transfer:
        if (self.target is None) == (self.participant is None):
            raise ValueError("a target or a participant is needed, not both")
        return self


class CameraWish(Asked):
    """What a participant's camera is to do (H.281).

    start moves it until stop, or for 20 seconds at most: pan -1 left, 1 right; tilt -1 down, 1 up; zoom and focus -1
    out, 1 in. source selects the camera of that number; store keeps its position as the preset of that number, recall
    goes back there.
    """

    act: Literal["start", "stop", "source", "store", "recall"]
    pan: Annotated[int, Field(ge=-1, le=1)] = 0
    tilt: Annotated[int, Field(ge=-1, le=1)] = 0
    zoom: Annotated[int, Field(ge=-1, le=1)] = 0
    focus: Annotated[int, Field(ge=-1, le=1)] = 0
    number: Annotated[int, Field(ge=0, le=15)] = 0


class Move(Asked):
    """The room that a participant is to be in."""

    room: RoomKey


class CallShape(Shape):
    """A call that goes on. inside says whether its participant is in the room, joined since when.

    state is arriving, ringing (the peer is being rung), outside (it was answered but is in no room yet: stage says what
    it is at, room where it wants to go, empty while nobody knows), or inside. gateway says that it is one of a gateway
    call, whose calls have the same room, which is none of the house's rooms. trunk and account say where it came
    through.
    """

    id: str
    room: str
    participant: str
    protocol: str
    direction: str
    inside: bool
    state: Literal["arriving", "ringing", "outside", "inside"]
    stage: Stage | None
    gateway: bool
    trunk: str
    account: str
    name: str
    caller: str
    source: str
    agent: str
    secure: bool
    joined: datetime.datetime | None


class CallList(Shape):
    """All calls that go on, in the order they came."""

    calls: list[CallShape]


class RecordShape(Shape):
    """A call that is over. call is null and admitted false if it was refused, for the reason that stands here."""

    number: int
    call: str | None
    room: str
    protocol: str
    direction: str
    name: str
    caller: str
    source: str
    agent: str
    started: datetime.datetime
    ended: datetime.datetime
    reason: str
    message: str
    secure: bool
    admitted: bool


class RecordList(Shape):
    """Records, the latest first; next is what to give as `before` for those that follow, null at the end."""

    records: list[RecordShape]
    next: int | None


def room_shape(room: Room, source: Literal["configuration", "api"], waiting: int = 0) -> RoomShape:
    """Return a room as the API tells it."""
    settings = room.settings
    return RoomShape(
        id=settings.id,
        name=settings.name,
        title=settings.title,
        mode=settings.mode,
        aliases=settings.aliases,
        layout=settings.layout,
        locked=settings.locked,
        host_pin=settings.host_pin is not None,
        guest_pin=settings.guest_pin is not None,
        max_participants=settings.max_participants,
        lobby=settings.lobby,
        when_locked=settings.when_locked,
        host_leaves=settings.host_leaves,
        host_leaves_after=settings.host_leaves_after,
        lone_timeout=settings.lone_timeout,
        idle_timeout=settings.idle_timeout,
        entry=settings.entry,
        language=settings.language,
        commands=written_commands(settings.commands),
        auto_dial=tuple(AutoDialConfig.of(entry) for entry in settings.auto_dial),
        participants=len(room.participants),
        waiting=waiting,
        speaker=room.speaker,
        presenter=room.floor.holder,
        spotlight=room.spotlight,
        source=source,
    )


def moment(seconds: float) -> datetime.datetime:
    """Return seconds since 1970 as a date in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _audio(formats: Formats) -> AudioShape:
    return AudioShape(into=formats.codec_in, out=formats.codec_out)


def _video(formats: Formats) -> VideoShape:
    return VideoShape(
        into=formats.codec_in,
        out=formats.codec_out,
        width_in=formats.width_in,
        height_in=formats.height_in,
        width_out=formats.width_out,
        height_out=formats.height_out,
    )


def _facts_of(one: Participant) -> dict[str, Any]:
    facts = one.facts
    return {
        "id": one.id,
        "call": one.call,
        "name": one.name,
        "protocol": one.protocol.value,
        "rank": one.rank.value,
        "talking": one.talking,
        "muted": one.muted,
        "muted_by_host": one.muted_by_host,
        "camera_off": one.camera_off,
        "joined": moment(one.joined),
        "direction": facts.direction.value,
        "secure": facts.secure,
        "source": facts.source,
        "agent": facts.agent,
        "audio": _audio(one.audio),
        "video": _video(one.video),
        "slides": _video(one.slides),
    }


def participant_shape(one: Participant) -> ParticipantShape:
    """Return a participant as the API tells it."""
    return ParticipantShape(**_facts_of(one))


def participant_detail(one: Participant, statistics: LegStatistics | None) -> ParticipantDetail:
    """Return a participant with its streams' counters."""
    streams = None
    if statistics is not None:
        names = StreamShape.model_fields.keys() - {"kind", "role"}
        streams = [
            StreamShape(
                kind=stream.kind.value, role=stream.role.value, **{name: getattr(stream, name) for name in names}
            )
            for stream in statistics.streams
        ]
    return ParticipantDetail(**_facts_of(one), streams=streams)
