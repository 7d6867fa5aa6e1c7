"""What holds for every call of the house."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.calls import CallFacts, CallProtocol
from transcode.media import Abilities, SrtpPolicy


@dataclass(frozen=True, slots=True)
class HouseRules:
    """What holds for every call: media abilities, the hint on the slate, seconds without media that end a call.

    In dial_hint, ROOM stands where the room's id belongs.
    """

    abilities: Abilities
    dial_hint: str = ""
    no_media_timeout: float = 300.0

    def abilities_for(self, facts: CallFacts, bandwidth: int | None = None) -> Abilities:
        """Return what one call's media may do: browsers speak ICE and always encrypt, others as their way in says.

        bandwidth in bit/s bounds it.
        """
        abilities = self.abilities
        if bandwidth is not None:
            abilities = replace(abilities, bandwidth=min(abilities.bandwidth, bandwidth))
        if facts.protocol is CallProtocol.WEBRTC:
            return replace(abilities, ice=True, text=False, srtp=SrtpPolicy.REQUIRE)
        return abilities if facts.srtp is None else replace(abilities, srtp=facts.srtp)
