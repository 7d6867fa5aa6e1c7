"""The endpoint of somebody else's gatekeeper: discovery, registration, refresh (H.323 §7.2). Calls: `endpoint_calls`.

Theory of operation. The table `TABLE` says what an event does in a state. Each state but REGISTERED, WAITING and the
ends has one open request; its answer, or that nobody gave one, is the event. Gatekeepers are tried in turn: the one
that is configured or found, then the alternates that one told of; when all are silent we wait, longer each time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

from h323.h460.features import SIGNALLING, find, told, write_feature, write_supported
from h323.h460.incoming import read_waiting
from h323.messages import EncodeError
from h323.ras import messages
from h323.ras.endpoint_events import DropCall, Joined, LimitCall, NotJoined, Summoned
from h323.ras.events import SendRas
from h323.ras.exchange import TRIES, Answer, Requests, Write
from h323.ras.messages import PROTOCOL, BadRas, Message, Value
from h323.ras.tokens import CAT, HMAC, MD5, Scheme, Signer, cat_token, find_proof, md5_token, signed
from h323.signalling.aliases import write_address, write_alias
from h323.signalling.events import Address
from h323.signalling.messages import LocalParty, endpoint_type

MULTICAST = Address("224.0.1.41", 1718)
"""Where gatekeepers are looked for (H.225.0 §7.8, Annex IV)."""
FIRST_WAIT = 10.0
LONGEST_WAIT = 300.0
"""Seconds between two attempts to find a gatekeeper: doubled each time up to here, spread by a quarter."""
EARLY = 20.0
"""Seconds before its end that a registration is refreshed: three tries of 3 s fit in, and alternates."""
DEFAULT_TTL = 300
MAX_ALTERNATES = 8
MAX_PLACES = 32
"""Gatekeepers that wait to be tried: each answer may name others."""
MAX_SUMMONS = 64


class State(Enum):
    """How we stand with the gatekeeper; the value is its name in logs and metrics."""

    IDLE = "idle"
    DISCOVERING = "discovering"
    REGISTERING = "registering"
    REGISTERED = "registered"
    REFRESHING = "refreshing"
    WAITING = "waiting"
    LEAVING = "leaving"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """What we register as. gatekeepers are tried in turn; user and password prove who we are, empty for no proof.

    traversal: we may stand behind a translator, and ask the gatekeeper to serve us as such (H.460.18).
    """

    gatekeepers: tuple[Address, ...]
    aliases: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    user: str = ""
    password: str = ""
    ttl: int = DEFAULT_TTL
    local: LocalParty = field(default_factory=LocalParty)
    traversal: bool = False


Handler = Callable[[Message, Address, float], None]
EndpointItem = SendRas | Joined | NotJoined | DropCall | LimitCall | Summoned


@dataclass(slots=True)
class Zone:
    """What the gatekeeper told us."""

    address: Address
    name: str = ""
    endpoint: str = ""
    scheme: Scheme | None = None
    signalling: Address | None = None
    ttl: int = DEFAULT_TTL
    makes: bool = False
    makes_routed: bool = False
    answers: bool = False
    interval: int = 0
    """Seconds between two reports of a call that is granted beforehand, 0 for none."""
    reports: bool = False
    """Whether the gatekeeper answers reports (willRespondToIRR)."""
    traverses: bool = False


class Endpoint:
    """Our registration. ras and signalling are our own addresses as the gatekeeper is to see them."""

    def __init__(
        self, config: EndpointConfig, ras: Address, signalling: Address, rng: Random, wall: Callable[[], float]
    ) -> None:
        self.config = config
        self.ras = ras
        self.own_signalling = signalling
        self.state = State.IDLE
        self.zone = Zone(config.gatekeepers[0])
        self.counters: Counter[str] = Counter()
        self.requests = Requests(self._send_request, rng.randrange(1, 65_535))
        self.handlers: dict[str, Handler] = {
            "unregistrationRequest": self._unregistered,
            "serviceControlIndication": self._summoned,
        }
        """What answers the gatekeeper's requests; `endpoint_calls` adds those of calls."""
        self.settled: Callable[[bool], None] = lambda joined: None
        """Called when a search for a gatekeeper has ended: whether one serves us now; `endpoint_calls` waits for it."""
        self._rng = rng
        self._wall = wall
        self._out: deque[EndpointItem] = deque()
        self._summons: deque[bytes] = deque(maxlen=MAX_SUMMONS)
        """Calls of the last summons: what is sent again summons nobody twice."""
        self._places: deque[Address] = deque()
        self._alternates: tuple[Address, ...] = ()
        self._wait = FIRST_WAIT
        self._due: float | None = None
        self._why = ""
        self._now = 0.0

    @property
    def registered(self) -> bool:
        """Whether the gatekeeper serves us now."""
        return self.state in (State.REGISTERED, State.REFRESHING)

    @property
    def now(self) -> float:
        """The time of what happens now."""
        return self._now

    @property
    def searches(self) -> bool:
        """Whether another gatekeeper is being found and joined."""
        return self.state in (State.DISCOVERING, State.REGISTERING)

    # what goes out

    def take(self) -> list[EndpointItem]:
        """Return what is to be sent and told since the last time, in order."""
        taken = list(self._out)
        self._out.clear()
        return taken

    def tell(self, item: EndpointItem) -> None:
        """Tell the shell something."""
        self._out.append(item)

    def _send_request(self, data: bytes, to: Address) -> None:
        self.tell(SendRas(data, to, "request"))

    def reply(self, request: Message, to: Address, name: str, body: Value) -> None:
        """Answer a request of the gatekeeper."""
        self.tell(SendRas(self._encoded(name, {"requestSeqNum": request.sequence, **body}), to, name))

    def ask(
        self, name: str, body: Value, answer: Answer, now: float, expected: tuple[str, ...], tries: int = TRIES
    ) -> None:
        """Send the gatekeeper a request; answer is called once with what it says, None where it is silent."""
        self.requests.ask(self._writer(name, body), [self.zone.address], answer, now, expected, tries)

    def _writer(self, name: str, body: Value) -> Write:
        return lambda number: self._encoded(name, {"requestSeqNum": number, **body})

    def _encoded(self, name: str, body: Value) -> bytes:
        config, time = self.config, int(self._wall())
        if not config.password or name == "gatekeeperRequest":
            return messages.write(name, body)
        scheme = self.zone.scheme
        if scheme is Scheme.CAT:
            token = cat_token(config.user, config.password, time, self._rng.randrange(256))
            return messages.write(name, {**body, "tokens": [token]})
        if scheme is Scheme.MD5:
            return messages.write(name, {**body, "cryptoTokens": [md5_token(config.user, config.password, time)]})
        signer = Signer(self.zone.endpoint or config.user, config.password, self.zone.name)
        return signed(name, messages.filled(name, body), signer, time, self._rng)

    # what comes in

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram. It raises nothing for what a peer can send."""
        self._now = now
        try:
            message = messages.read(data)
        except BadRas:
            self.counters["malformed"] += 1
            return
        self.counters[f"received.{message.name or 'unknown'}"] += 1
        if not self._believed(message):
            self.counters["unproved"] += 1
            return
        if self.requests.take(message, source, now):
            return
        handler = self.handlers.get(message.name)
        if handler is None or source.host != self.zone.address.host:
            return
        try:
            handler(message, source, now)
        except EncodeError:
            self.counters["unwritable"] += 1

    def _unregistered(self, message: Message, source: Address, now: float) -> None:
        self.reply(message, source, "unregistrationConfirm", {})
        self._learn_alternates(message.body)
        self._event("lost", message, now)

    def _summoned(self, message: Message, source: Address, now: float) -> None:
        waiting = read_waiting(message.body)
        # Nobody may have us connect elsewhere: datagrams are easily forged.
        places = {self.zone.address.host, self.zone.signalling.host if self.zone.signalling is not None else ""}
        if waiting is None or not self.zone.traverses or waiting.address.host not in places:
            self.counters["summons_refused"] += 1
            self.reply(message, source, "serviceControlResponse", {"result": ("notAvailable", None)})
            return
        self.reply(message, source, "serviceControlResponse", {"result": ("started", None)})
        if waiting.call not in self._summons:
            self._summons.append(waiting.call)
            self.counters["summons"] += 1
            self.tell(Summoned(waiting))

    def _believed(self, message: Message) -> bool:
        """Tell whether an answer proves our password, where the gatekeeper chose a kind that does so."""
        if self.zone.scheme is not Scheme.HMAC or not self.config.password:
            return True
        proof = find_proof(message.body)
        if proof is None or proof.scheme is not Scheme.HMAC:
            return message.name not in ("registrationConfirm", "admissionConfirm")
        return proof.fits(self.config.password, message.data)

    # life

    def start(self, now: float) -> None:
        """Look for the gatekeeper."""
        self._now = now
        self._event("start", None, now)

    def stop(self, now: float) -> None:
        """Leave it (URQ)."""
        self._now = now
        self._event("stop", None, now)

    def tick(self, now: float) -> None:
        """Ring what is due."""
        self._now = now
        self.requests.tick(now)
        if self._due is not None and self._due <= now:
            self._due = None
            self._event("due", None, now)

    def next_timeout(self) -> float | None:
        """Return when `tick` is wanted."""
        due = (self.requests.next_timeout(), self._due)
        return min((one for one in due if one is not None), default=None)

    def doubt(self) -> None:
        """The gatekeeper was silent to a request. Where it has named alternates one of them is taken at once (H.323
        §7.2.6); else we see at once whether it is there still."""
        if self.state is not State.REGISTERED:
            return
        if any(one != self.zone.address for one in self._alternates):
            self._event("lost", None, self._now)
        else:
            self._due = self._now

    def event(self, name: str, message: Message | None, now: float) -> None:
        """Take an event that is no answer: `lost`, the gatekeeper has unregistered us."""
        self._event(name, message, now)

    def _event(self, name: str, message: Message | None, now: float) -> None:
        action = TABLE.get((self.state, name))
        if action is not None:
            action(self, message, now)

    def _answer(self) -> Answer:
        """Return what makes an event of an answer: its name, or `silent`."""
        state = self.state

        def answer(message: Message | None) -> None:
            if self.state is state:
                self._event(message.name if message is not None else "silent", message, self._now)

        return answer

    # actions

    def _begin(self, message: Message | None, now: float) -> None:
        self._places = deque(dict.fromkeys((*self.config.gatekeepers, *self._alternates)))
        self._discover(message, now)

    def _discover(self, message: Message | None, now: float) -> None:
        if not self._places:
            self._give_up("silent", now)
            return
        self.zone = Zone(self._places.popleft())
        self.state = State.DISCOVERING
        body: Value = {
            "protocolIdentifier": PROTOCOL,
            "rasAddress": write_address(self.ras),
            "endpointType": self._type(),
            "endpointAlias": messages.written(self.config.aliases),
            "supportsAltGK": None,
            **self._features(),
        }
        if self.config.password:
            body["authenticationCapability"] = [("pwdHash", None), ("authenticationBES", ("radius", None))]
            body["algorithmOIDs"] = [HMAC, CAT, MD5]
        self.ask("gatekeeperRequest", body, self._answer(), now, ("gatekeeperConfirm", "gatekeeperReject"))

    def _found(self, message: Message | None, now: float) -> None:
        assert message is not None
        body = message.body
        address = messages.address(body["rasAddress"])
        self.zone.address = address or self.zone.address
        self.zone.name = messages.text_id(body.get("gatekeeperIdentifier"))
        self.zone.scheme = _scheme(body)
        self._learn_alternates(body)
        self._register(message, now)

    def _turned_away(self, message: Message | None, now: float) -> None:
        assert message is not None
        self._why = str(message.body["rejectReason"][0])
        self._learn_alternates(message.body.get("altGKInfo") or {})
        self._discover(message, now)

    def _register(self, message: Message | None, now: float) -> None:
        self.state = State.REGISTERING
        self.zone.endpoint = ""
        body = self._registration()
        body |= {"terminalAlias": messages.written(self.config.aliases), "discoveryComplete": True}
        self.ask("registrationRequest", body, self._answer(), now, ("registrationConfirm", "registrationReject"))

    def _refresh(self, message: Message | None, now: float) -> None:
        self.state = State.REFRESHING
        body = {**self._registration(), "keepAlive": True, "endpointIdentifier": self.zone.endpoint}
        self.ask("registrationRequest", body, self._answer(), now, ("registrationConfirm", "registrationReject"))

    def _registration(self) -> Value:
        kind = self._type()
        body: Value = {
            "protocolIdentifier": PROTOCOL,
            "discoveryComplete": True,
            "callSignalAddress": [write_address(self.own_signalling)],
            "rasAddress": [write_address(self.ras)],
            "terminalType": kind,
            "endpointVendor": kind["vendor"],
            "timeToLive": self.config.ttl,
            "supportsAltGK": None,
            **self._features(),
        }
        if self.zone.name:
            body["gatekeeperIdentifier"] = self.zone.name
        return body

    def _features(self) -> Value:
        return {"featureSet": write_supported(write_feature(SIGNALLING))} if self.config.traversal else {}

    def _type(self) -> Value:
        """Return our EndpointType, with the prefixes that we serve."""
        kind = endpoint_type(self.config.local)
        if self.config.prefixes:
            served = [{"prefix": write_alias(one)} for one in self.config.prefixes]
            part = "mcu" if "mcu" in kind else "gateway"
            kind[part] = {"protocol": [("h323", {"supportedPrefixes": served})]}
        return kind

    def _registered(self, message: Message | None, now: float) -> None:
        assert message is not None
        body, fresh = message.body, self.state is State.REGISTERING
        self.state = State.REGISTERED
        self._wait = FIRST_WAIT
        zone = self.zone
        zone.endpoint = messages.text_id(body["endpointIdentifier"])
        zone.name = messages.text_id(body.get("gatekeeperIdentifier")) or zone.name
        zone.signalling = messages.first_address(body["callSignalAddress"]) or zone.signalling
        zone.ttl = body.get("timeToLive") or self.config.ttl
        granted = body.get("preGrantedARQ") or {}
        zone.makes, zone.answers = bool(granted.get("makeCall")), bool(granted.get("answerCall"))
        zone.makes_routed = bool(granted.get("useGKCallSignalAddressToMakeCall"))
        zone.interval = int(granted.get("irrFrequencyInCall") or 0)
        zone.reports = bool(body.get("willRespondToIRR"))
        if fresh or "featureSet" in body:
            zone.traverses = self.config.traversal and find(told(body), SIGNALLING) is not None
        self._learn_alternates(body)
        self._due = now + max(zone.ttl - EARLY, zone.ttl / 2)
        if fresh:
            self.tell(Joined(zone.name, zone.address, zone.endpoint))
            self.settled(True)

    def _refused(self, message: Message | None, now: float) -> None:
        assert message is not None
        reason = str(message.body["rejectReason"][0])
        if self.state is State.REFRESHING and reason in ("fullRegistrationRequired", "discoveryRequired"):
            self.tell(NotJoined(reason, True))
            self._register(message, now) if reason == "fullRegistrationRequired" else self._begin(message, now)
            return
        self._learn_alternates(message.body.get("altGKInfo") or {})
        if self._places:
            self._why = reason
            self._discover(message, now)
        else:
            self._give_up(reason, now)

    def _lost(self, message: Message | None, now: float) -> None:
        """The gatekeeper is silent or has unregistered us: the next one, or all over again."""
        if self.registered:
            self.tell(NotJoined("silent" if message is None else "unregistered", True))
            self._places = deque(dict.fromkeys((*self._alternates, *self.config.gatekeepers)))
        self._discover(message, now)

    def _give_up(self, reason: str, now: float) -> None:
        self.state = State.WAITING
        self._due = now + self._wait * (1 + self._rng.random() / 4)
        self._wait = min(self._wait * 2, LONGEST_WAIT)
        self.tell(NotJoined(self._why if reason == "silent" and self._why else reason, False))
        self._why = ""
        self.settled(False)

    def _leave(self, message: Message | None, now: float) -> None:
        self.state = State.LEAVING
        self._due = None
        body: Value = {
            "callSignalAddress": [write_address(self.own_signalling)],
            "endpointIdentifier": self.zone.endpoint,
            "reason": ("maintenance", None),
        }
        expected = ("unregistrationConfirm", "unregistrationReject")
        self.ask("unregistrationRequest", body, self._answer(), now, expected)

    def _end(self, message: Message | None, now: float) -> None:
        self.state = State.GONE
        self._due = None
        self.settled(False)

    def _learn_alternates(self, body: Value) -> None:
        told: Sequence[Any] = body.get("alternateGatekeeper") or ()
        by_priority = sorted(told[:MAX_ALTERNATES], key=lambda one: int(one["priority"]))
        found = tuple(place for one in by_priority if (place := messages.address(one["rasAddress"])) is not None)
        if found:
            self._alternates = found
            new = [one for one in found if one not in self._places and one != self.zone.address]
            self._places.extend(new[: max(0, MAX_PLACES - len(self._places))])


def _scheme(body: Value) -> Scheme | None:
    """Return the kind of proof that a gatekeeper chose; None where it leaves it to us."""
    mode = body.get("authenticationMode")
    by_oid = {HMAC: Scheme.HMAC, MD5: Scheme.MD5, CAT: Scheme.CAT}
    found = by_oid.get(body.get("algorithmOID") or "")
    if found is None and mode is not None and mode[0] == "authenticationBES":
        return Scheme.CAT
    return found


Action = Callable[[Endpoint, Message | None, float], None]

_ENDS: dict[tuple[State, str], Action] = {
    (state, "stop"): Endpoint._end for state in State if state not in (State.REGISTERED, State.REFRESHING)
}

TABLE: dict[tuple[State, str], Action] = {
    **_ENDS,
    (State.IDLE, "start"): Endpoint._begin,
    (State.DISCOVERING, "gatekeeperConfirm"): Endpoint._found,
    (State.DISCOVERING, "gatekeeperReject"): Endpoint._turned_away,
    (State.DISCOVERING, "silent"): Endpoint._discover,
    (State.REGISTERING, "registrationConfirm"): Endpoint._registered,
    (State.REGISTERING, "registrationReject"): Endpoint._refused,
    (State.REGISTERING, "silent"): Endpoint._discover,
    (State.REGISTERED, "due"): Endpoint._refresh,
    (State.REGISTERED, "lost"): Endpoint._lost,
    (State.REGISTERED, "stop"): Endpoint._leave,
    (State.REFRESHING, "registrationConfirm"): Endpoint._registered,
    (State.REFRESHING, "registrationReject"): Endpoint._refused,
    (State.REFRESHING, "silent"): Endpoint._lost,
    (State.REFRESHING, "lost"): Endpoint._lost,
    (State.REFRESHING, "stop"): Endpoint._leave,
    (State.WAITING, "due"): Endpoint._begin,
    (State.LEAVING, "unregistrationConfirm"): Endpoint._end,
    (State.LEAVING, "unregistrationReject"): Endpoint._end,
    (State.LEAVING, "silent"): Endpoint._end,
}
"""What an event does in a state; what stands in no row changes nothing."""
