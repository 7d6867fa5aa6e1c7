"""A flow as one line of text, to be kept in a table and shown to people (RFC 5626 §5.2 calls such a thing a token).

It never leaves the house, so it is not signed. A connection's number means nothing to another process: a flow that is
read back has none, and what is sent to it goes to its fallback.
"""

from __future__ import annotations

from ipaddress import ip_address

from sip.events import Flow, Transport


def flow_token(flow: Flow) -> str:
    """Return the flow as "transport local-address local-port remote-address remote-port"."""
    return f"{flow.transport} {flow.local_address} {flow.local_port} {flow.remote_address} {flow.remote_port}"


def read_flow_token(text: str) -> Flow:
    """Return the flow of a token, with connection 0. Raises ValueError."""
    transport, local, local_port, remote, remote_port = text.split(" ")
    ports = int(local_port), int(remote_port)
    if not all(0 <= port <= 65535 for port in ports):
        raise ValueError("no port")
    return Flow(Transport(transport), str(ip_address(local)), ports[0], str(ip_address(remote)), ports[1])
