r"""The dial plan: where a call goes. Pure: facts in, a destination out.

Rules are looked at in their order, and the first that matches decides. Where none does, the built-in ones hold: the id
of a room is that room, the user of an account is that user, and what names nothing goes to the menu.

Rules for outgoing calls see the address that is to be called, whole (`tel:+4989123`), and may give another one and a
trunk, or refuse. Whether it may be called at all is not said here but in `gateway.rooms.outbound`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.calls import CallFacts, CallProtocol, Direction
from gateway.reasons import Reason
from gateway.rooms.pattern import Pattern, Template

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ToRoom:
    """The call goes into a room."""

    room: str


@dataclass(frozen=True, slots=True)
class ToMenu:
    """The caller is asked where it wants to go, in this language; empty for the house's."""

    language: str = ""


@dataclass(frozen=True, slots=True)
class ToCall:
    """The caller is put through: to an address (sip:, sips:, tel:, h323:) or to a user of ours (user:NAME)."""

    target: str
    trunk: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The call is refused."""

    reason: Reason


Destination = ToRoom | ToMenu | ToCall | Refuse


@dataclass(frozen=True, slots=True)
class Match:
    """What a rule asks of a call; what is empty or None is not asked.

    sources are networks that the peer's address is in; called is matched with the whole alias that was dialled.
    """

    direction: Direction = Direction.INCOMING
    protocols: frozenset[CallProtocol] = frozenset()
    sources: tuple[Network, ...] = ()
    trunks: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    called: Pattern | None = None

    def holds(self, facts: CallFacts, called: str) -> tuple[bool, re.Match[str] | None]:
        """Tell whether a call is meant, and how the alias matched."""
        fits = (
            self.direction is facts.direction
            and (not self.protocols or facts.protocol in self.protocols)
            and (not self.trunks or facts.trunk in self.trunks)
            and (not self.accounts or facts.account in self.accounts)
            and (not self.sources or within(facts.source, self.sources))
        )
        if not fits or self.called is None:
            return fits, None
        found = self.called.match(called)
        return found is not None, found


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the plan: what it asks, and where that leads. In to, groups of the match stand as `\\1`.

    kind is the destination's: room, menu, call or refuse. language is what the menu speaks.
    """

    match: Match
    kind: type[Destination]
    to: Template | None = None
    trunk: str = ""
    reason: Reason = Reason.NOT_ALLOWED
    name: str = ""
    language: str = ""

    def destination(self, found: re.Match[str] | None) -> Destination:
        """Return where a call goes that matched."""
        if self.kind is Refuse:
            return Refuse(self.reason)
        if self.kind is ToMenu or self.to is None:
            return ToMenu(self.language)
        filled = self.to.fill(found)
        return ToRoom(filled) if self.kind is ToRoom else ToCall(filled, self.trunk)


class DialPlan:
    """All rules, in their order."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._arriving = tuple(rule for rule in rules if rule.match.direction is Direction.INCOMING)
        self._leaving = tuple(rule for rule in rules if rule.match.direction is Direction.OUTGOING)

    def arriving(self, facts: CallFacts, is_room: Callable[[str], bool], is_user: Callable[[str], bool]) -> Destination:
        """Return where a call goes that came to us."""
        for rule in self._arriving:
            holds, found = rule.match.holds(facts, facts.called)
            if holds:
                return rule.destination(found)
        if not facts.called:
            return ToMenu()
        if not is_room(facts.called) and is_user(facts.called):
            return ToCall(f"user:{facts.called}")
        return ToRoom(facts.called)

    def leaving(self, facts: CallFacts, target: str, trunk: str = "") -> ToCall | Refuse:
        """Return what is called instead of an address, and by which trunk; by default that address as it was given."""
        for rule in self._leaving:
            holds, found = rule.match.holds(facts, target)
            if holds:
                decided = rule.destination(found)
                if isinstance(decided, Refuse):
                    return decided
                if isinstance(decided, ToCall):
                    return ToCall(decided.target, decided.trunk or trunk)
        return ToCall(target, trunk)


def within(source: str, networks: Sequence[Network]) -> bool:
    """Tell whether "address:port" is in one of these networks; an IPv4 address in IPv6 form counts as what it is."""
    address = address_of(source)
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )


def address_of(source: str) -> IPv4Address | IPv6Address | None:
    """Return the address of "address:port" or "[address]:port"; None where there is none."""
    host = source[1:].partition("]")[0] if source.startswith("[") else source.rpartition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
