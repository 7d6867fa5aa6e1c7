"""Damaged, random and hostile messages: never an exception, never growth."""

from __future__ import annotations

import random
import time

import pytest
from sip_pair import OFFER, Pair, Side

from gateway.reasons import Reason
from sip.events import Flow, InviteReceived, Send, Transport
from sip.parser import MAX_HEADERS, MAX_LINE, MAX_MESSAGE, Malformed, parse

PIECES = [
    b"\r\n", b"\n", b"\r", b"\x00", b"\xff\xfe", b" ", b"\t", b",", b";", b"<", b">", b'"', b"\\", b"@", b":", b"::1]",
    b"[", b"%", b"%00", b"z9hG4bK", b"SIP/2.0", b"tag=", b"Via: ", b"Route: <sip:a;lr>\r\n", b"99999999999999999999",
    b"-1", b"Contact: *\r\n", b"Content-Length: 0\r\n", b"sips:", b"tel:", b"\xe2\x80\xae", b"Require: a\r\n", b"",
]  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return a message with a few random cuts, insertions and changed octets."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        choice = rng.randrange(4)
        if choice == 0:
            data = data[:at] + rng.choice(PIECES) + data[at:]
        elif choice == 1:
            data = data[:at] + data[at + rng.randint(1, 30) :]
        elif choice == 2:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        else:
            data = data[:at]
    return data


def samples() -> list[bytes]:
    """All messages of a call with everything in it."""
    pair = Pair()
    ours, theirs = pair.call()
    pair.alice.stack.reinvite(ours, OFFER, pair.now)
    pair.run(0.1)
    pair.bob.stack.answer_reinvite(theirs, OFFER, pair.now)
    pair.run(0.1)
    pair.bob.stack.update(theirs, OFFER, pair.now)
    pair.alice.stack.info(ours, "application/dtmf", b"1", pair.now)
    pair.run(0.1)
    pair.alice.stack.hang_up(ours, Reason.NORMAL, pair.now)
    pair.run(0.1)
    return [send.data for send in pair.alice.sent + pair.bob.sent]


