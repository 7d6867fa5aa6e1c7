"""The registrar: who is reachable where (RFC 3261 §10.3, RFC 3327, RFC 5626).

Theory of operation. Each account has bindings, one for each contact, or for each instance and reg-id where the phone
speaks outbound. A REGISTER is read and checked whole before anything is changed, so that it succeeds or fails as one.
A binding ends when its time is over, when its phone takes it away, when another takes its place, or when the only
connection that led to it is lost.

The way to a contact, or to the first proxy of Path, is the flow that the REGISTER came on, and the address that the
contact or Path names only where that is the one that we see. So a phone behind a translator is reached, and nobody who
has an account can have us send an INVITE to a host of its choice, which may trust our address. Translators forget a
silent UDP flow, so such flows are pinged; connections are held and pinged by the transport.

Who registers is known before: credentials are looked at elsewhere (`sip.gate`). Times to the store are in seconds
since 1970, which `epoch` turns into those of the clock that is passed in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from gateway.store.registrations import Registration, RegistrationStore
from gateway.text import clean
from sip.adapter_facts import MAX_AGENT
from sip.building import HeaderList
from sip.events import Flow, Target
from sip.flow_token import flow_token, read_flow_token
from sip.headers import split_values
from sip.message import Request
from sip.register_request import MAX_CONTACTS, Refusal, Registering, Wish, contact_value, read_register, same_uri
from sip.routing import target_of
from sip.timers import Timer, Timers
from sip.uri import BadUri, Uri, parse_uri
from sip.values import BadValue, parse_address, readable

SHORTEST = 60
"""Seconds; a shorter time to live is refused with 423: phones behind a translator ask for one to two minutes."""
LONGEST = 7_200
"""Seconds that are granted at most: so long a phone that is gone without a word may be listed."""
MAX_BINDINGS = 20_000
"""Bindings of all accounts: 10,000 users with two phones each, about 40 MB."""
RETRY_AFTER = 60
"""Seconds after which a phone may try again that found no room."""
PING = 25.0
"""Seconds between pings to a phone behind a translator: many forget a UDP flow after 30 (RFC 4787 REQ-5, RFC 5626)."""


class Cause(Enum):
    """Why a binding ended."""

    UNREGISTERED = "unregistered"
    EXPIRED = "expired"
    FLOW_LOST = "flow-lost"
    CROWDED_OUT = "crowded-out"
    ACCOUNT_GONE = "account-gone"


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact of an account.

    id tells an account's bindings apart. expires is of the clock that is passed in. flow is the one that it came on,
    None where that is lost; translated whether only that flow leads to it, or to the first proxy before it.
    """

    account: str
    id: str
    contact: Uri
    q: float
    expires: float
    call_id: str
    cseq: int
    path: tuple[str, ...]
    flow: Flow | None
    translated: bool
    instance: str = ""
    reg_id: int = 0
    agent: str = ""

    @property
    def ways(self) -> list[Flow | Target]:
        """Where a request to this contact goes, the best first; empty where there is no way any more."""
        known: list[Flow | Target] = [] if self.translated else [target_of(_first(self.contact, self.path))]
        flow = self.flow
        return [flow, *known] if flow is not None and (self.translated or flow.transport.reliable) else known


@dataclass(frozen=True, slots=True)
class Added:
    """A contact is new."""

    binding: Binding


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A contact's time runs anew; before is what it was."""

    binding: Binding
    before: Binding


@dataclass(frozen=True, slots=True)
class Removed:
    """A contact is gone."""

    binding: Binding
    cause: Cause


@dataclass(frozen=True, slots=True)
class PingDue:
    """A keep-alive is to be sent on a flow (RFC 5626 §3.5.1: a double CRLF)."""

    flow: Flow


RegistrarEvent = Added | Refreshed | Removed | PingDue


@dataclass(frozen=True, slots=True)
class Reply:
    """How a REGISTER is answered."""

    status: int
    headers: HeaderList = ()
    phrase: str = ""


@dataclass(slots=True)
class _Entry:
    binding: Binding
    expiry: Timer
    ping: Timer | None = None

    def stop(self) -> None:
        self.expiry.stop()
        if self.ping is not None:
            self.ping.stop()


