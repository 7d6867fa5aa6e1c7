"""An H.323 endpoint of our own at a gatekeeper: it registers, and asks where a call goes; `Terminal323` then calls."""

from __future__ import annotations

import asyncio
import random
import time

from h323.ras.endpoint import Endpoint, EndpointConfig
from h323.ras.endpoint_calls import Asked, EndpointCalls, Granted
from h323.ras.events import SendRas
from h323.signalling.events import Address

PATIENCE = 30.0
"""Seconds for which the gatekeeper is waited for."""


class Registered(asyncio.DatagramProtocol):
    """One registration. name is its alias."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self._name = name
        self._gatekeeper = Address(host, port)
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Registered:
        """Register. Raises TimeoutError."""
        self._transport, _ = await self._loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        own = Address(*self._transport.get_extra_info("sockname"))
        config = EndpointConfig((self._gatekeeper,), (self._name,), traversal=False)
        self.core = Endpoint(config, own, own, random.Random(), time.time)
        self.calls = EndpointCalls(self.core)
        self.core.start(self._loop.time())
        await self._until(lambda: self.core.registered)
        return self

    async def __aexit__(self, *fault: object) -> None:
        """Leave. Raises TimeoutError."""
        self.core.stop(self._loop.time())
        await self._until(lambda: self.core.state.value == "gone")
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take what the gatekeeper says."""
        self.core.receive(data, Address(*addr), self._loop.time())

    async def admitted(self, alias: str) -> Address:
        """Ask for a call, and return where it goes. Raises TimeoutError, AssertionError."""
        outcome: list[object] = []
        asked = Asked(random.randbytes(16), random.randbytes(16), 7, False, (alias,), (self._name,))
        self.calls.admit(asked, outcome.append, self._loop.time())
        await self._until(lambda: bool(outcome))
        (granted,) = outcome
        assert isinstance(granted, Granted), granted
        assert granted.address is not None
        return granted.address

    async def _until(self, so: object) -> None:
        """Send and take until something holds."""
        assert callable(so)
        async with asyncio.timeout(PATIENCE):
            while True:
                for item in self.core.take():
                    if isinstance(item, SendRas):
                        self._transport.sendto(item.data, (item.to.host, item.to.port))
                if so():
                    return
                await asyncio.sleep(0.02)
                self.core.tick(self._loop.time())
