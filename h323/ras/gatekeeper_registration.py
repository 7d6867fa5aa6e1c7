"""How the gatekeeper answers discovery and registration (H.225.0 §7.8 to §7.10, H.323 §7.2).

A registration's signalling address must be the source's own, unless the endpoint has proved an account: nobody may
have us call third parties.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from h323.ras import messages
from h323.ras.events import Registered, RegistrationRefused, Reply, Request
from h323.ras.gatekeeper_traversal import REFRESH_TIME, features, hidden, missing, tunnelled
from h323.ras.guard import Policy, Problem
from h323.ras.messages import PROTOCOL, Value
from h323.ras.registry import Registration, bare
from h323.ras.tokens import CAT, HMAC, MD5, Scheme
from h323.signalling.aliases import write_address
from h323.signalling.messages import product

if TYPE_CHECKING:
    from h323.ras.gatekeeper import Gatekeeper

MIN_TTL = 30
"""Seconds that a registration lasts at least; shorter ones only cost."""
ALIASES_OF_ONE = 32
"""Aliases that one endpoint may have."""


def discover(gk: Gatekeeper, request: Request) -> Reply | None:
    """Answer GRQ."""
    body = request.body
    wanted = messages.text_id(body.get("gatekeeperIdentifier"))
    asked = messages.address(body["rasAddress"])
    # A private address inside the message is that of one behind a translator; nobody else's is answered.
    to = asked if asked is not None and asked.host == request.source.host else request.source
    if wanted and wanted.casefold() != gk.config.name.casefold():
        if request.multicast:
            return None  # another one is meant, and hears it too
        return Reply("gatekeeperReject", {**_identity(gk), "rejectReason": ("terminalExcluded", None)}, to)
    if missing(request):
        return Reply("gatekeeperReject", {**_identity(gk), "rejectReason": ("neededFeatureNotSupported", None)}, to)
    answer = {**_identity(gk), "rasAddress": write_address(request.local), **features(gk, request)}
    if gk.guard.asks:
        answer |= _mechanism(body)
    return Reply("gatekeeperConfirm", answer, to)


def _identity(gk: Gatekeeper) -> Value:
    return {"protocolIdentifier": PROTOCOL, "gatekeeperIdentifier": gk.config.name}


def register(gk: Gatekeeper, request: Request) -> Reply | None:
    """Answer RRQ: full, additive or a light one."""
    body = request.body
    known = _known(gk, request)
    if body.get("keepAlive") and body.get("endpointIdentifier"):
        return _refresh(gk, request, known)
    names = messages.aliases(body.get("terminalAlias"))
    if missing(request):
        return _refuse(gk, request, names, ("neededFeatureNotSupported", None), "a feature that it demands")
    checked = _proved(gk, request, names, known)
    if isinstance(checked, Problem):
        return _refuse(gk, request, names, ("securityDenial", None), checked.value)
    gk.finish(checked, (_add if "additiveRegistration" in body else _register)(gk, checked, names, known))
    return None


def _known(gk: Gatekeeper, request: Request) -> Registration | None:
    return gk.registry.get(messages.text_id(request.body.get("endpointIdentifier")))


def _proved(gk: Gatekeeper, request: Request, names: tuple[str, ...], known: Registration | None) -> Request | Problem:
    """Return the request with what it proves; one who claims an account's name must prove it."""
    account = next((one for one in map(bare, names) if one in gk.guard), None)
    if account is None and known is not None and known.account:
        account = known.account
    needed = account if account is not None else ("" if gk.guard.policy is Policy.ALL else None)
    message = request.message
    verdict = gk.guard.check(
        message.data, message.name, message.body, needed, request.source.host, request.now, request.wall
    )
    return verdict.problem or replace(request, verdict=verdict)


def _refresh(gk: Gatekeeper, request: Request, known: Registration | None) -> Reply | None:
    if known is None:
        return _refuse(gk, request, (), ("fullRegistrationRequired", None), "refresh of no registration", True)
    identified = gk.identified(request, known.id)
    if isinstance(identified, Problem):
        return _refuse(gk, request, known.aliases, ("securityDenial", None), identified.value)
    if identified is None:
        return _refuse(gk, request, (), ("fullRegistrationRequired", None), "refresh from elsewhere", True)
    one = replace(known, ras=request.source, expires=request.now + known.ttl)
    if known.hidden:
        one = replace(one, signalling=request.source, local=request.local)
    gk.registry.put(one)
    gk.counters["registrations_refreshed"] += 1
    gk.finish(identified, _confirm(gk, identified, one))
    return None


