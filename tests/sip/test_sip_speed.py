"""What one call costs the SIP core in processor time."""

from __future__ import annotations

import random
import time

from sip.config import StackConfig
from sip.events import AckReceived, Ended, Flow, InviteReceived, Send, Transport
from sip.stack import Stack

FLOW = Flow(Transport.UDP, "192.0.2.2", 5060, "192.0.2.1", 5060)
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8 96\r\n" * 6
BOUND = 2e-3
"""Seconds of processor time for INVITE, 100, 200, ACK, BYE, 200 and what their timers take: three times what it is, for
other work on the machine makes each instruction slower."""


def message(method: str, number: int, tag: str, cseq: int, body: bytes = b"") -> bytes:
    to = f";tag={tag}" if tag else ""
    return (
        f"{method} sip:100@192.0.2.2 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{number}{method};rport\r\n"
        f'Max-Forwards: 70\r\nFrom: "Alice" <sip:alice@192.0.2.1>;tag=a{number}\r\nTo: <sip:100@192.0.2.2>{to}\r\n'
        f"Call-ID: {number}@192.0.2.1\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@192.0.2.1:5060>\r\n"
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE\r\nSupported: replaces, timer\r\n"
        f"User-Agent: Phone 1.0\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def call(stack: Stack, number: int, now: float) -> None:
    stack.receive(message("INVITE", number, "", 1, SDP), FLOW, now)
    arrived = next(item for item in stack.take() if isinstance(item, InviteReceived))
    stack.accept(arrived.session, SDP, now)
    answer = next(item for item in stack.take() if isinstance(item, Send))
    tag = answer.data.decode().split("\r\nTo: ")[1].split("\r\n")[0].partition(";tag=")[2]
    stack.receive(message("ACK", number, tag, 1), FLOW, now)
    assert any(isinstance(item, AckReceived) for item in stack.take())
    stack.receive(message("BYE", number, tag, 2), FLOW, now)
    assert any(isinstance(item, Ended) for item in stack.take())
    stack.tick(now)
    stack.next_timeout()


def test_a_call_costs_less_than_its_bound_and_lingers_no_longer_than_its_timers() -> None:
    stack = Stack(StackConfig("192.0.2.2", {Transport.UDP: 5060}), random.Random(1))
    costs = []
    for batch in range(10):
        begin = time.process_time()
        for number in range(50):
            count = batch * 50 + number
            call(stack, count, 1000.0 + count / 100)
        costs.append((time.process_time() - begin) / 50)
    print(f"a call costs {min(costs) * 1e6:.0f} µs at best, {sorted(costs)[5] * 1e6:.0f} µs at the median")
    assert min(costs) < BOUND
    stack.tick(1100.0)
    assert not any(stack.sizes().values())
