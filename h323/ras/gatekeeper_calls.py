"""How the gatekeeper answers what concerns calls: admission, bandwidth, disengage, reports, location (H.323 §8).

Where a call leads the house says (its dial plan). What leads into the house, or is routed, is sent to our own
signalling; else the caller is told the other endpoint's address. What nobody here knows is asked of the neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from h323.ras import messages
from h323.ras.admissions import IRR_INTERVAL, Admission
from h323.ras.events import AdmissionRefused, Admitted, Leads, Reply, Request
from h323.ras.guard import Problem
from h323.ras.messages import BITS, PROTOCOL, Message, Value
from h323.ras.registry import Registration
from h323.signalling.aliases import read_dialled, write_address
from h323.signalling.events import Address

if TYPE_CHECKING:
    from collections.abc import Callable

    from h323.ras.gatekeeper import Gatekeeper

SEARCH_TIME = 9_000
"""Milliseconds that an endpoint is asked to wait while neighbours are: three tries of 3 s (RIP)."""
FIRST_HOPS = 7
"""Gatekeepers that a location request of ours may pass (hopCount)."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a call goes: an address and the call model, or the reason of ARJ why it goes nowhere."""

    address: Address | None
    model: str = "direct"
    reason: str = "calledPartyNotRegistered"


# admission


def admit(gk: Gatekeeper, request: Request) -> Reply | None:
    """Answer ARQ."""
    body = request.body
    identified = gk.identified(request, body["endpointIdentifier"])
    called = messages.aliases(body.get("destinationInfo"))
    if isinstance(identified, Problem):
        return _reject(gk, request, called, "securityDenial")
    if identified is None or identified.endpoint is None:
        return _reject(gk, request, called, "callerNotRegistered")
    endpoint = identified.endpoint
    way: Way | None = Way(gk.signalling(request.local) if endpoint.hidden else endpoint.signalling, "answered")
    if not body["answerCall"]:
        way = _way(gk, called, messages.address(body.get("destCallSignalAddress")), endpoint, request)
    if way is not None:
        gk.finish(identified, _grant(gk, identified, endpoint, called, way))
        return None
    gk.busy.add((request.source, request.message.sequence))
    gk.finish(identified, Reply("requestInProgress", {"delay": SEARCH_TIME}), keep=False)

    def found(address: Address | None) -> None:
        gk.busy.discard((request.source, request.message.sequence))
        gk.finish(identified, _grant(gk, identified, endpoint, called, Way(address)))

    search(gk, called, request.local, found, request.now, gk.config.neighbours)
    return None


def _way(
    gk: Gatekeeper, called: tuple[str, ...], address: Address | None, caller: Registration | None, request: Request
) -> Way | None:
    """Return where a call goes; None where the neighbours are to be asked."""
    here = Way(gk.signalling(request.local), "gatekeeperRouted")
    peer = f"{request.source.host}:{request.source.port}"
    for alias in called:
        leads = gk.house.leads(read_dialled(alias).alias, caller, peer)
        if leads is Leads.HERE:
            return here
        if leads is Leads.REFUSED:
            return Way(None, reason="requestDenied")
        one = gk.registry.find(alias)
        if one is not None:
            # A call from or to somebody behind a translator passes here, signalling and media.
            behind = one.hidden or (caller is not None and caller.hidden)
            return here if gk.config.routed or behind else Way(one.signalling)
    if address is not None and not called:
        routed = gk.config.routed and gk.registry.at(address) is not None
        return here if routed or address == here.address else Way(address)
    return None if called and gk.config.neighbours else Way(None)


def _grant(gk: Gatekeeper, request: Request, endpoint: Registration, called: tuple[str, ...], way: Way) -> Reply:
    body = request.body
    if way.address is None:
        return _reject(gk, request, called, way.reason, endpoint)
    answers = bool(body["answerCall"])
    key = (endpoint.id, messages.call_id(body), answers)
    wanted = body["bandWidth"] * BITS
    allowed = gk.admissions.allowed(key, wanted)
    if allowed < min(wanted, BITS) or (wanted and allowed <= 0):
        return _reject(gk, request, called, "resourceUnavailable", endpoint)
    reference, conference = body["callReferenceValue"], bytes(body["conferenceID"])
    admission = Admission(endpoint.id, key[1], answers, reference, conference, allowed, request.now)
    if not gk.admissions.put(admission):
        return _reject(gk, request, called, "resourceUnavailable", endpoint)
    gk.counters["admissions.granted"] += 1
    gk.tell(Admitted(endpoint.name, _without_pin(called), way.model))
    model = "gatekeeperRouted" if way.model == "gatekeeperRouted" else "direct"
    return Reply(
        "admissionConfirm",
        {
            "bandWidth": allowed // BITS,
            "callModel": (model, None),
            "destCallSignalAddress": write_address(way.address),
            "irrFrequency": IRR_INTERVAL,
            "willRespondToIRR": True,
            "uuiesRequested": messages.uuies(),
        },
    )


