"""An address translator between two networks of this machine, made of network namespaces and nftables.

Outside is the machine's own network, where the gateway listens at `outside`; inside is a namespace of its own, whose
programs have a private address. What goes out is masqueraded; nothing comes in that nobody inside asked for, but the
test's own questions to the API of a gateway inside.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import pytest


def _possible() -> bool:
    """Tell whether all that a translator is made of can be made here."""
    if any(shutil.which(one) is None for one in ("ip", "nft")) or os.geteuid() != 0:
        return False
    name = f"rbprobe{os.getpid() % 100_000}"
    made = [
        f"ip netns add {name}",
        f"ip link add {name} type veth peer name out netns {name}",
        f"ip netns exec {name} nft add table ip translator",
    ]
    done = [subprocess.run(line.split(), capture_output=True, check=False).returncode == 0 for line in made]
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return all(done)


needed = pytest.mark.skipif(
    not _possible(), reason="an address translator takes root, ip (iproute2), nft (nftables) and network namespaces"
)
WATCHED = 8443
"""The port at which the test asks a gateway inside."""
RULES = """
table ip translator {{
  chain out {{ type nat hook postrouting priority 100; oifname "out" masquerade {spread}; }}
  chain pass {{
    type filter hook forward priority 0; policy drop;
    iifname "in" accept
    ct state established,related accept
    ip saddr {watcher} tcp dport {watched} accept
  }}
  chain own {{ type filter hook input priority 0; policy drop; ct state established,related accept; }}
}}
"""


async def run(line: str, data: str | None = None) -> None:
    """Run a command, which gets data to read. Raises OSError where it fails."""
    process = await asyncio.create_subprocess_exec(
        *line.split(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate((data or "").encode())
    if process.returncode:
        raise OSError(f"{line}: {output.decode()}")


class Translator(AbstractAsyncContextManager["Translator"]):
    """One translator; outside and public are the gateway's and its own address on the outer side, inside a program's.

    Every new flow gets a port that is none of its sender's (`random`), as many translators do.
    """

    def __init__(self) -> None:
        number = random.randrange(1, 250)
        other = random.randrange(0, 63) * 4
        self._name = f"rb{os.getpid() % 100_000:05d}{random.randrange(100):02d}"
        self.outside = f"198.18.{number}.{other + 1}"
        self.public = f"198.18.{number}.{other + 2}"
        self._gate = f"10.{number}.{other}.1"
        self.inside = f"10.{number}.{other}.2"
        self._router, self._inner = f"{self._name}r", f"{self._name}i"

    async def __aenter__(self) -> Translator:
        router, inner, name = self._router, self._inner, self._name
        try:
            for line in (
                f"ip netns add {router}",
                f"ip netns add {inner}",
                f"ip link add {name}o type veth peer name out netns {router}",
                f"ip addr add {self.outside}/30 dev {name}o",
                f"ip link set {name}o up",
                f"ip -n {router} addr add {self.public}/30 dev out",
                f"ip -n {router} link set out up",
                f"ip -n {router} link add in type veth peer name eth0 netns {inner}",
                f"ip -n {router} addr add {self._gate}/24 dev in",
                f"ip -n {router} link set in up",
                f"ip -n {inner} addr add {self.inside}/24 dev eth0",
                f"ip -n {inner} link set eth0 up",
                f"ip -n {inner} link set lo up",
                f"ip -n {inner} route add default via {self._gate}",
                f"ip route add {self.inside}/32 via {self.public} src {self.outside}",
            ):
                await run(line)
            await run(f"ip netns exec {router} tee /proc/sys/net/ipv4/ip_forward", "1")
            rules = RULES.format(spread="random", watcher=self.outside, watched=WATCHED)
            await run(f"ip netns exec {router} nft -f -", rules)
        except BaseException:
            await self._remove()
            raise
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._remove()

    async def _remove(self) -> None:
        for line in (f"ip netns del {self._inner}", f"ip netns del {self._router}", f"ip link del {self._name}o"):
            with suppress(OSError):
                await run(line)

    @property
    def behind(self) -> list[str]:
        """What a command line begins with whose program is to run inside."""
        return ["ip", "netns", "exec", self._inner]
