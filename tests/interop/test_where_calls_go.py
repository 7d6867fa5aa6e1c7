"""Where a call goes in the running gateway: by the dial plan, and by another program that is asked over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import house
import marks
import pytest
from peers.ours import Terminal
from starting import StartGateway

from gateway.bench.phone import CallRefused

pytestmark = [pytest.mark.interop, pytest.mark.timeout(200)]

Answer = dict[str, Any] | None
"""What is answered as JSON; None: nothing, ever."""
PLAN = [
    {"called": r"9(\d\d)", "room": r"1\1"},
    {"protocol": "h323", "called": "66", "room": "100"},
    {"called": "66", "refuse": "no-such-user"},
    {"called": "77", "menu": True},
]


@asynccontextmanager
async def program(answers: Callable[[dict[str, str]], Answer]) -> AsyncIterator[tuple[int, list[dict[str, str]]]]:
    """Give the port of a web server that answers by what it is asked, and the list of what it was asked."""
    asked: list[dict[str, str]] = []
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = head.decode().split(" ", 2)
                assert method == "GET"
                asked.append({name: values[0] for name, values in parse_qs(urlsplit(target).query).items()})
                answer = answers(asked[-1])
                if answer is None:
                    await over.wait()
                    break
                body = json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        except asyncio.IncompleteReadError:  # it asks no more
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        over.set()
        server.close()
        await server.wait_closed()


def decide(asked: dict[str, str]) -> Answer:
    """Make a host of who dials 900, refuse 500, never answer 501, and send 502 elsewhere with a PIN."""
    match asked["called"]:
        case "900":
            return {"role": "host", "name": "Doctor Who", "limits": {"participants": 1}}
        case "500":
            return {"action": "refuse", "reason": "busy"}
        case "501":
            return None
        case "502":
            return {"room": "200", "pin": "2222"}
    return {}


async def test_the_dial_plan_and_another_program_decide_of_real_calls(start_gateway: StartGateway) -> None:
    async with program(decide) as (port, asked), AsyncExitStack() as stack:
        gateway = await start_gateway(
            media={"process": False},
            dial_plan=PLAN,
            rooms=[{"id": "100", "host_pin": "4711", "guest_pin": "1234"}, {"id": "200", "guest_pin": "2222"}],
            policy={"url": f"http://127.0.0.1:{port}/policy", "timeout": 6},
        )

        async def dial(called: str) -> int:
            """Dial, and return the status that refused it, 200 if none did."""
            terminal = Terminal(marks.ANN)
            stack.push_async_callback(terminal.hang_up)
            try:
                await terminal.dial("127.0.0.1", gateway.udp, called)
            except CallRefused as refused:
                return refused.status
            return 200

        assert await dial("66") == 404
        assert asked == []  # the plan had refused it
        assert await dial("900") == 200  # a rule's room, and no PIN: the program let it in
        (host,) = await gateway.participants("100")
        assert (host["name"], host["rank"]) == ("Doctor Who", "host")
        assert (asked[0]["room"], asked[0]["protocol"], asked[0]["pin"]) == ("100", "sip", "false")
        assert await dial("900") == 486  # the program's limit
        assert await dial("500") == 486
        assert await dial("501") == 503
        assert await dial("502") == 200
        await house.holds(gateway, 1, "200", 30.0)
        assert await dial("77") == 200  # the menu answers
        await house.holds(gateway, 1, "100", 30.0)
        metrics = await gateway.metrics()
        assert metrics.total("roombridge_policy_total", outcome="timeout") == 1
        assert metrics.total("roombridge_policy_total", outcome="decided") == 5
        assert metrics.total("roombridge_calls_outside") == 1