def _without_pin(called: tuple[str, ...]) -> str:
    """Return what was dialled, for the log: the PIN of a room may stand behind its name."""
    return ", ".join(read_dialled(alias).alias for alias in called)


def _reject(
    gk: Gatekeeper, request: Request, called: tuple[str, ...], reason: str, endpoint: Registration | None = None
) -> Reply:
    gk.counters[f"admissions.{reason}"] += 1
    name = endpoint.name if endpoint is not None else f"{request.source.host}:{request.source.port}"
    gk.tell(AdmissionRefused(name, _without_pin(called), reason))
    return Reply("admissionReject", {"rejectReason": (reason, None)})


# what follows in the call


def change_bandwidth(gk: Gatekeeper, request: Request) -> Reply | None:
    """Answer BRQ."""
    identified = gk.identified(request, request.body["endpointIdentifier"])
    if not isinstance(identified, Request):
        reason = "notBound" if identified is None else "securityDenial"
        return _no_bandwidth(reason, 0)
    one = _admission(gk, identified)
    if one is None:
        return _no_bandwidth("invalidConferenceID", 0)
    wanted = request.body["bandWidth"] * BITS
    allowed = gk.admissions.allowed(one.key, wanted)
    if allowed < wanted:
        gk.counters["bandwidth_refused"] += 1
        return _no_bandwidth("insufficientResources", max(allowed, one.bandwidth) // BITS)
    gk.admissions.put(replace(one, bandwidth=wanted, heard=request.now, asked=False))
    gk.finish(identified, Reply("bandwidthConfirm", {"bandWidth": wanted // BITS}))
    return None


def _no_bandwidth(reason: str, allowed: int) -> Reply:
    return Reply("bandwidthReject", {"rejectReason": (reason, None), "allowedBandWidth": allowed})


def _admission(gk: Gatekeeper, request: Request) -> Admission | None:
    """Return the end of the call that is meant, whichever of the two it says it is."""
    endpoint = request.endpoint.id if request.endpoint is not None else ""
    call, answered = messages.call_id(request.body), bool(request.body.get("answeredCall"))
    return gk.admissions.get((endpoint, call, answered)) or gk.admissions.get((endpoint, call, not answered))


def disengage(gk: Gatekeeper, request: Request) -> Reply | None:
    """Answer DRQ. A call that is not known is over all the same."""
    identified = gk.identified(request, request.body["endpointIdentifier"])
    if not isinstance(identified, Request):
        reason = "notRegistered" if identified is None else "securityDenial"
        return Reply("disengageReject", {"rejectReason": (reason, None)})
    one = _admission(gk, identified)
    if one is not None:
        gk.admissions.remove(one.key)
        gk.counters["disengaged"] += 1
    gk.finish(identified, Reply("disengageConfirm", {}))
    return None


def hear_of_calls(gk: Gatekeeper, request: Request) -> Reply | None:
    """Take an IRR, asked for or not: the calls that it names go on."""
    body = request.body
    identified = gk.identified(request, body["endpointIdentifier"])
    wants = bool(body.get("needResponse"))
    if not isinstance(identified, Request) or identified.endpoint is None:
        reason = "notRegistered" if identified is None else "securityDenial"
        return Reply("infoRequestNak", {"nakReason": (reason, None)}) if wants else None
    for one in body.get("perCallInfo") or ():
        call = messages.call_id(one)
        for answers in (False, True):
            admission = gk.admissions.get((identified.endpoint.id, call, answers))
            if admission is not None:
                admission.heard, admission.asked = request.now, False
    if wants:
        gk.finish(identified, Reply("infoRequestAck", {}))
    return None


def ask_the_silent(gk: Gatekeeper, now: float) -> None:
    """Ask for calls of which nothing was heard for long (IRQ), and give up those that were asked for in vain."""
    for one in gk.admissions.silent(now):
        endpoint = gk.registry.get(one.endpoint)
        if one.asked or endpoint is None:
            gk.admissions.remove(one.key)
            gk.counters["calls_given_up"] += 1
            continue
        one.asked = True
        body: Value = {"callReferenceValue": one.reference, "callIdentifier": {"guid": one.call}}
        gk.ask(endpoint, "infoRequest", body, ("infoRequestResponse",), now, tries=2, answer=_answered(gk, now))


def _answered(gk: Gatekeeper, now: float) -> Callable[[Message | None], None]:
    def answer(message: Message | None) -> None:
        endpoint = gk.registry.get(messages.text_id(message.body["endpointIdentifier"])) if message else None
        if message is None or endpoint is None:
            return
        for info in message.body.get("perCallInfo") or ():
            for end in gk.admissions.ends(messages.call_id(info)):
                if end.endpoint == endpoint.id:
                    end.heard, end.asked = now, False

    return answer


def hear_of_resources(gk: Gatekeeper, request: Request) -> Reply | None:
    """Answer RAI: a gateway that is almost out of resources is taken last."""
    identified = gk.identified(request, request.body["endpointIdentifier"])
    if not isinstance(identified, Request) or identified.endpoint is None:
        return None  # there is no reject of RAI
    one = replace(identified.endpoint, busy=bool(request.body["almostOutOfResources"]))
    gk.registry.put(one)
    gk.finish(identified, Reply("resourcesAvailableConfirm", {"protocolIdentifier": PROTOCOL}))
    return None


def serve_control(gk: Gatekeeper, request: Request) -> Reply | None:
    """Answer SCI: no service is controlled here."""
    return Reply("serviceControlResponse", {"result": ("notAvailable", None)})


# location


def locate(gk: Gatekeeper, request: Request) -> Reply | None:
    """Answer LRQ of a neighbour, or of an endpoint of ours."""
    body = request.body
    to = messages.address(body["replyAddress"])
    to = to if to is not None and to.host == request.source.host else request.source
    endpoint: Registration | None = None
    if body.get("endpointIdentifier"):
        identified = gk.identified(request, body["endpointIdentifier"])
        endpoint = identified.endpoint if isinstance(identified, Request) else None
    if endpoint is None and request.source.host not in {one.host for one in gk.config.neighbours}:
        gk.counters["locations.denied"] += 1
        return Reply("locationReject", {"rejectReason": ("requestDenied", None)}, to)
    called = messages.aliases(body["destinationInfo"])
    way = _way(gk, called, None, endpoint, request) if called else Way(None)
    if way is None or way.address is None:
        gk.counters["locations.unknown"] += 1
        refused = way is not None and way.reason == "requestDenied"
        return Reply("locationReject", {"rejectReason": ("requestDenied" if refused else "notRegistered", None)}, to)
    gk.counters["locations.found"] += 1
    found = {"callSignalAddress": write_address(way.address), "rasAddress": write_address(request.local)}
    return Reply("locationConfirm", found, to)


def search(
    gk: Gatekeeper,
    called: tuple[str, ...],
    local: Address,
    found: Callable[[Address | None], None],
    now: float,
    places: tuple[Address, ...],
) -> None:
    """Ask gatekeepers, all at once, where an alias is; found is called once, with the first address that one tells."""
    waiting = [len(places)]
    destination = messages.written(called)
    if not waiting[0] or not destination:
        found(None)
        return
    body: Any = {
        "destinationInfo": destination,
        "replyAddress": write_address(local),
        "gatekeeperIdentifier": gk.config.name,
        "sourceInfo": messages.written((gk.config.name,)),
        "hopCount": FIRST_HOPS,
    }

    def answer(message: Message | None) -> None:
        waiting[0] -= 1
        if waiting[0] < 0:
            return
        address = messages.address(message.body["callSignalAddress"]) if _confirms(message) and message else None
        if address is not None:
            waiting[0] = 0
            found(address)
        elif waiting[0] == 0:
            found(None)

    for neighbour in places:
        gk.requests.ask(
            lambda number: messages.write("locationRequest", {"requestSeqNum": number, **body}),
            [neighbour],
            answer,
            now,
            ("locationConfirm", "locationReject"),
        )


def _confirms(message: Message | None) -> bool:
    return message is not None and message.name == "locationConfirm"
