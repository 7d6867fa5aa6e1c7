"""What an endpoint asks its gatekeeper about calls, and what it answers: ARQ, DRQ, BRQ, LRQ, IRQ (H.323 §8.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from h323.ras import messages
from h323.ras.endpoint import Endpoint
from h323.ras.endpoint_events import DropCall, LimitCall
from h323.ras.exchange import TRIES, Answer
from h323.ras.messages import BITS, Message, Value
from h323.signalling.aliases import write_address
from h323.signalling.events import Address
from h323.signalling.messages import endpoint_type

MAX_REPORTED = 32
"""Calls in one IRR: a datagram holds no more in safety."""
ALTERNATE_TIME = 9.0
"""Seconds that a call waits for an alternate gatekeeper: as long as it has waited for the first one already (three
tries of 3 s); the house gives both 20 s."""
MAX_STRANDED = 256
"""Calls that wait so at once; more are refused at once."""
DEFAULT_BANDWIDTH = 2_000_000
"""Bit/s asked for a call, both directions together, where nobody said another."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call for which admission is asked. answers: it came to us. bandwidth in bit/s."""

    call: bytes
    conference: bytes
    reference: int
    answers: bool
    called: tuple[str, ...] = ()
    caller: tuple[str, ...] = ()
    address: Address | None = None
    caller_address: Address | None = None
    bandwidth: int = DEFAULT_BANDWIDTH


@dataclass(frozen=True, slots=True)
class Granted:
    """A call may go on: where to call, with which aliases (empty: as it was dialled), how much it may take."""

    address: Address | None
    called: tuple[str, ...] = ()
    bandwidth: int = DEFAULT_BANDWIDTH


@dataclass(frozen=True, slots=True)
class Denied:
    """A call may not go on; reason is H.225.0's own, "silent" or "unregistered"."""

    reason: str


Outcome = Callable[[Granted | Denied], None]


@dataclass(frozen=True, slots=True)
class _Stranded:
    """A call to whose request the gatekeeper was silent; it waits for another one until then."""

    asked: Asked
    outcome: Outcome
    until: float


