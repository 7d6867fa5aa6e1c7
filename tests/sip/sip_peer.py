"""One stack and a peer that is written by hand: raw requests and responses in, what the stack sent and told out."""

from __future__ import annotations

import random

from sip.config import StackConfig
from sip.events import Event, Flow, Send, Target, Transport
from sip.message import Request, Response
from sip.parser import parse
from sip.stack import Stack

OFFER = b"v=0 offer"
ANSWER = b"v=0 answer"
PEER = ("198.51.100.7", 5060)


class Peer:
    """A stack at 198.51.100.1 that we speak to by hand from 198.51.100.7."""

    def __init__(self, transport: Transport = Transport.UDP, **config: object) -> None:
        ports = {Transport.UDP: 5060, Transport.TCP: 5060, Transport.TLS: 5061}
        self.stack = Stack(StackConfig("198.51.100.1", ports, **config), random.Random(5))
        connection = 3 if transport.reliable else 0
        self.flow = Flow(transport, "198.51.100.1", 5060, *PEER, connection)
        self.now = 50.0
        self.sends: list[Send] = []
        self.sent: list[Request | Response] = []
        self.events: list[Event] = []

    def drain(self) -> list[Request | Response]:
        """Return what was sent since the last time."""
        before = len(self.sent)
        for item in self.stack.take():
            if isinstance(item, Send):
                self.sends.append(item)
                self.sent.append(parse(item.data))
            else:
                self.events.append(item)
        return self.sent[before:]

    def only(self) -> Request | Response:
        (one,) = self.drain()
        return one

    def statuses(self) -> list[object]:
        """Return what was sent since the last time: statuses and methods."""
        return [one.status if isinstance(one, Response) else one.method for one in self.drain()]

    def event(self, kind: type):
        self.drain()
        found = [event for event in self.events if isinstance(event, kind)]
        assert found, f"no {kind.__name__} among {self.events}"
        return found[-1]

    def kinds(self) -> list[str]:
        self.drain()
        return [type(event).__name__ for event in self.events]

    def pass_time(self, seconds: float) -> None:
        """Ring what is due within that time, each at its own moment."""
        end = self.now + seconds
        while (due := self.stack.next_timeout()) is not None and due <= end:
            self.now = due
            self.stack.tick(due)
        self.now = end

    def request(
        self,
        method: str,
        cseq: int = 1,
        to_tag: str = "",
        body: bytes = b"",
        extra: str = "",
        branch: str = "",
        uri: str = "sip:100@198.51.100.1",
        via: str = "",
        call_id: str = "call-1",
        content_type: str = "application/sdp",
        contact: str = "Contact: <sip:peer@198.51.100.7:5060>\r\n",
        max_forwards: int = 70,
    ) -> None:
        """Let the peer send a request."""
        branch = branch or f"z9hG4bK{method}{cseq}{to_tag}"
        transport = self.flow.transport.upper()
        via = via or f"SIP/2.0/{transport} 198.51.100.7:5060;branch={branch}"
        tag = f";tag={to_tag}" if to_tag else ""
        kind = f"Content-Type: {content_type}\r\n" if body else ""
        head = (
            f"{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: {max_forwards}\r\n"
            f"From: <sip:peer@example.org>;tag=peer\r\n"
            f"To: <sip:100@198.51.100.1>{tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{contact}"
            f"Allow: INVITE, ACK, BYE, UPDATE\r\n{extra}{kind}Content-Length: {len(body)}\r\n\r\n"
        )
        self.stack.receive(head.encode() + body, self.flow, self.now)

    def respond(
        self, request: Request, status: int, tag: str = "peer", body: bytes = b"", extra: str = "", contact: str = ""
    ) -> None:
        """Let the peer answer a request of ours."""
        to = request.headers.get("To") or ""
        to += "" if "tag=" in to or status == 100 else f";tag={tag}"
        contact = contact or "<sip:peer@198.51.100.7:5060>"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        head = (
            f"SIP/2.0 {status} x\r\nVia: {request.headers.get('Via')}\r\nFrom: {request.headers.get('From')}\r\n"
            f"To: {to}\r\nCall-ID: {request.call_id}\r\nCSeq: {request.cseq}\r\nContact: {contact}\r\n"
            f"Allow: INVITE, ACK, BYE, UPDATE\r\n{extra}{kind}Content-Length: {len(body)}\r\n\r\n"
        )
        self.stack.receive(head.encode() + body, self.flow, self.now)

    def target(self) -> Target | Flow:
        return self.flow if self.flow.transport.reliable else Target(Transport.UDP, *PEER)

    def place(self, body: bytes = OFFER):
        """Let the stack call the peer; return the session and the INVITE."""
        session = self.stack.invite(self.target(), "sip:peer@198.51.100.7", "sip:us@198.51.100.1", self.now, body)
        invite = self.only()
        assert isinstance(invite, Request)
        return session, invite

    def placed(self, body: bytes = OFFER):
        """Like `place`, answered and acknowledged."""
        session, invite = self.place(body)
        self.respond(invite, 200, body=ANSWER)
        if not body:
            assert self.stack.ack_with(session, ANSWER, self.now)
        self.drain()
        return session, invite

    def arrived(self, body: bytes = OFFER) -> tuple:
        """Let the peer call; return the session and our tag once the call stands."""
        from sip.events import InviteReceived

        self.request("INVITE", body=body)
        session = self.event(InviteReceived).session
        assert self.stack.accept(session, ANSWER, self.now)
        tag = self.drain()[-1].to.tag
        self.request("ACK", to_tag=tag, body=b"" if body else OFFER)
        self.drain()
        return session, tag

    def settled(self) -> bool:
        """Let all timers run out; tell whether nothing is left over."""
        self.pass_time(400)
        self.drain()
        return not any(self.stack.sizes().values())
