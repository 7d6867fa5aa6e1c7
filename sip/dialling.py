"""Placing a call: which URI and which server next, until one takes it (RFC 3261 §8.1.3.4, RFC 3263 §4.3).

A server that cannot be reached, does not answer or is at its limit gives way to the next one, and is tried last for
a while; one that names a time by Retry-After is not asked at all before it. A 3xx leads on to its contacts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.reasons import Reason, Refused
from sip.events import Flow, Target, Transport
from sip.hunt import BACK_OFF, MAX_REDIRECTIONS, Failure, Hunt
from sip.locate import Blocked, Hop
from sip.message import Response
from sip.uri import BadUri, Uri, parse_uri
from sip.values import BadValue, parse_number

MAX_RETRY_AFTER = 3_600
"""Longest Retry-After in seconds that is honoured; nobody may lock a domain out for longer."""


class Opener(Protocol):
    """The network, as far as placing a call needs it."""

    async def open(self, target: Target) -> Flow:
        """Return a flow to a target. Raises OSError."""


class Finder(Protocol):
    """Who finds the servers of a URI."""

    async def locate(self, uri: Uri, ways: Sequence[Transport]) -> list[Hop]:
        """Return where a request may go, best first."""


class Servers:
    """What is known of the servers that calls were placed through; one for all calls."""

    def __init__(self, finder: Finder) -> None:
        """Start knowing nothing."""
        self.finder = finder
        self.avoided = Blocked()
        self.barred = Blocked()

    def failed(self, hop: Hop, retry_after: float | None, now: float) -> None:
        """Remember that a server failed, or is not to be asked for some seconds."""
        if retry_after is not None:
            self.barred.block(hop, now + retry_after)
        else:
            self.avoided.block(hop, now + BACK_OFF)

    async def hops(self, uri: Uri, ways: Sequence[Transport], now: float) -> list[Hop]:
        """Return the servers of a URI that may be asked, those that failed a moment ago last.

        Raises Refused with OVERLOAD where all of them asked to be left alone.
        """
        there = await self.finder.locate(uri, ways)
        found = [hop for hop in there if not self.barred.blocks(hop, now)]
        if there and not found:
            raise Refused(Reason.OVERLOAD, "its servers asked for a pause")
        return sorted(found, key=lambda hop: self.avoided.blocks(hop, now))


class Dialling:
    """One call that we place. uri is the Request-URI in use; ways are our transports, best first."""

    def __init__(
        self,
        uri: str,
        ways: Sequence[Transport],
        servers: Servers,
        network: Opener,
        clock: Callable[[], float],
        fixed: Sequence[Flow | Target] = (),
    ) -> None:
        """Begin; fixed are the ways to that URI where they are known, as those to a registered contact are."""
        self.uri = uri
        self._ways = ways
        self._servers = servers
        self._network = network
        self._clock = clock
        self._fixed = fixed
        self._hunt = Hunt(uri)
        self._hop: Hop | Flow | Target | None = None
        self._hops: list[Hop | Flow | Target] = []
        self._why = Refused(Reason.UNREACHABLE, "no server was found")

    async def next(self, failure: Failure | None = None) -> Flow:
        """Return the flow for the next attempt; failure says how the last one ended. Raises Refused: none is left."""
        if failure is not None:
            self._learn(failure)
        while True:
            while self._hops:
                self._hop = hop = self._hops.pop(0)
                if isinstance(hop, Flow):
                    return hop
                try:
                    return await self._network.open(hop.target if isinstance(hop, Hop) else hop)
                except OSError as error:
                    self._failed(None)
                    self._why = Refused(Reason.UNREACHABLE, str(error))
            uri = self._hunt.next()
            if uri is None:
                raise self._why
            await self._enter(uri)

    async def _enter(self, text: str) -> None:
        try:
            uri = parse_uri(text)
        except BadUri as error:
            self._why = Refused(Reason.BAD_REQUEST, str(error))
            return
        self.uri = text.partition("?")[0]
        self._hops, self._fixed = list(self._fixed), ()
        if self._hops:
            return
        try:
            self._hops += await self._servers.hops(uri, self._ways, self._clock())
        except Refused as refused:
            self._why = refused

    def _failed(self, response: Response | None) -> None:
        if isinstance(self._hop, Hop):
            self._servers.failed(self._hop, retry_after(response), self._clock())

    def _learn(self, failure: Failure) -> None:
        """Decide by how the last attempt ended. Raises Refused where another one makes no sense."""
        response = failure.response
        self._why = Refused(failure.reason, f"{response.status} {response.phrase}" if response is not None else "")
        if failure.of_server:
            self._failed(response)
            return
        self._hops = []
        if not failure.redirects or not failure.contacts:
            raise self._why
        if not self._hunt.redirected(failure.contacts) and self._hunt.redirections > MAX_REDIRECTIONS:
            self._why = Refused(Reason.LOOP, "too many redirections")


def retry_after(response: Response | None) -> float | None:
    """Return the seconds of Retry-After, at most an hour; None where there is none or it makes no sense (§20.33)."""
    value = response.headers.get("Retry-After") if response is not None else None
    try:
        return float(min(parse_number(value, 2**31), MAX_RETRY_AFTER)) if value is not None else None
    except BadValue:
        return None


def dialled_uri(target: str) -> Uri:
    """Return a dialled address as a URI. Raises Refused."""
    if not target.isprintable() or " " in target:
        raise Refused(Reason.BAD_REQUEST, "an address without blanks and control characters is needed")
    try:
        uri = parse_uri(target if ":" in target.partition("@")[0] else f"sip:{target}")
    except BadUri as error:
        raise Refused(Reason.BAD_REQUEST, str(error)) from None
    if not uri.is_sip:
        raise Refused(Reason.UNSUPPORTED, f"{uri.scheme}: cannot be dialled")
    named = uri.parameters.get("transport", "").lower()
    if named not in ("", "tls") and uri.scheme == "sip" and named not in ("tcp", "udp"):
        raise Refused(Reason.UNSUPPORTED, f"transport {named} cannot be dialled")
    return uri


def trunk_target(target: str) -> Uri:
    """Return what is to be called through a trunk: a tel or sip URI, or a number alone. Raises Refused."""
    if ":" not in target.partition("@")[0]:
        target = target if "@" in target else f"tel:{target}"
    if not target.isprintable() or " " in target.strip():
        raise Refused(Reason.BAD_REQUEST, "a number without blanks and control characters is needed")
    try:
        uri = parse_uri(target.strip() if ":" in target.partition("@")[0] else f"sip:{target}")
    except BadUri as error:
        raise Refused(Reason.BAD_REQUEST, str(error)) from None
    if not uri.is_sip and uri.scheme != "tel":
        raise Refused(Reason.UNSUPPORTED, f"{uri.scheme}: cannot be dialled")
    return uri


def own_ways(udp: bool, tcp: bool, large: bool) -> list[Transport]:
    """Return our transports, best first; udp and tcp say whether these are turned on.

    Where a URI names none, an INVITE that is too large for one datagram goes by TCP, and by UDP only to peers
    that have no TCP (RFC 3261 §18.1.1).
    """
    ways = [Transport.TCP, Transport.UDP] if large else [Transport.UDP, Transport.TCP]
    off = {Transport.UDP: not udp, Transport.TCP: not tcp}
    return [*(way for way in ways if not off[way]), Transport.TLS]
