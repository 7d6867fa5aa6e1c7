"""The gatekeeper: what comes in, who it is from, and what goes out (H.323 §7, H.225.0 §7.8 to §7.19).

Theory of operation. `receive` looks a request up in the table of handlers, which stand in `gatekeeper_registration`
and `gatekeeper_calls`; each gives an answer, or None where the answer comes later. Who asks is known by endpoint
identifier and source address, or by proof of its account's password (`guard`). Answers go to where the request came
from. `take` returns what is to be sent and told, in order.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from random import Random

from h323.messages import EncodeError
from h323.ras import messages
from h323.ras.admissions import Admissions
from h323.ras.events import GatekeeperConfig, GatekeeperItem, House, Reply, Request, SendRas, Unregistered
from h323.ras.exchange import Answer, Answers, Requests
from h323.ras.gatekeeper_calls import (
    admit,
    ask_the_silent,
    change_bandwidth,
    disengage,
    hear_of_calls,
    hear_of_resources,
    locate,
    serve_control,
)
from h323.ras.gatekeeper_registration import discover, register, unregister
from h323.ras.guard import Guard, Problem
from h323.ras.messages import BadRas, Value
from h323.ras.registry import Registration, Registry
from h323.ras.tokens import Scheme, Signer, signed
from h323.signalling.aliases import write_address
from h323.signalling.events import Address

Handler = Callable[["Gatekeeper", Request], Reply | None]


class Gatekeeper:
    """One zone. signalling_port is that of the house's call signalling."""

    def __init__(
        self, config: GatekeeperConfig, house: House, guard: Guard, rng: Random, signalling_port: int = 1720
    ) -> None:
        self.config = config
        self.house = house
        self.guard = guard
        self.registry = Registry()
        self.admissions = Admissions(config.call_bandwidth, config.total_bandwidth)
        self.counters: Counter[str] = Counter()
        self.signalling_port = signalling_port
        self.answers = Answers()
        self.requests = Requests(self._ask, rng.randrange(1, 65_535))
        self.busy: set[tuple[Address, int]] = set()
        """Requests whose answer is being looked for."""
        self.rng = rng
        self._wall_offset = 0.0
        self._out: deque[GatekeeperItem] = deque()

    # what goes out

    def take(self) -> list[GatekeeperItem]:
        """Return what is to be sent and told since the last time, in order."""
        taken = list(self._out)
        self._out.clear()
        return taken

    def tell(self, item: GatekeeperItem) -> None:
        """Tell the shell something."""
        self._out.append(item)

    def _ask(self, data: bytes, to: Address) -> None:
        self.tell(SendRas(data, to, "request"))

    def send(self, name: str, body: Value, to: Address) -> None:
        """Send a message that nobody asked for and that is not repeated."""
        self.tell(SendRas(messages.write(name, body), to, name))

    def signalling(self, local: Address) -> Address:
        """Return where we are called by somebody who sees us at local."""
        return Address(local.host, self.signalling_port)

    # what comes in

    def receive(
        self, data: bytes, source: Address, local: Address, now: float, wall: float, multicast: bool = False
    ) -> None:
        """Take a datagram; wall is in seconds since 1970. It raises nothing for what a peer can send.

        multicast: it was sent to all gatekeepers, who answer to discovery alone.
        """
        self._wall_offset = wall - now
        try:
            message = messages.read(data)
        except BadRas:
            self.counters["malformed"] += 1
            return
        self.counters[f"received.{message.name or 'unknown'}"] += 1
        if self.requests.take(message, source, now):
            return
        kept = self.answers.again(message, source, now)
        if kept is not None:
            self.counters["repeated"] += 1
            self.tell(SendRas(kept[0], kept[1], "again"))
            return
        if (source, message.sequence) in self.busy:
            return
        if multicast and message.name != "gatekeeperRequest":
            return
        request = Request(message, source, local, now, wall, multicast)
        handler = HANDLERS.get(message.name)
        if handler is not None:
            self.finish(request, handler(self, request))
        elif message.name not in UNANSWERED:
            self.finish(
                request, Reply("unknownMessageResponse", {"messageNotUnderstood": data[: messages.MAX_DATAGRAM]})
            )

    def finish(self, request: Request, reply: Reply | None, keep: bool = True) -> None:
        """Send an answer, if there is one, signed where the request was, and keep it for a repetition."""
        if reply is None:
            return
        body = {"requestSeqNum": request.message.sequence, **reply.body}
        to = reply.to or request.source
        try:
            data = self._written(reply.name, body, request)
        except EncodeError:
            self.counters["unwritable"] += 1
            return
        self.tell(SendRas(data, to, reply.name))
        if keep:
            self.answers.keep(request.message, request.source, data, to, request.now)

    def _written(self, name: str, body: Value, request: Request) -> bytes:
        account = request.verdict.account
        if request.verdict.scheme is not Scheme.HMAC or not account:
            return messages.write(name, body)
        receiver = body.get("endpointIdentifier") or (request.endpoint.id if request.endpoint else account)
        signer = Signer(self.config.name, self.guard.password(account), receiver)
        return signed(name, messages.filled(name, body), signer, int(request.wall), self.rng)

    # time

    def tick(self, now: float) -> None:
        """Send again, and end registrations and calls that have gone silent."""
        self.requests.tick(now)
        for one in self.registry.expired(now):
            self.forget(one, "expired")
            self.send_unregistration(one, "ttlExpired", now)
        ask_the_silent(self, now)

    def next_timeout(self) -> float | None:
        """Return when `tick` is wanted."""
        due = (self.requests.next_timeout(), self.registry.next_expiry(), self.admissions.next_timeout())
        return min((one for one in due if one is not None), default=None)

    def stop(self, now: float) -> None:
        """Tell every endpoint that we go."""
        for one in self.registry:
            self.forget(one, "shutdown")
            self.send_unregistration(one, "maintenance", now, tries=1)

    def send_unregistration(self, one: Registration, reason: str, now: float, tries: int = 2) -> None:
        """Tell an endpoint that its registration is over (URQ)."""
        body: Value = {
            "callSignalAddress": [write_address(one.signalling)],
            "endpointIdentifier": one.id,
            "gatekeeperIdentifier": self.config.name,
            "reason": (reason, None),
        }
        self.ask(one, "unregistrationRequest", body, ("unregistrationConfirm", "unregistrationReject"), now, tries)

    def ask(
        self,
        one: Registration,
        name: str,
        body: Value,
        expected: tuple[str, ...],
        now: float,
        tries: int,
        answer: Answer = lambda message: None,
    ) -> None:
        """Send an endpoint a request, signed where it signs; answer takes what it says."""
        whole = messages.filled(name, body)

        def write(number: int) -> bytes:
            numbered = {"requestSeqNum": number, **whole}
            if one.scheme != Scheme.HMAC.value:
                return messages.write(name, numbered)
            signer = Signer(self.config.name, self.guard.password(one.account), one.id)
            return signed(name, numbered, signer, int(now + self._wall_offset), self.rng)

        self.requests.ask(write, [one.ras], answer, now, expected, tries)

    def forget(self, one: Registration, cause: str) -> None:
        """End a registration and the admissions of its calls."""
        if self.registry.remove(one.id) is not None:
            for admission in self.admissions.of(one.id):
                self.admissions.remove(admission.key)
            self.tell(Unregistered(one, cause))

    # who asks

    def identified(self, request: Request, id: str | None) -> Request | Problem | None:
        """Return the request with who it is from; None where that one is not registered, or why it is not believed."""
        one = self.registry.get(messages.text_id(id))
        if one is None:
            return None
        needed = one.account if one.scheme == Scheme.HMAC.value else None
        message = request.message
        verdict = self.guard.check(
            message.data, message.name, message.body, needed, request.source.host, request.now, request.wall
        )
        if verdict.problem is not None:
            return verdict.problem
        if request.source.host != one.ras.host and not verdict.account:
            return None
        return replace(request, verdict=verdict, endpoint=one)


UNANSWERED = frozenset(
    {
        "gatekeeperConfirm",
        "gatekeeperReject",
        "registrationConfirm",
        "registrationReject",
        "unregistrationConfirm",
        "unregistrationReject",
        "admissionConfirm",
        "admissionReject",
        "admissionConfirmSequence",
        "bandwidthConfirm",
        "bandwidthReject",
        "disengageConfirm",
        "disengageReject",
        "locationConfirm",
        "locationReject",
        "unknownMessageResponse",
        "requestInProgress",
        "resourcesAvailableConfirm",
        "infoRequestAck",
        "infoRequestNak",
        "serviceControlResponse",
    }
)
"""Answers: one that nobody waits for gets none, or two gatekeepers would answer each other for ever."""

HANDLERS: dict[str, Handler] = {
    "gatekeeperRequest": discover,
    "registrationRequest": register,
    "unregistrationRequest": unregister,
    "admissionRequest": admit,
    "bandwidthRequest": change_bandwidth,
    "disengageRequest": disengage,
    "infoRequestResponse": hear_of_calls,
    "locationRequest": locate,
    "resourcesAvailableIndicate": hear_of_resources,
    "serviceControlIndication": serve_control,
}
"""What answers each request."""
