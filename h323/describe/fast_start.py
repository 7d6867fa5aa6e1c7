"""Fast connect: channels proposed in SETUP and chosen in the answer (H.323 §8.1.7). Pure.

A proposal to send is an openLogicalChannel forward; a proposal to receive is one in reverse, whose forward half is
nullData. The answer repeats what was chosen, with our addresses filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from h323.describe.channels import (
    RTP,
    SESSIONS,
    ChannelFacts,
    data_type,
    read_request,
    write_parameters,
    write_unicast,
)
from h323.signalling.events import Address
from transcode.media import Format, Kind, Role

Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Our pair of ports of one session."""

    media: Address
    control: Address


@dataclass(frozen=True, slots=True)
class Chosen:
    """One channel that fast connect opens: what it says, whether we send on it, and the answer that says so."""

    facts: ChannelFacts
    ours: bool
    answer: Value


def choose(
    proposals: Sequence[Value],
    places: dict[Kind, Place],
    receives: Callable[[Format], bool],
    sends: Callable[[Format], bool],
) -> list[Chosen]:
    """Choose one channel for each kind and direction, the first that fits: proposals stand in the caller's order."""
    found: dict[tuple[Kind, bool], Chosen] = {}
    for proposal in proposals:
        facts = read_request(proposal)
        kind = facts.kind
        if kind is None or facts.format is None or facts.role is not Role.MAIN or kind not in places or not facts.rtp:
            continue
        ours = facts.reverse
        if (kind, ours) in found or facts.both or not (sends if ours else receives)(facts.format):
            continue
        if ours and facts.media is None:
            continue  # it does not say where to send
        number = sum(1 for one in found.values() if one.ours) + 1 if ours else facts.number
        answer = _answer(proposal, ours, places[kind], number)
        found[kind, ours] = Chosen(replace(facts, number=number), ours, answer)
    return list(found.values())


def _answer(proposal: Value, ours: bool, place: Place, number: int) -> Value:
    """Repeat a proposal with our addresses: where we take packets, and always where we take RTCP.

    A channel that we send on is ours, so we number it.
    """
    half = "reverseLogicalChannelParameters" if ours else "forwardLogicalChannelParameters"
    kind, parameters = proposal[half]["multiplexParameters"]
    filled = {**parameters, "mediaControlChannel": write_unicast(place.control)}
    if not ours:
        filled["mediaChannel"] = write_unicast(place.media)
    return {
        **proposal,
        "forwardLogicalChannelNumber": number,
        half: {**proposal[half], "multiplexParameters": (kind, filled)},
    }


def propose(formats: Sequence[tuple[Format, Kind]], places: dict[Kind, Place], bandwidth: int | None) -> list[Value]:
    """Return proposals for each format in both directions; those to receive are all numbered 1, as real callers do."""
    proposals: list[Value] = []
    number = 0
    for format, kind in formats:
        place = places.get(kind)
        if place is None:
            continue
        try:
            data = data_type(format, Role.MAIN, bandwidth)
        except ValueError:
            continue
        session = SESSIONS[kind]
        number += 1
        sent = (RTP, write_parameters(format, session, None, place.control))
        taken = (RTP, write_parameters(format, session, place.media, place.control))
        proposals.append(
            {
                "forwardLogicalChannelNumber": number,
                "forwardLogicalChannelParameters": {"dataType": data, "multiplexParameters": sent},
            }
        )
        proposals.append(
            {
                "forwardLogicalChannelNumber": 1,
                "forwardLogicalChannelParameters": {
                    "dataType": ("nullData", None),
                    "multiplexParameters": ("none", None),
                },
                "reverseLogicalChannelParameters": {"dataType": data, "multiplexParameters": taken},
            }
        )
    return proposals


def read_chosen(channels: Sequence[Value]) -> list[tuple[Value, ChannelFacts, bool]]:
    """Read the callee's choice from the caller's side: each channel, what it says, and whether we send on it."""
    found = []
    for channel in channels:
        facts = read_request(channel)
        if facts.kind is not None and facts.format is not None:
            found.append((channel, facts, not facts.reverse))
    return found
