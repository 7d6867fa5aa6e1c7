"""A local network of two machines: this one, and a namespace of its own whose programs have the other address.

Nothing stands between them; what one sends to a multicast group the other hears.
"""

from __future__ import annotations

import os
import random
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from peers.translator import run

GROUP = "224.0.1.41"
"""Where H.323's gatekeepers are looked for (H.225.0 Annex IV): on this network, as long as it is there."""


class Lan(AbstractAsyncContextManager["Lan"]):
    """One network; outside is this machine's address in it, inside the other's."""

    def __init__(self) -> None:
        number, other = random.randrange(1, 250), random.randrange(0, 63) * 4
        self._name = f"rl{os.getpid() % 100_000:05d}{random.randrange(100):02d}"
        self.outside = f"198.19.{number}.{other + 1}"
        self.inside = f"198.19.{number}.{other + 2}"

    async def __aenter__(self) -> Lan:
        name = self._name
        try:
            for line in (
                f"ip netns add {name}",
                f"ip link add {name}o type veth peer name eth0 netns {name}",
                f"ip addr add {self.outside}/30 dev {name}o",
                f"ip link set {name}o up",
                f"ip route replace {GROUP}/32 dev {name}o src {self.outside}",
                f"ip -n {name} addr add {self.inside}/30 dev eth0",
                f"ip -n {name} link set eth0 up",
                f"ip -n {name} link set lo up",
                f"ip -n {name} route add default via {self.outside}",
            ):
                await run(line)
        except BaseException:
            await self._remove()
            raise
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._remove()

    async def _remove(self) -> None:
        for line in (f"ip netns del {self._name}", f"ip link del {self._name}o"):
            with suppress(OSError):
                await run(line)

    @property
    def behind(self) -> list[str]:
        """What a command line begins with whose program is to run on the other machine."""
        return ["ip", "netns", "exec", self._name]
