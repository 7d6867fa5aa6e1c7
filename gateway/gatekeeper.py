"""What joins H.323 with the house: what the gatekeeper asks and is told, who is registered, and counts for metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from gateway.calls import CallFacts
from gateway.config import Config
from gateway.dialling import H323, HouseDialler
from gateway.rooms.desk import FrontDesk
from gateway.rooms.dial_plan import Refuse, ToCall
from h323.adapter_config import RasConfig
from h323.ras.events import Leads
from transcode.interface import Sample


def ras_config(config: Config) -> RasConfig:
    """Return what the gatekeeper is told; accounts whose password is kept as a hash of SIP's prove nothing here."""
    h323 = config.h323
    return RasConfig(
        gatekeeper=h323.gatekeeper,
        port=h323.ras,
        name=h323.gatekeeper_name,
        routed=h323.routed,
        pregranted=h323.pregranted,
        authenticate=h323.authenticate,
        accounts={
            one.user: one.password for one in config.accounts if "h323" in one.protocols and one.password is not None
        },
        ttl=h323.registration_time,
        call_bandwidth=None if h323.bandwidth.call is None else h323.bandwidth.call * 1000,
        total_bandwidth=None if h323.bandwidth.total is None else h323.bandwidth.total * 1000,
        neighbours=h323.neighbours,
        aliases=h323.aliases,
        prefixes=h323.prefixes,
        user=h323.user,
        password=h323.password or "",
        traversal=h323.traversal,
    )


def ras_samples(counters: dict[str, int]) -> list[Sample]:
    """Return the gatekeeper's counts as samples."""
    found = []
    for whole, count in counters.items():
        name = whole.removeprefix("ras.")
        kind, _, what = name.partition(".")
        if kind == "admissions":
            found.append(Sample("h323_admissions_total", (("result", what),), count))
        elif kind == "registrations":
            found.append(Sample("h323_registrations", (), count))
        elif kind in ("admitted_calls", "joined"):
            found.append(Sample(f"h323_{kind}", (), count))
        elif kind == "bandwidth":
            found.append(Sample("h323_admitted_bandwidth", (), count))
        elif kind in ("registrations_refused", "proofs_refused"):
            found.append(Sample(f"h323_{kind}_total", (("reason", what),), count))
        elif kind in ("malformed", "unproved", "internal_errors"):
            found.append(Sample("bad_input_total", (("what", kind), ("where", "ras")), count))
        else:
            found.append(Sample("h323_ras_messages_total", (("kind", name),), count))
    return found


class SipLines(Protocol):
    """Who is registered by SIP, and how trunks are."""

    def registrations(self) -> tuple[Any, ...]:
        """Return all that is registered with us, by account."""

    def trunk_states(self) -> tuple[Any, ...]:
        """Return how each trunk is."""


class Lines:
    """Tells of the registrations of all protocols; h323 None: there are none of H.323."""

    def __init__(self, sip: SipLines, h323: Any) -> None:
        self._sip = sip
        self._h323 = h323

    def registrations(self) -> tuple[Any, ...]:
        """Return all that is registered with us: by SIP, then by H.323."""
        return (*self._sip.registrations(), *(self._h323.ras.registrations() if self._h323 is not None else ()))

    def trunk_states(self) -> tuple[Any, ...]:
        """Return how each trunk is."""
        return self._sip.trunk_states()


class GatekeeperPlan:
    """What our gatekeeper asks of the house; implements `h323.adapter_ras.Plan`. users are accounts by H.323."""

    def __init__(self, desk: FrontDesk, dialler: HouseDialler, users: Iterable[str]) -> None:
        self._desk = desk
        self._dialler = dialler
        self._users = frozenset(user.casefold() for user in users)
        self._is_account = desk.switchboard.is_user

    def leads(self, facts: CallFacts) -> Leads:
        """Return where a call with these facts would go."""
        destination = self._desk.switchboard.leads(facts)
        if destination is None:
            return Leads.NOWHERE
        if isinstance(destination, Refuse):
            return Leads.REFUSED
        straight = isinstance(destination, ToCall) and destination.target == f"user:{facts.called}"
        return Leads.ENDPOINT if straight and self._dialler.by_h323(facts.called) else Leads.HERE

    def reserved(self, alias: str) -> bool:
        """Tell whether no endpoint may have this name: a room's, or an account's that is not good for H.323."""
        return self._desk.knows(alias) or (self._is_account(alias) and alias.casefold() not in self._users)


def known_users(is_account: Callable[[str], bool], h323: H323) -> Callable[[str], bool]:
    """Return who counts as a user: accounts, and endpoints that are registered with our gatekeeper."""
    return lambda name: is_account(name) or h323.has(name)


H323_BAD_INPUT = ("malformed", "refused", "stray", "unread", "failed", "unreachable")
"""Words in the names of H.323 counters that tell of input that was dropped or refused."""


def h323_samples(counters: dict[str, int]) -> list[Sample]:
    """Return the H.323 adapter's counts as samples, as those of SIP."""
    found = []
    for name, count in counters.items():
        if any(word in name for word in H323_BAD_INPUT):
            found.append(Sample("bad_input_total", (("what", name), ("where", "h323")), count))
        elif name in ("calls", "connections"):
            found.append(Sample("h323_open", (("what", name),), count))
        else:
            found.append(Sample("h323_messages_total", (("kind", name),), count))
    return found