class Registrar:
    """All bindings. After each call of a method that takes `now`, drain `take` and look at `next_timeout`."""

    def __init__(self, store: RegistrationStore, epoch: float = 0.0) -> None:
        """Start empty; epoch is the time in seconds since 1970 at which the clock that is passed in was zero."""
        self._store = store
        self._epoch = epoch
        self._accounts: dict[str, dict[str, _Entry]] = {}
        self._by_flow: dict[Flow, set[tuple[str, str]]] = {}
        self._timers = Timers()
        self._out: list[RegistrarEvent] = []
        self._count = 0

    def __len__(self) -> int:
        """Return how many bindings there are."""
        return self._count

    def next_timeout(self) -> float | None:
        """When `tick` is to be called next, or None."""
        return self._timers.next()

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._timers.run(now)

    def take(self) -> list[RegistrarEvent]:
        """Return what happened since the last time, in order."""
        out, self._out = self._out, []
        return out

    # asking

    def bindings(self, account: str) -> list[Binding]:
        """Return an account's bindings, the one to be tried first first: by q, then the newest."""
        entries = self._accounts.get(account, {}).values()
        return sorted((entry.binding for entry in entries), key=lambda one: (-one.q, -one.expires))

    def accounts_on(self, flow: Flow) -> frozenset[str]:
        """Return the accounts that have a binding which a flow leads to."""
        return frozenset(account for account, _ in self._by_flow.get(flow, ()))

    def all(self) -> list[Binding]:
        """Return every binding there is."""
        return [entry.binding for entries in self._accounts.values() for entry in entries.values()]

    # changing

    def register(self, request: Request, flow: Flow, account: str, now: float) -> Reply:
        """Do what a REGISTER asks for an account whose owner has proved to be it, and return the answer."""
        try:
            wanted = read_register(request, SHORTEST, LONGEST)
            self._check_order(request, account, wanted)
            self._check_room(account, wanted)
        except Refusal as refusal:
            return Reply(refusal.status, refusal.headers, refusal.phrase)
        if wanted.everything:
            for entry in list(self._accounts.get(account, {}).values()):
                self._remove(entry.binding, Cause.UNREGISTERED)
        for wish in wanted.wishes:
            self._fulfil(wish, wanted, request, flow, account, now)
        return Reply(200, self._answer(request, account, wanted, now))

    def closed(self, flow: Flow) -> None:
        """Take note that a connection is lost: what only it led to is gone, the rest is reached anew."""
        for account, id in list(self._by_flow.get(flow, ())):
            binding = self._accounts[account][id].binding
            if binding.translated or binding.reg_id:
                self._remove(binding, Cause.FLOW_LOST)
            else:
                self._unlink(binding)
                self._accounts[account][id].binding = replace(binding, flow=None)

    def forget(self, account: str) -> None:
        """Take away all bindings of an account that is no more."""
        for entry in list(self._accounts.get(account, {}).values()):
            self._remove(entry.binding, Cause.ACCOUNT_GONE)

    def restore(self, accounts: frozenset[str], now: float) -> int:
        """Take back what the store kept of these accounts; return how many bindings. Rows that make no sense go."""
        for row in self._store.load():
            binding = self._read(row)
            fit = binding is not None and binding.expires > now and self._count < MAX_BINDINGS
            if binding is None or not fit or row.account not in accounts:
                self._store.remove(row.account, row.id)
            else:
                self._place(binding, now)
        return self._count

    # a REGISTER, step by step

    def _check_order(self, request: Request, account: str, wanted: Registering) -> None:
        """Refuse a request that an earlier one of the same phone has overtaken (§10.3 steps 6 and 7)."""
        call_id = readable(request.call_id)
        entries = self._accounts.get(account, {})
        touched = list(entries.values()) if wanted.everything else []
        for wish in wanted.wishes:
            found = self._find(account, wish)
            if found is not None:
                touched.append(found)
        for entry in touched:
            if entry.binding.call_id == call_id and request.cseq.number <= entry.binding.cseq:
                raise Refusal(500, phrase="Server Internal Error: out of order")

    def _check_room(self, account: str, wanted: Registering) -> None:
        new = sum(1 for wish in wanted.wishes if wish.expires and self._find(account, wish) is None)
        if self._count + new > MAX_BINDINGS:
            raise Refusal(503, [("Retry-After", str(RETRY_AFTER))])

    def _find(self, account: str, wish: Wish) -> _Entry | None:
        entries = self._accounts.get(account, {})
        if wish.reg_id:
            return entries.get(_outbound_id(wish))
        return next((entry for entry in entries.values() if same_uri(entry.binding.contact, wish.uri)), None)

    def _fulfil(self, wish: Wish, wanted: Registering, request: Request, flow: Flow, account: str, now: float) -> None:
        before = self._find(account, wish)
        if not wish.expires:
            if before is not None:
                self._remove(before.binding, Cause.UNREGISTERED)
            return
        binding = Binding(
            account=account,
            id=before.binding.id if before is not None else self._new_id(account, wish),
            contact=wish.uri,
            q=wish.q,
            expires=now + wish.expires,
            call_id=readable(request.call_id),
            cseq=request.cseq.number,
            path=wanted.path,
            flow=flow,
            translated=_translated(wish.uri, wanted.path, flow, wanted.outbound),
            instance=wish.instance,
            reg_id=wish.reg_id,
            agent=clean(request.headers.get("User-Agent") or "", MAX_AGENT),
        )
        if before is None:
            self._crowd_out(account)
        else:
            self._displace(before)
        self._place(binding, now)
        self._store.put(self._row(binding))
        self._out.append(Added(binding) if before is None else Refreshed(binding, before.binding))

    def _new_id(self, account: str, wish: Wish) -> str:
        """Return an id that no other binding of the account has: one keeps its id while its contact is spelled anew."""
        id = _outbound_id(wish) if wish.reg_id else _contact_id(wish)
        while id in self._accounts.get(account, {}):
            id = _short(id)
        return id

    def _crowd_out(self, account: str) -> None:
        """Make room among an account's contacts: the one whose time is over first goes, mostly a phone's old port."""
        entries = self._accounts.get(account, {})
        if len(entries) >= MAX_CONTACTS:
            oldest = min(entries.values(), key=lambda entry: entry.binding.expires)
            self._remove(oldest.binding, Cause.CROWDED_OUT)

    def _answer(self, request: Request, account: str, wanted: Registering, now: float) -> list[tuple[str, str]]:
        """Return the headers of the 200 (§10.3 step 8, RFC 3327 §5.3, RFC 5626 §6)."""
        headers = [
            (
                "Contact",
                contact_value(str(one.contact), one.q, max(1, round(one.expires - now)), one.instance, one.reg_id),
            )
            for one in self.bindings(account)
        ]
        headers += [("Path", value) for value in wanted.path]
        if wanted.outbound:
            headers.append(("Require", "outbound"))
        return headers

    # the tables

    def _place(self, binding: Binding, now: float) -> None:
        expiry = self._timers.start(binding.expires, partial(self._expired, binding.account, binding.id))
        entry = _Entry(binding, expiry)
        self._accounts.setdefault(binding.account, {})[binding.id] = entry
        self._count += 1
        if binding.flow is not None:
            self._by_flow.setdefault(binding.flow, set()).add((binding.account, binding.id))
            if binding.translated and not binding.path and not binding.flow.transport.reliable:
                self._ping_later(entry, now)

    def _ping_later(self, entry: _Entry, now: float) -> None:
        entry.ping = self._timers.start(now + PING, partial(self._ping, entry))

    def _ping(self, entry: _Entry, now: float) -> None:
        if entry.binding.flow is not None:
            self._out.append(PingDue(entry.binding.flow))
            self._ping_later(entry, now)

    def _displace(self, entry: _Entry) -> None:
        """Take an entry out of the tables; another one takes its place."""
        binding = entry.binding
        entry.stop()
        self._unlink(binding)
        entries = self._accounts[binding.account]
        del entries[binding.id]
        if not entries:
            del self._accounts[binding.account]
        self._count -= 1

    def _unlink(self, binding: Binding) -> None:
        """Forget which flow leads to a binding."""
        if binding.flow is None:
            return
        same = self._by_flow.get(binding.flow)
        if same is not None:
            same.discard((binding.account, binding.id))
            if not same:
                del self._by_flow[binding.flow]

    def _remove(self, binding: Binding, cause: Cause) -> None:
        entry = self._accounts[binding.account][binding.id]
        self._displace(entry)
        self._store.remove(binding.account, binding.id)
        self._out.append(Removed(entry.binding, cause))

    def _expired(self, account: str, id: str, now: float) -> None:
        self._remove(self._accounts[account][id].binding, Cause.EXPIRED)

    # the store's rows

    def _row(self, binding: Binding) -> Registration:
        return Registration(
            account=binding.account,
            id=binding.id,
            contact=str(binding.contact),
            q=binding.q,
            expires=binding.expires + self._epoch,
            call_id=binding.call_id,
            cseq=binding.cseq,
            path=", ".join(binding.path),
            flow=flow_token(binding.flow) if binding.flow is not None else "",
            instance=binding.instance,
            reg_id=binding.reg_id,
            agent=binding.agent,
        )

    def _read(self, row: Registration) -> Binding | None:
        """Return the binding of a row; None where it makes no sense. A connection did not outlive the process."""
        try:
            contact = parse_uri(row.contact)
            flow = read_flow_token(row.flow) if row.flow else None
            path = tuple(str(parse_address(value)) for value in split_values(row.path))
        except (ValueError, BadUri, BadValue):
            return None
        translated = flow is None or _translated(contact, path, flow, bool(row.reg_id))
        return Binding(
            account=row.account,
            id=row.id,
            contact=contact,
            q=row.q,
            expires=row.expires - self._epoch,
            call_id=row.call_id,
            cseq=row.cseq,
            path=path,
            flow=flow if flow is not None and not flow.transport.reliable else None,
            translated=translated,
            instance=row.instance,
            reg_id=row.reg_id,
            agent=row.agent,
        )


def _first(contact: Uri, path: tuple[str, ...]) -> Uri:
    """Return what is to be reached first: the first proxy of Path, else the contact."""
    return parse_address(path[0]).uri if path else contact


def _translated(contact: Uri, path: tuple[str, ...], flow: Flow, outbound: bool) -> bool:
    """Tell whether only its flow leads to a phone or to the proxy before it: the address that it names is not the one
    that we see. A name says nothing about the address behind it."""
    if flow.transport.web or (outbound and not path):
        return True
    first = _first(contact, path)
    return (first.parameters.get("maddr") or first.host) != flow.remote_address


def _outbound_id(wish: Wish) -> str:
    return _short(f"{wish.instance} {wish.reg_id}")


def _contact_id(wish: Wish) -> str:
    return _short(str(wish.uri))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
