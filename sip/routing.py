"""Where messages go: responses by their Via, requests by route set or target, and what we call ourselves.

Beyond the RFCs' rules, two habits of the field are met: a peer that speaks to us directly from behind an address
translator is answered where it speaks from, and an open connection to a direct peer is used again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address

from sip.config import StackConfig
from sip.events import Flow, Target, Transport
from sip.message import Request
from sip.uri import Uri
from sip.values import Via

_TRANSPORTS = {transport.value: transport for transport in Transport}


@lru_cache(maxsize=1024)  # peers in use; the answer for an address never changes
def is_private(host: str) -> bool | None:
    """Tell whether an IP literal is one that only its own network reaches; None where host is a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return address.is_private


def same_family(one: str, other: str) -> bool:
    """Tell whether two hosts can be of one version of IP: a name fits both."""
    if is_private(one) is None or is_private(other) is None:
        return True
    return (":" in one) == (":" in other)


def hidden(host: str, flow: Flow) -> bool:
    """Tell whether a peer that calls itself host is behind a translator, seen from where its message came from."""
    return is_private(host) is True and host != flow.remote_address and is_private(flow.remote_address) is False


def mark_source(request: Request, flow: Flow) -> None:
    """Write received and rport into the topmost Via (RFC 3261 §18.2.1, RFC 3581 §4)."""
    via = request.via
    rport = "rport" in via.parameters
    if via.host == flow.remote_address and not rport:
        return
    parameters = dict(via.parameters)
    parameters["received"] = flow.remote_address
    if rport:
        parameters["rport"] = str(flow.remote_port)
    marked = Via(via.transport, via.host, via.port, parameters)
    rest = request.headers.values("Via")[1:]
    request.headers.set("Via", ", ".join([str(marked), *rest]))
    request.vias[0] = request.via = marked


def reply_way(request: Request, flow: Flow) -> tuple[Flow, Target | None]:
    """Return where the response to a request goes, and where to else if its connection is gone (§18.2.2)."""
    via = request.via
    port = via.port or flow.transport.default_port
    if flow.transport.reliable:
        if flow.transport.web:
            return flow, None
        return flow, Target(flow.transport, flow.remote_address, port)
    if "rport" in via.parameters or hidden(via.host, flow) or port == flow.remote_port:
        return flow, None
    return replace(flow, remote_port=port), None


def target_of(uri: Uri, preferred: Transport | None = None) -> Target:
    """Return where a request to that URI goes; preferred is the transport where the URI names none (RFC 3263 §4.1)."""
    named = uri.parameters.get("transport", "").lower()
    if named in _TRANSPORTS:
        transport = _TRANSPORTS[named]
        if uri.scheme == "sips":
            transport = Transport.WSS if transport.web else Transport.TLS
    elif uri.scheme == "sips":
        transport = Transport.TLS
    else:
        transport = preferred or Transport.UDP
    return Target(transport, uri.parameters.get("maddr") or uri.host, uri.port)


def own_address(config: StackConfig, way: Flow | Target, known: str) -> tuple[str, int | None]:
    """Return the host and port that we give as ours on that way; known is the local address of an earlier flow.

    Raises ValueError where there is none.
    """
    near = way.local_address if isinstance(way, Flow) else known
    host = config.host if not near or same_family(config.host, near) else near
    host = host or near
    if not host:
        raise ValueError("a target without flow needs a configured host")
    port = config.ports.get(way.transport)
    if port is None and isinstance(way, Flow):
        port = way.local_port
    return host, port


def own_via(config: StackConfig, way: Flow | Target, branch: str, known: str = "") -> str:
    """Return our Via; rport asks for a symmetric response (RFC 3581 §3). Raises ValueError as `own_address`."""
    host, port = own_address(config, way, known)
    return f"SIP/2.0/{way.transport.upper()} {_host_port(host, port)};branch={branch};rport"


def own_contact(config: StackConfig, way: Flow | Target, user: str, secure: bool = False, known: str = "") -> str:
    """Return our Contact; user is written as it is (escaped). Raises ValueError as `own_address`."""
    host, port = own_address(config, way, known)
    at = f"{user}@" if user else ""
    focus = ";isfocus" if config.focus else ""
    named = "" if way.transport is Transport.UDP else f";transport={way.transport.parameter}"
    if secure:
        return f"<sips:{at}{_host_port(host, port)}{named if way.transport.web else ''}>{focus}"
    return f"<sip:{at}{_host_port(host, port)}{named}>{focus}"


def _host_port(host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"