def _add(gk: Gatekeeper, request: Request, names: tuple[str, ...], known: Registration | None) -> Reply:
    if known is None or known.ras.host != request.source.host:
        return _refuse(gk, request, names, ("fullRegistrationRequired", None), "nothing to add to", True)
    names = tuple(dict.fromkeys((*known.aliases, *names)))
    problem = _unfit(gk, names, known.id, request)
    if problem is not None:
        return _refuse(gk, request, names, problem, "")
    one = replace(known, aliases=names, prefixes=known.prefixes + _prefixes(gk, request), ras=request.source)
    return _keep(gk, request, one, known)


def _register(gk: Gatekeeper, request: Request, names: tuple[str, ...], known: Registration | None) -> Reply:
    body, source = request.body, request.source
    behind = hidden(gk, request)
    signalling = source if behind else messages.first_address(body["callSignalAddress"])
    if signalling is None or (signalling.host != source.host and not request.verdict.account):
        return _refuse(gk, request, names, ("invalidCallSignalAddress", None), "not the source's own")
    if known is not None and known.ras.host != source.host and known.account != request.verdict.account:
        known = None
    known = known or gk.registry.at(signalling) or _own(gk, request, names)
    id = known.id if known is not None else _new_id(gk)
    if known is None and gk.registry.full(source.host):
        return _refuse(gk, request, names, ("resourceUnavailable", None), "too many")
    problem = _unfit(gk, names, id, request)
    if problem is not None:
        return _refuse(gk, request, names, problem, "")
    ttl = min(max(body.get("timeToLive") or gk.config.ttl, MIN_TTL), gk.config.ttl)
    if behind and not tunnelled(source):
        ttl = min(ttl, REFRESH_TIME)
    verdict = request.verdict
    one = Registration(
        id=id,
        ras=source,
        signalling=signalling,
        aliases=names,
        prefixes=_prefixes(gk, request),
        account=verdict.account,
        scheme=verdict.scheme.value if verdict.scheme else "",
        kind=_kind(body["terminalType"]),
        product=product(body["terminalType"]) or product({"vendor": body["endpointVendor"]}),
        ttl=ttl,
        expires=request.now + ttl,
        hidden=behind,
        local=request.local,
    )
    return _keep(gk, request, one, known)


def _own(gk: Gatekeeper, request: Request, names: tuple[str, ...]) -> Registration | None:
    """Return the registration of the same account under a name of these: its endpoint came back elsewhere."""
    account = request.verdict.account
    found = (gk.registry.named(one) for one in names)
    return next((one for one in found if one is not None and account and one.account == account), None)


def _prefixes(gk: Gatekeeper, request: Request) -> tuple[str, ...]:
    if gk.guard.policy is not Policy.OFF and not request.verdict.account:
        return ()  # whole ranges of numbers are for those whom the house knows
    body = request.body
    found = messages.prefixes(body["terminalType"]) + messages.patterns(body.get("terminalAliasPattern"))
    return tuple(dict.fromkeys(found))


def _unfit(gk: Gatekeeper, names: tuple[str, ...], id: str, request: Request) -> Any:
    """Return the reason of RRJ where these aliases cannot be had, or None."""
    if not names and not request.body.get("terminalAliasPattern"):
        return None  # an endpoint may be known by its address alone
    taken = [one for one in names if gk.house.reserved(bare(one))]
    taken += gk.registry.conflicts(names, id)
    if gk.guard.policy is not Policy.OFF:
        own = request.verdict.account.casefold()
        taken += [one for one in names if bare(one) in gk.guard and bare(one).casefold() != own]
    if taken:
        return ("duplicateAlias", messages.written(dict.fromkeys(taken)))
    return ("invalidAlias", None) if len(names) > ALIASES_OF_ONE else None


def _new_id(gk: Gatekeeper) -> str:
    return f"{gk.rng.getrandbits(64):016x}"


