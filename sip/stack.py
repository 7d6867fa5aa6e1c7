"""The SIP stack without I/O: messages and a clock in; messages to send and events out."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence

from gateway.reasons import Reason
from sip.config import StackConfig
from sip.events import Event, Flow, RequestId, Send, SessionId, Target
from sip.message import Message

HeaderList = Sequence[tuple[str, str]]


class Stack:
    """All transactions, dialogs and calls of one user agent.

    `now` is always the time in seconds of one monotonic clock. After every call of a method that takes it, drain
    `take` and look at `next_timeout`. Actions return False, and do nothing, where the session is gone or its state
    does not allow them (the peer may have hung up a moment ago); they never raise for what the peer did.
    """

    def __init__(self, config: StackConfig, rng: random.Random | None = None) -> None:
        """Start empty. rng gives tags, branches and waiting times; by default the system's secure source."""

    def receive(self, data: bytes | Message, flow: Flow, now: float) -> None:
        """Take one whole message: a datagram, or what `StreamFramer` cut. Bad ones are answered or counted."""

    def closed(self, flow: Flow, now: float) -> None:
        """Say that a connection is gone; calls are kept until a request of theirs fails."""

    def unreachable(self, send: Send, now: float) -> None:
        """Say that a `Send` could not be put on the wire (no route, refused, name unknown, TLS failed)."""

    def next_timeout(self) -> float | None:
        """When `tick` is to be called next, or None."""

    def tick(self, now: float) -> None:
        """Do what is due."""

    def take(self) -> list[Send | Event]:
        """Return what there is to send and to hear of since the last time, in order."""

    def counters(self) -> dict[str, int]:
        """Return the counts of what was received, sent, malformed, refused and dropped, by name."""

    # calls that arrive

    def ringing(self, session: SessionId, now: float) -> bool:
        """Send 180."""

    def progress(self, session: SessionId, body: bytes, now: float, content_type: str = "application/sdp") -> bool:
        """Send 183 with early media."""

    def accept(
        self,
        session: SessionId,
        body: bytes,
        now: float,
        content_type: str = "application/sdp",
        headers: HeaderList = (),
    ) -> bool:
        """Send 200 with the answer, or the offer where the INVITE had none; it is repeated until the ACK comes."""

    def refuse(self, session: SessionId, status: int, now: float, text: str = "", headers: HeaderList = ()) -> bool:
        """Send a final 3xx to 6xx; text is the reason phrase, empty for the usual one."""

    def answer_reinvite(
        self, session: SessionId, body: bytes, now: float, content_type: str = "application/sdp"
    ) -> bool:
        """Send 200 to the peer's re-INVITE."""

    def refuse_reinvite(
        self, session: SessionId, status: int, now: float, text: str = "", headers: HeaderList = ()
    ) -> bool:
        """Send a final 3xx to 6xx to the peer's re-INVITE; the call stays as it was."""

    # calls that we place

    def invite(
        self,
        target: Target | Flow,
        uri: str,
        sender: str,
        now: float,
        body: bytes = b"",
        content_type: str = "application/sdp",
        to: str | None = None,
        route: Sequence[str] = (),
        headers: HeaderList = (),
        max_forwards: int = 70,
    ) -> SessionId:
        """Place a call to uri through target. Raises ValueError where uri, sender, to or a route makes no sense.

        sender and to are From and To as name-addr or URI without tag; to is uri by default. route is a preloaded
        route set. body empty: the peer makes the offer. Where the bounds are reached the session ends at once with
        OVERLOAD.
        """

    def ack_with(self, session: SessionId, body: bytes, now: float, content_type: str = "application/sdp") -> bool:
        """Send the ACK with our answer to an offer that came in the 2xx to our (re-)INVITE without offer."""

    # calls both ways

    def hang_up(self, session: SessionId, reason: Reason, now: float) -> bool:
        """End the call in whatever state it is: refuse, CANCEL or BYE, with a Reason header (RFC 3326)."""

    def reinvite(self, session: SessionId, body: bytes, now: float, content_type: str = "application/sdp") -> bool:
        """Send a re-INVITE; body empty asks the peer for an offer. False while another change is under way."""

    def update(self, session: SessionId, body: bytes, now: float, content_type: str = "application/sdp") -> bool:
        """Send an UPDATE (RFC 3311). False while another change is under way, or where the peer does not allow it."""

    def info(self, session: SessionId, content_type: str, body: bytes, now: float) -> RequestId | None:
        """Send an INFO; `InfoAnswered` tells what became of it. None where the session has no dialog."""

    def busy(self, session: SessionId) -> bool:
        """Tell whether an offer is under way, so that `reinvite` and `update` would return False."""

    # requests outside calls

    def respond(
        self,
        request_id: RequestId,
        status: int,
        now: float,
        body: bytes = b"",
        content_type: str = "application/sdp",
        text: str = "",
        headers: HeaderList = (),
    ) -> bool:
        """Answer an UPDATE, INFO, OPTIONS or other request. What nobody answers gets 500 after 30 s."""

    def request(
        self,
        method: str,
        target: Target | Flow,
        uri: str,
        sender: str,
        now: float,
        to: str | None = None,
        headers: HeaderList = (),
        body: bytes = b"",
        content_type: str = "",
        call_id: str | None = None,
        cseq: int = 1,
    ) -> RequestId:
        """Send a request outside of any dialog (OPTIONS, REGISTER, MESSAGE); `RequestAnswered` tells the outcome."""


def default_rng() -> random.Random:
    """Return the system's secure source of chance."""
    return secrets.SystemRandom()
