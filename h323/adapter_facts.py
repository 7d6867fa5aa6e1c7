"""What a SETUP says of a call, as plain facts; all text of the peer's is cleaned and cut."""

from __future__ import annotations

from gateway.calls import CallFacts, CallProtocol, Direction
from gateway.text import clean
from h323.session import SOUND_RATE
from h323.signalling.aliases import Dialled, read_dialled
from h323.signalling.events import Address, SetupFacts
from transcode.media import Wanted

MAX_NAME = 64
"""Characters of a display name; a tile has room for about 30."""
MAX_AGENT = 128
MAX_ADDRESS = 256
LEAST_PICTURE_CALL = 192_000
"""bit/s from which a SETUP's rate is taken for that of a call with picture."""


def call_facts(facts: SetupFacts, peer: Address, secure: bool) -> CallFacts:
    """Return the facts of a SETUP that came from peer."""
    called = dialled(facts)
    names = (facts.display, *facts.caller_aliases, facts.caller_number)
    name = next((text for one in names if (text := clean(one, MAX_NAME))), peer.host)
    callers = (*facts.caller_aliases, facts.caller_number)
    caller = next((text for one in callers if (text := clean(one, MAX_ADDRESS))), "")
    return CallFacts(
        protocol=CallProtocol.H323,
        direction=Direction.INCOMING,
        source=source(peer),
        caller=f"h323:{caller}@{peer.host}" if caller and "@" not in caller else f"h323:{caller or peer.host}",
        name=name,
        called=clean(called.alias, MAX_ADDRESS),
        pin=called.pin,
        secure=secure,
        agent=clean(facts.product, MAX_AGENT),
        peer_call_id=facts.call.hex(),
    )


def dialled(facts: SetupFacts) -> Dialled:
    """Return what was dialled: the first alias that says something, else the number of the Q.931 element."""
    for text in (*facts.called_aliases, facts.called_number):
        found = read_dialled(text)
        if found.alias:
            return found
    return Dialled("")


def source(address: Address) -> str:
    """Return "address:port"."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def call_bandwidth(wanted: Wanted, picture: int) -> int:
    """Return the bit/s that a call asks for in its SETUP: one channel for the sound, and picture where it has one."""
    return SOUND_RATE + (picture if wanted.video else 0)


def both_ways(rate: int) -> int:
    """Return what a call that goes both ways at a rate takes of a zone, in bit/s (H.225.0 §7.11, BandWidth)."""
    return 2 * rate


def picture_share(bandwidth: int) -> int:
    """Return the bit/s of picture each way in what a gatekeeper leaves a call; 0: there is room for sound alone."""
    return max(0, bandwidth // 2 - SOUND_RATE)


def picture_limit(bandwidth: int | None) -> int | None:
    """Return the bit/s of picture that a call's SETUP leaves beside the sound; None where it does not say.

    A rate of one or two channels comes from telephones and from stacks that always write the same: it limits nothing.
    """
    if bandwidth is None or bandwidth < LEAST_PICTURE_CALL:
        return None
    return bandwidth - SOUND_RATE