def _keep(gk: Gatekeeper, request: Request, one: Registration, before: Registration | None) -> Reply:
    others = before is not None and before.account not in ("", one.account)
    if others and before is not None and (not one.account or before.ras.host != one.ras.host):
        return _refuse(gk, request, one.aliases, ("securityDenial", None), "it is another account's")
    gk.registry.put(one)
    changed = before is None or (before.aliases, before.signalling) != (one.aliases, one.signalling)
    if changed:
        gk.tell(Registered(one, before is None))
    gk.counters["registrations_added" if before is None else "registrations_refreshed"] += 1
    return _confirm(gk, replace(request, endpoint=one), one)


def _confirm(gk: Gatekeeper, request: Request, one: Registration) -> Reply:
    body: Value = {
        "protocolIdentifier": PROTOCOL,
        "callSignalAddress": [write_address(gk.signalling(request.local))],
        "gatekeeperIdentifier": gk.config.name,
        "endpointIdentifier": one.id,
        "timeToLive": one.ttl,
        "willRespondToIRR": True,
        "supportsAdditiveRegistration": None,
    }
    if one.hidden and not tunnelled(one.ras):
        body |= features(gk, request)
    if tunnelled(one.ras):
        body["maintainConnection"] = True
    if one.aliases:
        body["terminalAlias"] = messages.written(one.aliases)
    if gk.config.routed and gk.config.pregranted:
        body["preGrantedARQ"] = {
            "makeCall": True,
            "useGKCallSignalAddressToMakeCall": True,
            "answerCall": True,
            "useGKCallSignalAddressToAnswer": False,
        }
    return Reply("registrationConfirm", body)


def _refuse(
    gk: Gatekeeper, request: Request, names: tuple[str, ...], reason: Any, detail: str, quiet: bool = False
) -> Reply:
    gk.counters[f"registrations_refused.{reason[0]}"] += 1
    if not quiet:
        gk.tell(RegistrationRefused(request.source, names, reason[0], detail))
    body = {"protocolIdentifier": PROTOCOL, "rejectReason": reason, "gatekeeperIdentifier": gk.config.name}
    return Reply("registrationReject", body)


def unregister(gk: Gatekeeper, request: Request) -> Reply | None:
    """Answer URQ. One that names aliases takes back these alone."""
    identified = gk.identified(request, request.body.get("endpointIdentifier"))
    if isinstance(identified, Problem):
        return Reply("unregistrationReject", {"rejectReason": ("securityDenial", None)})
    one = identified.endpoint if identified is not None else _by_address(gk, request)
    if one is None:
        return Reply("unregistrationReject", {"rejectReason": ("notCurrentlyRegistered", None)})
    names = messages.aliases(request.body.get("endpointAlias"))
    rest = tuple(alias for alias in one.aliases if alias not in names)
    if names and rest and len(rest) < len(one.aliases):
        changed = replace(one, aliases=rest)
        gk.registry.put(changed)
        gk.tell(Registered(changed, False))
    else:
        gk.forget(one, "unregistered")
    return_to = identified if identified is not None else request
    gk.finish(return_to, Reply("unregistrationConfirm", {}))
    return None


def _by_address(gk: Gatekeeper, request: Request) -> Registration | None:
    """Return whose registration is meant where no identifier is given: old endpoints name their address alone."""
    if request.body.get("endpointIdentifier"):
        return None
    called = messages.first_address(request.body.get("callSignalAddress") or ())
    one = gk.registry.at(called) if called is not None else None
    proved = one is not None and one.scheme == Scheme.HMAC.value
    return one if one is not None and one.ras.host == request.source.host and not proved else None


def _mechanism(body: Value) -> Value:
    """Return how the endpoint shall prove its password: the strongest that it offers."""
    offered = [one for one in body.get("authenticationCapability") or () if one[0] is not None]
    kinds = [one[0] for one in offered]
    algorithms = body.get("algorithmOIDs") or ()
    if "pwdHash" in kinds and HMAC in algorithms:
        return {"authenticationMode": ("pwdHash", None), "algorithmOID": HMAC}
    for kind, oid in (("authenticationBES", CAT), ("pwdHash", MD5)):
        if kind in kinds and oid in algorithms:
            return {"authenticationMode": offered[kinds.index(kind)], "algorithmOID": oid}
    return {}


def _kind(value: Value) -> str:
    return next((one for one in ("gatekeeper", "gateway", "mcu") if one in value), "terminal")
