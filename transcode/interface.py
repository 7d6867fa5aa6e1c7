"""What the media plane is asked and what it counts: the calls that cross between control plane and media plane.

Everything in them is plain frozen data of `transcode.media` or of this file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from gateway.reasons import Reason
from transcode.events import MediaEvent
from transcode.media import (
    Abilities,
    CameraAction,
    Candidate,
    Kind,
    LegId,
    MediaDescription,
    Role,
    RoomId,
    Sound,
    ViewPlan,
    Wanted,
)


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """One stream's counters since it began; jitter and round_trip in ms; loss as a share of what was expected.

    forwarded is how many of packets_out were another leg's, sent on without being decoded.
    """

    id: str
    kind: Kind
    codec_in: str = ""
    codec_out: str = ""
    packets_in: int = 0
    packets_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    lost_in: int = 0
    loss_in: float = 0.0
    loss_out: float = 0.0
    jitter: float = 0.0
    round_trip: float | None = None
    concealed: int = 0
    width_in: int = 0
    height_in: int = 0
    width_out: int = 0
    height_out: int = 0
    frames_in: int = 0
    frames_out: int = 0
    key_frames_in: int = 0
    key_frames_out: int = 0
    bit_rate_target: int = 0
    forwarded: int = 0
    encrypted: str = ""
    role: Role = Role.MAIN


@dataclass(frozen=True, slots=True)
class LegStatistics:
    """All counters of one leg."""

    leg: LegId
    streams: tuple[StreamStatistics, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One counter or gauge of the plane: metric name without prefix, labels as pairs, value; seconds are seconds."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


class MediaPlane(Protocol):
    """The media plane as the rest of the house sees it. Every method may raise `gateway.reasons.Refused`."""

    async def open(self, leg: LegId, room: RoomId, abilities: Abilities) -> None:
        """Make room for a leg; nothing flows yet."""

    async def offer(self, leg: LegId, wanted: Wanted) -> MediaDescription:
        """Describe what we offer: all that the abilities allow, on ports that are bound from now on."""

    async def answer(self, leg: LegId, remote: MediaDescription) -> MediaDescription:
        """Take an offer, or a new one in mid call, and return our answer to it. Media flows from now on."""

    async def accept(self, leg: LegId, remote: MediaDescription) -> None:
        """Take the answer to our offer. Media flows from now on."""

    async def candidate(self, leg: LegId, stream: str, candidate: Candidate | None) -> None:
        """Take one more remote ICE candidate (trickle, RFC 8838); None: no more will come."""

    async def direct(self, room: RoomId, plan: ViewPlan) -> None:
        """Say who hears whom and who sees what from now on."""

    async def move(self, leg: LegId, room: RoomId) -> None:
        """Take a leg into another room; its peer notices nothing. It is in no plan there before `direct` names it."""

    async def press(self, leg: LegId, digit: str, duration: int, by_tone: bool = False) -> bool:
        """Press a key at this leg's peer, for so many ms (RFC 4733); by_tone: by its tones where events do not go.

        False where its media cannot carry it. Keys that are pressed by tone wait for one another.
        """

    async def play(self, leg: LegId, sounds: tuple[Sound, ...], number: int = 0) -> None:
        """Let one leg hear sounds one after the other, above all else that it hears; `Played` tells the end.

        What it was played before is broken off (and not told of); no sounds only do that. Sounds of no file are left
        out. A leg without a way for sound yet hears them when it has one.
        """

    async def announce(self, room: RoomId, sounds: tuple[Sound, ...]) -> None:
        """Let everybody who listens in a room hear sounds once; announcements wait for one another."""

    async def key_frame(self, leg: LegId, role: Role | None = None) -> None:
        """Send this leg a key frame of one picture, None for all it sees: its peer asked by signalling."""

    async def confirm_key(self, leg: LegId, digit: str) -> None:
        """Let a leg of an echo room hear, as two tones, that a key which it pressed was understood."""

    async def send_data(self, leg: LegId, label: str, data: str | bytes) -> bool:
        """Send one message on a leg's data channel; False if there is no such open channel, or too much waits."""

    async def send_text(self, leg: LegId, text: str) -> bool:
        """Send a line of real-time text to a leg; False if it has no open text stream, or too much waits."""

    async def camera(self, leg: LegId, action: CameraAction) -> bool:
        """Ask something of the camera of a leg's peer; False if it has none that can be asked (H.281)."""

    async def statistics(self, leg: LegId) -> LegStatistics:
        """Return a leg's counters."""

    async def counters(self) -> tuple[Sample, ...]:
        """Return the plane's own counters and gauges, for metrics."""

    async def close(self, leg: LegId, reason: Reason) -> None:
        """End a leg's media and give its ports back; closing twice is no error."""

    def events(self) -> AsyncIterator[MediaEvent]:
        """Iterate over what happens, in order, to the one who asks; ends when the plane stops."""
