"""Who is registered with the gatekeeper: aliases, prefixes, times. Pure; all times are of the clock passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from h323.signalling.events import Address

MAX_REGISTRATIONS = 10_000
"""Endpoints of one house, as accounts."""
MAX_PER_HOST = 200
"""Endpoints of one address: a site behind one translator."""
GRACE = 15.0
"""Seconds that a registration outlives its time, for a refresh that was lost and sent again (RAS: 3 s, 3 times)."""


@dataclass(frozen=True, slots=True)
class Registration:
    """One endpoint. ras is where its requests come from and ours go; signalling where it is called.

    account is whose password it proved, empty for none. expires is a time of the loop, ttl in seconds.
    prefixes are the beginnings of numbers that it serves. scheme names the proof, busy that it said so (RAI).

    hidden says that it stands behind a translator and is called by connections that it opens itself (H.460.17, .18);
    signalling is then where its requests come from, which tells it from others, and local our address as it sees it.
    """

    id: str
    ras: Address
    signalling: Address
    aliases: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    account: str = ""
    scheme: str = ""
    kind: str = "terminal"
    product: str = ""
    ttl: int = 0
    expires: float = 0.0
    busy: bool = False
    hidden: bool = False
    local: Address | None = None

    @property
    def name(self) -> str:
        """What people know it by."""
        return self.account or (self.aliases[0] if self.aliases else self.id)


def key(alias: str) -> str:
    """Return what aliases are compared by: upper and lower case are the same to people who dial."""
    return alias.casefold()


def bare(alias: str) -> str:
    """Return the name in an address: `h323:bob@zone` is bob."""
    for scheme in ("h323:", "sip:", "sips:", "tel:"):
        if alias.lower().startswith(scheme):
            alias = alias[len(scheme) :]
    return alias.partition("@")[0]


class Registry:
    """All registrations."""

    def __init__(self) -> None:
        self._by_id: dict[str, Registration] = {}
        self._by_alias: dict[str, str] = {}
        self._by_signalling: dict[Address, str] = {}
        self._by_prefix: dict[str, set[str]] = {}
        self._hosts: Counter[str] = Counter()
        self._soonest = float("inf")
        """No registration ends before this; it is looked for anew when it comes, not at each refresh."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._by_id)

    def __iter__(self) -> Iterator[Registration]:
        return iter(tuple(self._by_id.values()))

    def get(self, id: str) -> Registration | None:
        """Return the registration of an endpoint identifier."""
        return self._by_id.get(id)

    def at(self, signalling: Address) -> Registration | None:
        """Return the registration whose endpoint is called there."""
        return self._by_id.get(self._by_signalling.get(signalling, ""))

    def of_host(self, host: str) -> list[Registration]:
        """Return the registrations that came from an address or are called there."""
        return [one for one in self._by_id.values() if host in (one.ras.host, one.signalling.host)]

    def named(self, alias: str) -> Registration | None:
        """Return who has this alias."""
        return self._by_id.get(self._by_alias.get(key(alias), ""))

    def find(self, alias: str) -> Registration | None:
        """Return who is reached by what was dialled: an alias, else the longest prefix of a number."""
        for text in (alias, bare(alias)):
            found = self.named(text)
            if found is not None:
                return found
        number = bare(alias)
        for length in range(len(number), 0, -1):
            ids = self._by_prefix.get(key(number[:length]))
            if ids:
                served = sorted((self._by_id[id] for id in ids), key=lambda one: (one.busy, one.id))
                return served[0]
        return None

    def conflicts(self, aliases: tuple[str, ...], id: str) -> tuple[str, ...]:
        """Return those of these aliases that somebody else has."""
        return tuple(one for one in aliases if self._by_alias.get(key(one), id) != id)

    def full(self, host: str) -> bool:
        """Tell whether no more fit, from this address."""
        return len(self._by_id) >= MAX_REGISTRATIONS or self._hosts[host] >= MAX_PER_HOST

    def put(self, registration: Registration) -> None:
        """Keep a registration, in place of that with the same identifier."""
        self.remove(registration.id)
        self._by_id[registration.id] = registration
        self._soonest = min(self._soonest, registration.expires + GRACE)
        self._by_alias.update({key(one): registration.id for one in registration.aliases})
        self._by_signalling[registration.signalling] = registration.id
        self._hosts[registration.ras.host] += 1
        for prefix in registration.prefixes:
            self._by_prefix.setdefault(key(prefix), set()).add(registration.id)

    def remove(self, id: str) -> Registration | None:
        """Forget a registration and return it."""
        gone = self._by_id.pop(id, None)
        if gone is None:
            return None
        for alias in gone.aliases:
            if self._by_alias.get(key(alias)) == id:
                del self._by_alias[key(alias)]
        if self._by_signalling.get(gone.signalling) == id:
            del self._by_signalling[gone.signalling]
        for prefix in gone.prefixes:
            served = self._by_prefix.get(key(prefix), set())
            served.discard(id)
            if not served:
                self._by_prefix.pop(key(prefix), None)
        self._hosts[gone.ras.host] -= 1
        if self._hosts[gone.ras.host] <= 0:
            del self._hosts[gone.ras.host]
        return gone

    def expired(self, now: float) -> list[Registration]:
        """Return those whose time is over."""
        if self._soonest > now:
            return []
        over = [one for one in self._by_id.values() if one.expires + GRACE <= now]
        left = (one.expires + GRACE for one in self._by_id.values() if one.expires + GRACE > now)
        self._soonest = min(left, default=float("inf"))
        return over

    def next_expiry(self) -> float | None:
        """Return when one's time may be over; `expired` tells whether it is."""
        return self._soonest if self._by_id else None
