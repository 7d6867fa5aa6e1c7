"""What the media plane tells of its own accord, as plain frozen data.

Like all that crosses the media interface it can be pickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.reasons import Reason
from transcode.media import CameraAction, Candidate, Kind, LegId, Role, RoomId


@dataclass(frozen=True, slots=True)
class Talking:
    """A leg began or ceased to talk."""

    room: RoomId
    leg: LegId
    talking: bool


@dataclass(frozen=True, slots=True)
class Speaker:
    """A leg became the room's active speaker; None when nobody is left."""

    room: RoomId
    leg: LegId | None


class KeySource(Enum):
    """How media told of a pressed key: telephone events (RFC 4733), or the tones themselves."""

    EVENT = "event"
    TONE = "tone"


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A leg pressed a key: one of 0-9, *, #, A-D, once for each press and source; duration in ms."""

    leg: LegId
    digit: str
    duration: int
    source: KeySource = KeySource.EVENT


@dataclass(frozen=True, slots=True)
class Played:
    """A leg has heard all that `MediaPlane.play` was given under this number."""

    leg: LegId
    number: int


@dataclass(frozen=True, slots=True)
class KeyFrameWanted:
    """The plane needs a key frame from this leg; the adapter asks by signalling (RFC 5168, H.245)."""

    leg: LegId
    stream: str


@dataclass(frozen=True, slots=True)
class Connected:
    """A leg's first packet came in: there is a way for media."""

    leg: LegId
    stream: str


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing at all came from a leg for this many seconds."""

    leg: LegId
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A leg's media cannot go on; the call is to be ended."""

    leg: LegId
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CandidateFound:
    """A local ICE candidate was gathered after the description was made; None: no more will come."""

    leg: LegId
    stream: str
    candidate: Candidate | None


@dataclass(frozen=True, slots=True)
class FormatsChanged:
    """What a leg's stream really sends or receives became known or changed; sizes in pixels, 0 for audio."""

    leg: LegId
    stream: str
    kind: Kind
    codec_in: str
    codec_out: str
    width_in: int = 0
    height_in: int = 0
    width_out: int = 0
    height_out: int = 0
    role: Role = Role.MAIN


@dataclass(frozen=True, slots=True)
class Sharing:
    """A leg's slides began to come, or have ceased; whether others see them is the plan's."""

    leg: LegId
    sharing: bool


@dataclass(frozen=True, slots=True)
class DataMessage:
    """A peer sent a message on a data channel: the channel's label, and text or octets (RFC 8831)."""

    leg: LegId
    label: str
    data: str | bytes


@dataclass(frozen=True, slots=True)
class Text:
    """A leg wrote something as real-time text (T.140): one line, or what stood there when it paused."""

    leg: LegId
    text: str


@dataclass(frozen=True, slots=True)
class CameraAsked:
    """A leg's peer asks something of the camera that it sees."""

    leg: LegId
    action: CameraAction


MediaEvent = (
    Talking
    | Speaker
    | Dtmf
    | KeyFrameWanted
    | Connected
    | Silent
    | Failed
    | CandidateFound
    | FormatsChanged
    | Sharing
    | DataMessage
    | Text
    | CameraAsked
    | Played
)
