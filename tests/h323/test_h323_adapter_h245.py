"""Ports for separate H.245 connections, and numbers that are dialled bit by bit, on real sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from h323_peer import G711, KEYS, Peer
from sip_fake_house import FakeDesk

from gateway.reasons import Reason
from h323.q931 import Type

WAIT = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def place(adapter: Any) -> Peer:
    """Call by an endpoint that does not tunnel."""
    peer = await Peer.connect(adapter.ports["signalling"], tunnelling=False)
    peer.setup()
    return peer


async def test_h245_listens_where_it_is_told_and_a_call_without_a_port_is_refused(start: Any, desk: FakeDesk) -> None:
    port = free_port()
    adapter = await start(h245_ports=(port, port))
    first = await place(adapter)
    connect = await first.expect(Type.CONNECT, WAIT)
    assert connect.body is not None
    assert connect.body["h245Address"][1]["port"] == port
    await first.connect_control(connect.body["h245Address"])
    await first.exchange(G711, KEYS)
    second = await place(adapter)
    released = await second.expect(Type.RELEASE_COMPLETE, WAIT)
    assert released.cause == Reason.NO_PORTS.meaning.q850
    assert adapter.counters()["h245_ports_missing"] == 1
    await first.close()
    await second.close()
    async with asyncio.timeout(WAIT):
        while adapter.counters()["calls"]:
            await asyncio.sleep(0.01)
    third = await place(adapter)  # the port is free again
    connect = await third.expect(Type.CONNECT, WAIT)
    assert connect.body is not None
    assert connect.body["h245Address"][1]["port"] == port
    await third.close()
