"""GNU Gatekeeper, if gnugk is on the PATH: a gatekeeper of other makers that the gateway registers with."""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from peers.program import Program

from gateway.bench.ports import free_port

needed = pytest.mark.skipif(shutil.which("gnugk") is None, reason="gnugk (GNU Gatekeeper) is not on the PATH")
"""No package of it is tested; who has built it puts it on the PATH."""

SETTINGS = """\
[Gatekeeper::Main]
Home={home}
UnicastRasPort={ras}
UseBroadcastListener=0
UseMulticastListener=0
TimeToLive=60
StatusPort={status}
[RoutedMode]
GKRouted={routed}
H245Routed={routed}
CallSignalPort={signalling}
{traversal}
[RasSrv::ARQFeatures]
CallUnregisteredEndpoints=1
[Gatekeeper::Auth]
{proof}
default=allow
[SimplePasswordAuth]
KeyFilled=0
{passwords}
"""


TRAVERSAL = """\
AcceptUnregisteredCalls=1
EnableH46018=1
H46018NoNAT=0
H245TunnelingTranslation=1
[Proxy]
Enable=1
RTPPortRange=20000-20999
RTPMultiplexing={multiplexing}
RTPMultiplexPort=21000
RTCPMultiplexPort=21001"""
"""What makes it a server for endpoints behind translators, and for nobody else."""


class GnuGk(Program):
    """One gatekeeper; passwords by user, none where anybody may register.

    home is its address; another one than that of the loopback makes it a server of H.460.18 and H.460.19.
    """

    def __init__(
        self,
        directory: Path,
        passwords: Mapping[str, str],
        routed: bool = False,
        home: str = "127.0.0.1",
        multiplexing: bool = False,
        name: str = "TestGK",
        more: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """name is its identifier; more are further lines of its configuration, by section."""
        super().__init__(f"gnugk {name}")
        self._directory = directory / f"gnugk-{name}"
        self._directory.mkdir()
        self.ras = free_port(socket.SOCK_DGRAM)
        self.address = f"{home}:{self.ras}"
        self._home = home
        settings = SETTINGS.format(
            ras=self.ras,
            status=free_port(socket.SOCK_STREAM),
            signalling=free_port(socket.SOCK_STREAM),
            routed=int(routed),
            home=home,
            traversal=TRAVERSAL.format(multiplexing=int(multiplexing)) if home != "127.0.0.1" else "",
            proof="SimplePasswordAuth=required;RRQ,ARQ" if passwords else "",
            passwords="\n".join(f"{user}={_hidden(user, password)}" for user, password in passwords.items()),
        )
        for section, lines in {"Gatekeeper::Main": [f"Name={name}"], **(more or {})}.items():
            head = f"[{section}]\n"
            told = head + "".join(f"{line}\n" for line in lines)
            settings = settings.replace(head, told) if head in settings else settings + told
        (self._directory / "gnugk.ini").write_text(settings)

    async def run(self) -> None:
        """Start it, and wait until it listens."""
        await self.start(["gnugk", "-c", "gnugk.ini", "-ttttt"], self._directory)
        await self.expect(rf"Listening to {re.escape(self._home)}:\d+|RAS\s.*(?:Listen|Started)", 60)
        await asyncio.sleep(0.5)

    async def traces(self, pattern: str, seconds: float) -> re.Match[str]:
        """Wait until it has written this."""
        return await self.expect(pattern, seconds)


def _hidden(user: str, password: str) -> str:
    """Return a password as its configuration holds it: TEA under the user's name, in base64."""
    key = struct.unpack("<4I", user.encode()[:16].ljust(16, b"\0"))
    said = password.encode()
    rest = len(said) % 8
    said = said.ljust(len(said) + 7 - rest, b"\0") + bytes((rest,))
    return base64.b64encode(b"".join(_tea(said[at : at + 8], key) for at in range(0, len(said), 8))).decode()


def _tea(block: bytes, key: tuple[int, ...]) -> bytes:
    first, second = struct.unpack(">2I", block)
    total = 0
    for _ in range(32):
        total = (total + 0x9E3779B9) & 0xFFFFFFFF
        first += ((second << 4) + key[0]) ^ (second + total) ^ ((second >> 5) + key[1])
        first &= 0xFFFFFFFF
        second += ((first << 4) + key[2]) ^ (first + total) ^ ((first >> 5) + key[3])
        second &= 0xFFFFFFFF
    return struct.pack(">2I", first, second)
