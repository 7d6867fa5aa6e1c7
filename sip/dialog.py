"""Dialogs: what two user agents share between the first response and the BYE (RFC 3261 §12).

A dialog numbers its requests, knows where the peer is (remote target, route set), and refuses what comes out of
order. It is early until a 2xx confirms it; a route set may still change until then, and never after (§12.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from sip.events import Flow, Target
from sip.headers import Headers
from sip.message import Message, Request, Response
from sip.routing import hidden, is_private, target_of
from sip.uri import BadUri, Uri
from sip.values import BadValue, parse_address

MAX_FORWARDS = "70"
"""Hops of what we send (RFC 3261 §8.1.1.6)."""

DialogKey = tuple[str, str, str]
"""Call-ID, local tag, remote tag."""


@dataclass(slots=True)
class Dialog:
    """One dialog.

    local and remote are the From and To values of our requests, tags included. routes is the route set in the order
    in which we write it. remote_cseq is -1 until the peer's first request. flow is the way that the peer's messages
    last came; direct whether no proxy is known to stand between, so that the flow leads to the peer itself.
    """

    call_id: str
    local: str
    local_tag: str
    remote: str
    remote_tag: str
    remote_target: Uri
    contact: str
    routes: tuple[str, ...] = ()
    local_cseq: int = 0
    remote_cseq: int = -1
    flow: Flow | None = None
    direct: bool = False
    allowed: frozenset[str] = frozenset()
    rseq: int = 0
    """RSeq of the last reliable 1xx that we acknowledged in this early dialog (RFC 3262 §4)."""
    described: bool = False
    """Whether the INVITE's offer has its answer, so that either side may make a new one."""

    @property
    def key(self) -> DialogKey:
        """What a dialog is found by."""
        return (self.call_id, self.local_tag, self.remote_tag)

    @classmethod
    def of_uas(cls, request: Request, local_tag: str, contact: str, flow: Flow) -> Dialog:
        """Return the dialog that answering a request with that tag makes (§12.1.1). Raises BadValue: no Contact."""
        target = contact_in(request)
        if target is None:
            raise BadValue("Contact is missing or no SIP address")
        return cls(
            call_id=request.call_id,
            local=request.tagged_to(local_tag),
            local_tag=local_tag,
            remote=request.headers.get("From") or "",
            remote_tag=request.from_.tag,
            remote_target=target,
            contact=contact,
            routes=tuple(request.routes),
            remote_cseq=request.cseq.number,
            flow=flow,
            direct=len(request.vias) == 1,
            allowed=_allowed(request),
        )

    @classmethod
    def of_uac(cls, request: Request, response: Response, contact: str, flow: Flow | None) -> Dialog:
        """Return the dialog that a response to our request makes (§12.1.2)."""
        self = cls(
            call_id=request.call_id,
            local=request.headers.get("From") or "",
            local_tag=request.from_.tag,
            remote=response.headers.get("To") or "",
            remote_tag=response.to.tag,
            remote_target=request.uri,
            contact=contact,
            local_cseq=request.cseq.number,
        )
        self.answered(response, flow)
        return self

    def answered(self, response: Response, flow: Flow | None) -> None:
        """Take route set and target of a response to the INVITE that makes the dialog (§12.1.2, §13.2.2.4)."""
        self.routes = tuple(reversed(response.routes)) if _readable(response.routes) else ()
        self.refresh(response, flow)
        host = self.remote_target.host
        if flow is not None and not self.routes:
            self.direct = host == flow.remote_address or hidden(host, flow) or is_private(host) is None

    def refresh(self, message: Message, flow: Flow | None) -> None:
        """Take the peer's new Contact (§12.2.1.2, §12.2.2), abilities and flow."""
        self.remote_target = contact_in(message) or self.remote_target
        self.allowed = _allowed(message) or self.allowed
        if flow is not None:
            self.flow = flow

    def in_order(self, request: Request) -> bool:
        """Count a request of the peer; False where its number is not above the last (§12.2.2)."""
        if request.cseq.number <= self.remote_cseq:
            return False
        self.remote_cseq = request.cseq.number
        return True

    def request(self, method: str, number: int | None = None) -> Request:
        """Return a request without Via and body (§12.2.1.1); number is the INVITE's for ACK, else the next."""
        if number is None:
            self.local_cseq += 1
            number = self.local_cseq
        target, routes = self._route()
        items = [("Max-Forwards", MAX_FORWARDS)]
        items += [("Route", route) for route in routes]
        items += [("From", self.local), ("To", self.remote), ("Call-ID", self.call_id)]
        items.append(("CSeq", f"{number} {method}"))
        if method in ("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"):
            items.append(("Contact", self.contact))
        return Request(method, target, Headers.trusted(items))

    def _route(self) -> tuple[Uri, tuple[str, ...]]:
        """Return Request-URI and Route; a strict router gets its own URI as Request-URI (§12.2.1.1)."""
        first = self._first_route()
        target = Uri(
            self.remote_target.scheme,
            self.remote_target.user,
            self.remote_target.password,
            self.remote_target.host,
            self.remote_target.port,
            {name: value for name, value in self.remote_target.parameters.items() if name != "method"},
            opaque=self.remote_target.opaque,
        )
        if first is None or first.loose:
            return target, self.routes
        return first, (*self.routes[1:], f"<{target}>")

    def _first_route(self) -> Uri | None:
        try:
            return parse_address(self.routes[0]).uri if self.routes else None
        except (BadValue, BadUri):
            return None

    def way(self) -> tuple[Flow | Target, Target | None]:
        """Return where our requests go, and where to else if that flow is gone."""
        flow = self.flow
        if flow is not None and flow.transport.web:
            return flow, None  # nothing else leads to who is behind a WebSocket (RFC 7118 §5)
        hop = self._first_route() or self.remote_target
        target = target_of(hop, flow.transport if flow else None)
        if flow is None:
            return target, None
        if self.routes:
            # the proxy nearest to us has the connection; a name says nothing against that
            near = hop.host == flow.remote_address or is_private(hop.host) is None
            reuse = flow.transport.reliable and near and target.transport is flow.transport
        else:
            reuse = self.direct and (flow.transport.reliable or hidden(hop.host, flow) or _same(target, flow))
        if not reuse:
            return target, None
        return flow, target if flow.transport.reliable and not hidden(hop.host, flow) else None


def contact_in(message: Message) -> Uri | None:
    """Return where a message says that its sender is; None where it does not, or by no SIP address (§8.1.1.8).

    One that makes no sense can only stand in a response; it leaves the target as it was.
    """
    try:
        found = next((one.uri for one in message.contacts), None)
    except (BadValue, BadUri):
        return None
    return found if found is not None and found.is_sip else None


def _readable(routes: list[str]) -> bool:
    """Tell whether a route set makes sense; along one that does not, nothing would arrive."""
    try:
        return all(parse_address(value).uri.is_sip for value in routes)
    except (BadValue, BadUri):
        return False


def _same(target: Target, flow: Flow) -> bool:
    port = target.port or target.transport.default_port
    return target.transport is flow.transport and (target.host, port) == (flow.remote_address, flow.remote_port)


def _allowed(message: Message) -> frozenset[str]:
    return frozenset(value.upper() for value in message.headers.values("Allow"))
