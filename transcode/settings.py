"""What the media plane is set to, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Suppression(Enum):
    """Whose steady noise is taken out before others hear them: nobody's, that of narrow-band legs, or everybody's."""

    OFF = "off"
    PHONES = "phones"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class AudioSettings:
    """How sound is made pleasant. levelling brings quiet and loud speakers to one level."""

    levelling: bool = False
    noise_suppression: Suppression = Suppression.OFF


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """Addresses and limits of a media plane.

    address is where media sockets are bound; public_address what peers are told instead, behind NAT. low and high
    bound the UDP ports. max_legs bounds the legs at once. sounds are the directories in which sounds are looked for,
    the first one first. multiplex_port is that of H.323 media which share one pair of ports (H.460.19), None for none;
    the next port is RTCP's. audio says how sound is treated.
    """

    address: str = "0.0.0.0"
    public_address: str | None = None
    low: int = 40000
    high: int = 49999
    max_legs: int = 2_000
    multiplex_port: int | None = None
    sounds: tuple[str, ...] = ()
    audio: AudioSettings = AudioSettings()
