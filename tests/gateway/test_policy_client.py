"""The external policy over HTTP: what is asked, what is understood, and what becomes of no good answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_desk import facts

from gateway.policy_client import MAX_ANSWER, PolicyClient, PolicySettings
from gateway.reasons import Reason, Refused
from gateway.rooms.dial_plan import Refuse, ToCall, ToRoom
from gateway.rooms.model import Rank
from gateway.rooms.policy import NOTHING_SAID, Decision, question, read_answer

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Program:
    """A web server of few words that notes what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[str] = []
        self.heads: list[str] = []
        self.url = ""
        self._answer = answer
        self._serving: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:  # the client gave up before it had asked
            writer.close()
            return
        self.heads.append(head.lower())
        self.asked.append(head.split()[1])
        try:
            with suppress(ConnectionError):
                await self._answer(writer)
        finally:
            writer.transport.abort() if self._answer is floods else writer.close()


def says(body: bytes, status: str = "200 OK", headers: str = "") -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return answer


async def nothing(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def drips(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def floods(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        writer.write(b" " * 65536)
        await writer.drain()


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    pass


@asynccontextmanager
async def program(
    answer: Answer, refuse: bool = True, token: str | None = None, patience: float = 10.0
) -> AsyncIterator[tuple[Program, PolicyClient]]:
    made = Program(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = PolicyClient(PolicySettings(f"http://127.0.0.1:{port}/policy?site=1", patience, refuse, token))
    try:
        yield made, client
    finally:
        await client.close()
        server.close()
        await made.stop()
        await asyncio.sleep(0)


async def test_the_call_s_facts_are_asked_with_and_the_answer_decides() -> None:
    body = json.dumps({"room": "200", "role": "host", "name": "Doctor Who", "limits": {"bandwidth": 500}}).encode()
    async with program(says(body), token="very secret") as (made, client):
        decision = await client.decide(facts("anything", pin="4711"), ToRoom("anything"))
        assert decision == Decision(ToRoom("200"), Rank.HOST, name="Doctor Who", bandwidth=500_000)
        (asked,) = made.asked
        said = {name: values[0] for name, values in parse_qs(urlsplit(asked).query).items()}
        assert said["called"] == "anything"
        assert said["room"] == "anything"
        assert said["source"] == "127.0.0.1:5070"
        assert said["pin"] == "true"
        assert "4711" not in asked
        assert "authorization: bearer very secret" in made.heads[0]
        assert [(one.labels, one.value) for one in await client.samples()] == [((("outcome", "decided"),), 1)]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (nothing, "timeout"),
        (drips, "timeout"),
        (floods, "failed"),
        (hangs_up, "failed"),
        (says(b" " * (MAX_ANSWER + 1)), "failed"),
        (says(b"{}", "500 Broken"), "failed"),
        (says(b"", "302 Found", "Location: http://127.0.0.1:1/\r\n"), "failed"),
        (says(b"not JSON"), "failed"),
        (says(b'{"action": "explode"}'), "failed"),
    ],
)
@pytest.mark.parametrize("refuse", [True, False])
async def test_no_good_answer_refuses_the_call_or_lets_it_go_on(answer: Answer, outcome: str, refuse: bool) -> None:
    async with program(answer, refuse, patience=0.4 if outcome == "timeout" else 10.0) as (_, client):
        async with asyncio.timeout(20):
            if refuse:
                with pytest.raises(Refused) as refused:
                    await client.decide(facts(), ToRoom("100"))
                assert refused.value.reason is Reason.OVERLOAD
            else:
                assert await client.decide(facts(), ToRoom("100")) is NOTHING_SAID
        assert client.outcomes == {outcome: 1}


async def test_a_program_that_is_not_there_is_a_failure() -> None:
    client = PolicyClient(PolicySettings("http://127.0.0.1:9/", 10.0))
    with pytest.raises(Refused):
        await client.decide(facts(), ToRoom("100"))
    await client.close()


async def test_asking_holds_nobody_else_up() -> None:
    async with program(nothing, refuse=False, patience=0.4) as (_, client):
        asking = asyncio.create_task(client.decide(facts(), ToRoom("100")))
        loop = asyncio.get_running_loop()
        began, turns = loop.time(), 0
        while not asking.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 5
        assert loop.time() - began >= 0.3


@pytest.mark.parametrize(
    ("said", "decision"),
    [
        ({}, Decision()),
        ({"action": "continue"}, Decision()),
        ({"action": "refuse"}, Decision(Refuse(Reason.NOT_ALLOWED))),
        ({"action": "refuse", "reason": "busy"}, Decision(Refuse(Reason.BUSY))),
        ({"call": "tel:+49123", "trunk": "carrier"}, Decision(ToCall("tel:+49123", "carrier"))),
        ({"pin": "1234", "role": "guest"}, Decision(rank=Rank.GUEST, pin="1234")),
        ({"limits": {"participants": 3, "seconds": 60}}, Decision(participants=3, seconds=60)),
    ],
)
def test_an_answer_is_read(said: object, decision: Decision) -> None:
    assert read_answer(json.dumps(said).encode()) == decision


@pytest.mark.parametrize(
    "said",
    [
        [],
        "x",
        {"rom": "100"},
        {"action": "refuse", "reason": "mood"},
        {"action": "refuse", "reason": "normal"},
        {"role": "king"},
        {"room": 100},
        {"room": "1", "call": "sip:x@y"},
        {"name": "x" * 129},
        {"name": "a\u202eb"},
        {"limits": []},
        {"limits": {"participants": 0}},
        {"limits": {"participants": True}},
        {"limits": {"participants": 10**12}},
        {"limits": {"sound": 1}},
    ],
)
def test_an_answer_that_makes_no_sense_is_none(said: object) -> None:
    with pytest.raises(ValueError):
        read_answer(json.dumps(said).encode())


@given(st.binary(max_size=200))
def test_rubbish_is_no_answer_and_nothing_worse(body: bytes) -> None:
    with suppress(ValueError):
        read_answer(body)


def test_nesting_without_end_is_no_answer() -> None:
    with pytest.raises(ValueError):
        read_answer(b"[" * 16_000)


def test_a_gateway_call_is_told_with_its_target() -> None:
    assert question(facts("bob"), ToCall("user:bob"))["call"] == "user:bob"