class EndpointCalls:
    """The calls that our gatekeeper knows of."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.going: dict[bytes, Asked] = {}
        self.reports: dict[bytes, tuple[float, int]] = {}
        """When the next unsolicited IRR of a call is due, and the seconds between two."""
        self._stranded: list[_Stranded] = []
        endpoint.settled = self._settled
        endpoint.handlers |= {
            "infoRequest": self._inform,
            "disengageRequest": self._drop,
            "bandwidthRequest": self._limit,
        }

    def admit(self, asked: Asked, outcome: Outcome, now: float) -> None:
        """Ask for admission; outcome is called once, at once where calls are granted beforehand."""
        zone = self.endpoint.zone
        if not self.endpoint.registered:
            outcome(Denied("unregistered"))
            return
        granted = zone.answers if asked.answers else zone.makes and zone.makes_routed
        if granted:
            self.going[asked.call] = asked
            if zone.interval:
                self.reports[asked.call] = (now + zone.interval, zone.interval)
            outcome(Granted(None if asked.answers else zone.signalling, bandwidth=asked.bandwidth))
            return

        def answer(message: Message | None) -> None:
            if message is None:
                self._silent(asked, outcome)
            else:
                outcome(self._heard(asked, message, self.endpoint.now))

        self._ask(asked, answer, now)

    def _ask(self, asked: Asked, answer: Answer, now: float) -> None:
        expected = ("admissionConfirm", "admissionReject")
        self.endpoint.ask("admissionRequest", self._request(asked), answer, now, expected)

    def _silent(self, asked: Asked, outcome: Outcome) -> None:
        """The gatekeeper does not answer: the call waits a while for the alternate that takes its place."""
        self.endpoint.doubt()
        if self.endpoint.searches and len(self._stranded) < MAX_STRANDED:
            self._stranded.append(_Stranded(asked, outcome, self.endpoint.now + ALTERNATE_TIME))
        else:
            outcome(Denied("silent"))

    def _settled(self, joined: bool) -> None:
        """A search for a gatekeeper has ended: ask it for the calls that the last one was silent to, once."""
        stranded, self._stranded = self._stranded, []
        for one in stranded:
            if joined:
                self._ask(one.asked, partial(self._last, one), self.endpoint.now)
            else:
                one.outcome(Denied("silent"))

    def _last(self, one: _Stranded, message: Message | None) -> None:
        one.outcome(Denied("silent") if message is None else self._heard(one.asked, message, self.endpoint.now))

    def _request(self, asked: Asked) -> Value:
        body = self._call(asked)
        body |= {
            "callType": ("pointToPoint", None),
            "srcInfo": messages.written(asked.caller or self.endpoint.config.aliases),
            "bandWidth": asked.bandwidth // BITS,
            "activeMC": False,
            "answerCall": asked.answers,
            "canMapAlias": True,
        }
        if asked.called:
            body["destinationInfo"] = messages.written(asked.called)
        if asked.address is not None:
            body["destCallSignalAddress"] = write_address(asked.address)
        if asked.caller_address is not None:
            body["srcCallSignalAddress"] = write_address(asked.caller_address)
        return body

    def _call(self, asked: Asked) -> Value:
        body: Value = {
            "endpointIdentifier": self.endpoint.zone.endpoint,
            "conferenceID": asked.conference,
            "callReferenceValue": asked.reference,
            "callIdentifier": {"guid": asked.call},
        }
        if self.endpoint.zone.name:
            body["gatekeeperIdentifier"] = self.endpoint.zone.name
        return body

    def _heard(self, asked: Asked, message: Message, now: float) -> Granted | Denied:
        body = message.body
        if message.name == "admissionReject":
            reason = str(body["rejectReason"][0])
            if reason in ("callerNotRegistered", "invalidEndpointIdentifier"):
                self.endpoint.event("lost", message, now)
            return Denied(reason)
        granted = body["bandWidth"] * BITS
        self.going[asked.call] = replace(asked, bandwidth=granted)
        self.endpoint.zone.reports |= bool(body.get("willRespondToIRR"))
        interval = body.get("irrFrequency")
        if interval:
            self.reports[asked.call] = (now + interval, int(interval))
        address = messages.address(body["destCallSignalAddress"])
        return Granted(address, messages.aliases(body.get("destinationInfo")), granted)

    def leave(self, call: bytes, now: float) -> None:
        """Tell the gatekeeper that a call is over (DRQ); nothing happens for one that it does not know."""
        asked = self.going.pop(call, None)
        self.reports.pop(call, None)
        if asked is None or not self.endpoint.registered:
            return
        body = {**self._call(asked), "disengageReason": ("normalDrop", None), "answeredCall": asked.answers}
        self.endpoint.ask("disengageRequest", body, lambda answer: None, now, ("disengageConfirm", "disengageReject"))

    def change_bandwidth(self, call: bytes, bandwidth: int, outcome: Callable[[int | None], None], now: float) -> None:
        """Ask for another bandwidth (BRQ); outcome gets the one that is granted in bit/s, None where none is."""
        asked = self.going.get(call)
        if asked is None or not self.endpoint.registered:
            outcome(None)
            return

        def answer(message: Message | None) -> None:
            if message is None or message.name != "bandwidthConfirm":
                outcome(None)
                return
            granted = message.body["bandWidth"] * BITS
            if call in self.going:
                self.going[call] = replace(self.going[call], bandwidth=granted)
            outcome(granted)

        body = {**self._call(asked), "bandWidth": bandwidth // BITS, "answeredCall": asked.answers}
        self.endpoint.ask("bandwidthRequest", body, answer, now, ("bandwidthConfirm", "bandwidthReject"))

    def locate(self, called: tuple[str, ...], outcome: Callable[[Address | None], None], now: float) -> None:
        """Ask where an alias is (LRQ), without a call."""
        body: Value = {
            "destinationInfo": messages.written(called),
            "replyAddress": write_address(self.endpoint.ras),
            "endpointIdentifier": self.endpoint.zone.endpoint,
        }

        def answer(message: Message | None) -> None:
            confirmed = message is not None and message.name == "locationConfirm"
            outcome(messages.address(message.body["callSignalAddress"]) if confirmed and message else None)

        if self.endpoint.registered:
            self.endpoint.ask("locationRequest", body, answer, now, ("locationConfirm", "locationReject"))
        else:
            outcome(None)

    # what the gatekeeper asks

    def _inform(self, message: Message, source: Address, now: float) -> None:
        """Answer IRQ: about the call that is named, about all where the reference is 0 (H.225.0 §7.15)."""
        call, reference = messages.call_id(message.body), message.body["callReferenceValue"]
        calls = [one for one in self.going.values() if not reference or call == one.call]
        asked = messages.address(message.body.get("replyAddress"))
        to = asked if asked is not None and asked.host == source.host else source
        self.endpoint.reply(message, to, "infoRequestResponse", self.report(calls))

    def _drop(self, message: Message, source: Address, now: float) -> None:
        """Answer DRQ: the call is to end."""
        asked = self.going.pop(messages.call_id(message.body), None)
        self.endpoint.reply(message, source, "disengageConfirm", {})
        if asked is not None:
            self.reports.pop(asked.call, None)
            self.endpoint.tell(DropCall(asked.call))

    def _limit(self, message: Message, source: Address, now: float) -> None:
        """Answer BRQ: the call shall take this much."""
        asked = self.going.get(messages.call_id(message.body))
        wanted = message.body["bandWidth"]
        if asked is None:
            refusal = {"rejectReason": ("invalidConferenceID", None), "allowedBandWidth": 0}
            self.endpoint.reply(message, source, "bandwidthReject", refusal)
            return
        self.going[asked.call] = replace(asked, bandwidth=wanted * BITS)
        self.endpoint.tell(LimitCall(asked.call, wanted * BITS))
        self.endpoint.reply(message, source, "bandwidthConfirm", {"bandWidth": wanted})

    # reports

    def tick(self, now: float) -> None:
        """Give up calls that have waited long enough, and send reports; one that nobody takes now falls out."""
        late = [one for one in self._stranded if one.until <= now]
        self._stranded = [one for one in self._stranded if one.until > now]
        for one in late:
            one.outcome(Denied("silent"))
        for call, (due, interval) in tuple(self.reports.items()):
            if due > now:
                continue
            self.reports[call] = (now + interval, interval)
            if self.endpoint.registered:
                body = self.report([self.going[call]], unsolicited=True)
                tries = TRIES if body["needResponse"] else 1
                answers = ("infoRequestAck", "infoRequestNak")
                self.endpoint.ask("infoRequestResponse", body, lambda answer: None, now, answers, tries)

    def next_timeout(self) -> float | None:
        """Return when `tick` is wanted."""
        reports = (due for due, _ in self.reports.values())
        return min((*reports, *(one.until for one in self._stranded)), default=None)

    def report(self, calls: list[Asked], unsolicited: bool = False) -> Value:
        """Return the content of an IRR about these calls."""
        endpoint = self.endpoint
        channel: dict[str, Any] = {}
        return {
            "endpointType": endpoint_type(endpoint.config.local),
            "endpointIdentifier": endpoint.zone.endpoint,
            "rasAddress": write_address(endpoint.ras),
            "callSignalAddress": [write_address(endpoint.own_signalling)],
            "endpointAlias": messages.written(endpoint.config.aliases),
            "perCallInfo": [
                {
                    "callReferenceValue": one.reference,
                    "conferenceID": one.conference,
                    "originator": not one.answers,
                    "h245": channel,
                    "callSignalling": channel,
                    "callType": ("pointToPoint", None),
                    "bandWidth": one.bandwidth // BITS,
                    "callModel": ("direct", None),
                    "callIdentifier": {"guid": one.call},
                    "substituteConfIDs": [],
                }
                for one in calls[:MAX_REPORTED]
            ],
            "needResponse": unsolicited and endpoint.zone.reports,
            "unsolicited": unsolicited,
        }
