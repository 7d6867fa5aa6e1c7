"""What the SIP core is told when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sip.events import Transport

EXPIRES = 1800
"""Seconds of a session interval that we ask for (RFC 4028 §4)."""
MIN_SE = 90
"""Smallest session interval in seconds: what the RFC says nobody may go below (§4)."""


BASIC_METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK")
"""What calls need."""


@dataclass(frozen=True, slots=True)
class StackConfig:
    """Names, abilities and bounds of one stack.

    host is the name or address written into Via and Contact; empty: the local address of the flow in use, which needs
    every target to have a flow. ports are those that we listen on, by transport. Times are in seconds.
    """

    host: str
    ports: Mapping[Transport, int]
    user: str = ""
    """User part of our Contact in calls that we place; in calls that arrive it is the one that was dialled."""
    user_agent: str = "Roombridge"
    methods: tuple[str, ...] = BASIC_METHODS
    """Allow. Any further known method here is handed up as RequestReceived."""
    supported: tuple[str, ...] = ("100rel", "replaces", "timer")
    """Option tags for Supported; a Require of any other is refused with 420."""
    accept: tuple[str, ...] = ("application/sdp",)
    """Accept of answers to OPTIONS and of 415; an INVITE body of another type is refused with 415."""
    session_expires: int = EXPIRES
    """Interval of session timers that we ask for (RFC 4028); 0 asks for none."""
    min_se: int = MIN_SE
    """Smallest interval that we take."""
    focus: bool = False
    """Say in Contact that a conference is spoken to (RFC 4579 §5.1)."""
    refuse_last_hop: bool = False
    """Refuse Max-Forwards 0 with 483 as a forwarding element does; an endpoint takes it (RFC 4475 §3.3.11)."""
    max_transactions: int = 40_000
    """Over it 503. Over UDP they linger for 32 s to absorb retransmissions: 6,500 at 100 calls a second, and two for
    each of 10,000 phones that all register, challenged first, in the minute after a restart."""
    max_sessions: int = 2_000
    """Over it 503; far above what one machine's media can serve."""
    ring_time: float = 180.0
    """How long our INVITE may ring before it is cancelled: timer C (RFC 3261 §16.6 step 11) used by a UAC."""