@pytest.mark.parametrize("seed", range(4))
def test_damaged_messages_never_raise_and_leave_nothing_over(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    good = samples()
    pair = Pair(seed)
    for _ in range(1500):
        pair.now += 0.01
        pair.bob.stack.receive(damaged(rng.choice(good), rng), pair.flow(pair.bob), pair.now)
        for item in pair.bob.stack.take():
            if isinstance(item, InviteReceived):
                rng.choice([_accept, _refuse, _ring])(pair, pair.bob, item)
            elif isinstance(item, Send):
                item.data.decode("utf-8", "surrogateescape")
    assert pair.bob.stack.counters()["malformed"] > 50
    for _ in range(30):
        pair.run(30)
    assert not any(pair.bob.stack.sizes().values()), pair.bob.stack.sizes()


def _accept(pair: Pair, side: Side, event: InviteReceived) -> None:
    assert side.stack.accept(event.session, OFFER, pair.now)


def _refuse(pair: Pair, side: Side, event: InviteReceived) -> None:
    assert side.stack.refuse(event.session, 486, pair.now)


def _ring(pair: Pair, side: Side, event: InviteReceived) -> None:
    assert side.stack.ringing(event.session, pair.now)


@pytest.mark.parametrize("seed", range(4))
def test_random_octets_are_dropped_and_counted(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    pair = Pair(seed)
    for _ in range(300):
        pair.bob.stack.receive(rng.randbytes(rng.randint(0, 400)), pair.flow(pair.bob), pair.now)
    assert pair.bob.stack.take() == []
    assert pair.bob.stack.counters()["malformed"] == 300


def test_our_own_answers_can_be_read_again() -> None:
    for data in samples():
        assert parse(data).to_bytes() == data


HEAD = (
    b"OPTIONS sip:a@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKb\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:a@192.0.2.2>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n"
)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\n", 400),
        (HEAD + b"X: " + b"y" * MAX_LINE + b"\r\n\r\n", 400),
        (HEAD + b"X: y\r\n" + b" fold\r\n" * (MAX_LINE // 4) + b"\r\n", 400),
        (HEAD + b"\r\n" + b"x" * MAX_MESSAGE, 513),
    ],
    ids=["headers", "line", "folds", "message"],
)
def test_what_is_over_a_bound_is_answered(data: bytes, status: int) -> None:
    with pytest.raises(Malformed) as caught:
        parse(data)
    assert caught.value.status == status
    pair = Pair()
    pair.bob.stack.receive(data, pair.flow(pair.bob), pair.now)
    (answer,) = pair.bob.stack.take()
    assert isinstance(answer, Send)
    assert answer.data.startswith(f"SIP/2.0 {status} ".encode())
    assert not any(pair.bob.stack.sizes().values())


def test_over_the_bound_of_sessions_an_invite_gets_503_and_calls_in_progress_can_end() -> None:
    pair = Pair(max_sessions=1)
    ours, _ = pair.call()
    pair.alice.stack.hang_up(ours, Reason.NORMAL, pair.now)
    pair.drain()
    other = Pair(seed=9, max_sessions=5)
    other.alice.stack.invite(other.target(other.bob), "sip:1@192.0.2.2", "sip:z@192.0.2.1", other.now, OFFER)
    (send,) = [item for item in other.alice.stack.take() if isinstance(item, Send)]
    pair.bob.stack.receive(send.data, pair.flow(pair.bob), pair.now)
    refusal = next(item for item in pair.bob.stack.take() if isinstance(item, Send))
    assert refusal.data.startswith(b"SIP/2.0 503 ")
    assert b"\r\nRetry-After: " in refusal.data
    pair.run(120)
    assert pair.empty()


def test_a_flood_of_requests_is_answered_without_state_at_the_bound() -> None:
    pair = Pair(max_transactions=50)
    for number in range(500):
        data = HEAD.replace(b"z9hG4bKb", b"z9hG4bK%d" % number).replace(b"Call-ID: c", b"Call-ID: %d" % number)
        pair.bob.stack.receive(data + b"\r\n", pair.flow(pair.bob), pair.now)
    assert pair.bob.stack.sizes()["transactions"] == 50
    assert pair.bob.stack.counters()["refused.503"] == 450
    pair.run(200)
    assert not any(pair.bob.stack.sizes().values())


def test_a_flood_of_acks_and_responses_leaves_nothing() -> None:
    pair = Pair()
    flow = Flow(Transport.UDP, "192.0.2.2", 5060, "203.0.113.9", 5060)
    for number in range(200):
        ack = HEAD.replace(b"OPTIONS", b"ACK").replace(b"Call-ID: c", b"Call-ID: %d" % number) + b"\r\n"
        pair.bob.stack.receive(ack, flow, pair.now)
        pair.bob.stack.receive(HEAD.replace(b"OPTIONS sip:a@192.0.2.2 SIP/2.0", b"SIP/2.0 200 OK") + b"\r\n", flow, 0)
    assert pair.bob.stack.take() == []
    assert not any(pair.bob.stack.sizes().values())


BLANK = b" " * 8_000
LONG = b" " * 60_000


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Contact: " + BLANK + b'"<\r\n\r\n',
        HEAD + b"Contact: <" + BLANK + b"<\r\n\r\n",
        HEAD + b"Contact: <sip:a@b>" + BLANK + b"x\r\n\r\n",
        HEAD + b'Contact: "' + b"\\\\" * 4_000 + b"<\r\n\r\n",
        HEAD + b"Via: SIP/2.0/UDP a" + BLANK + b"x\r\n\r\n",
        HEAD + b"Via: SIP" + BLANK + b"/2.0/UDP a\r\n\r\n",
        HEAD + b"Via: " + b"SIP/2.0/UDP a," * 4_000 + b"\r\n\r\n",
        HEAD + b"Max-Forwards: 1" + BLANK + b"x\r\n\r\n",
        HEAD + b"X:" + LONG + b"x\r\n y\r\n\r\n",
        HEAD + (b"X: " + b'"a,' * 2_000 + b"\r\n") * 9 + b"\r\n",
        (HEAD + b"\r\n").replace(b"OPTIONS sip:a@192.0.2.2 SIP/2.0", b"SIP/2.0 200" + LONG + b"x"),
        (HEAD + b"\r\n").replace(b"sip:a@192.0.2.2 SIP/2.0", b"sip:a@192.0.2.2" + LONG + b"SIP"),
        b"\n" * 65_000,
        b"\r\n\r" * 16_000,
        b"A " * 32_000 + b"SIP/2.0\r\n\r\n",
        HEAD + b"Route: " + b"<sip:a;lr>," * 700 + b"\r\n\r\n",
    ],
)
def test_no_message_takes_long_to_read(data: bytes) -> None:
    pair = Pair()
    begin = time.process_time()
    pair.bob.stack.receive(data, pair.flow(pair.bob), pair.now)
    assert time.process_time() - begin < 0.1


def test_a_request_whose_deeper_via_makes_no_sense_is_answered() -> None:
    pair = Pair()
    data = HEAD + b"Via: SIP/2.0/UDP 192.0.2.15;;,;,,\r\n\r\n"
    pair.bob.stack.receive(data, pair.flow(pair.bob), pair.now)
    (answer,) = pair.bob.stack.take()
    assert isinstance(answer, Send)
    assert answer.data.startswith(b"SIP/2.0 400 Bad Request: Via makes no sense\r\n")


def test_a_request_that_nobody_could_be_answered_for_is_dropped_and_counted() -> None:
    pair = Pair()
    for line in (b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKb\r\n", b"Call-ID: c\r\n"):
        pair.bob.stack.receive(HEAD.replace(line, b"") + b"\r\n", pair.flow(pair.bob), pair.now)
    assert pair.bob.stack.take() == []
    assert pair.bob.stack.counters() == {"malformed": 2, "dropped.headless": 2}
