"""What a SIP request says of a call, as plain facts; all text of the peer's is cleaned and cut."""

from __future__ import annotations

from gateway.calls import MAX_HOPS, CallFacts, CallProtocol, Direction
from gateway.text import clean
from sip.events import Flow
from sip.message import Request
from sip.uri import Uri

MAX_NAME = 64
"""Characters of a display name; a tile has room for about 30."""
MAX_ALIAS = 128
"""Characters of what was dialled; a room's id is shorter by far."""
MAX_AGENT = 128
"""Characters of a product's name."""
MAX_ADDRESS = 256
"""Characters of the caller's address."""


def call_facts(request: Request, flow: Flow, account: str = "") -> CallFacts:
    """Return the facts of an INVITE: `sip:ROOM*PIN@host` dials a room with its PIN.

    Raises BadValue or BadUri; the parser has looked at the headers that can.
    """
    called, pin = dialled(request.uri)
    caller = request.from_
    address = clean(str(caller.uri.bare()), MAX_ADDRESS)
    return CallFacts(
        protocol=CallProtocol.SIP,
        direction=Direction.INCOMING,
        source=source(flow),
        caller=address,
        name=clean(caller.shown, MAX_NAME) or clean(caller.uri.name, MAX_NAME) or clean(caller.uri.host, MAX_NAME),
        called=called,
        pin=pin,
        secure=flow.transport.secure,
        agent=clean(request.headers.get("User-Agent") or "", MAX_AGENT),
        peer_call_id=clean(request.call_id, MAX_ADDRESS),
        account=account,
        hops=min(MAX_HOPS, request.max_forwards),
    )


def dialled(uri: Uri) -> tuple[str, str | None]:
    """Return the alias and PIN that a Request-URI dials: "100*4711", or "##100#4711" as one would on H.323."""
    user = clean(uri.name, MAX_ALIAS)
    if user.startswith("##"):
        alias, mark, pin = user[2:].partition("#")
    else:
        alias, mark, pin = user.partition("*")
    return alias.strip(), pin.strip().rstrip("#") or None if mark else None


def source(flow: Flow) -> str:
    """Return the peer's "address:port"."""
    host = f"[{flow.remote_address}]" if ":" in flow.remote_address else flow.remote_address
    return f"{host}:{flow.remote_port}"
