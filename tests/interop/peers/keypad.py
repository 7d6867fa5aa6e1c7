"""keypad323, our own program on H323Plus' stack (`keypad323/main.cxx`), if it is on the PATH: it presses keys.

callgen323 of H323Plus can press none. How it is built stands in docs/interop.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

import hearing
import marks
import pytest
from peers.program import Program

from gateway.bench.ports import free_port
from gateway.bench.sound import Samples

needed = pytest.mark.skipif(shutil.which("keypad323") is None, reason="keypad323 (H323Plus) is not on the PATH")
PATIENCE = 60.0
"""Seconds for which anything is waited for."""


class Keypad(Program):
    """One telephone. fast: whether it starts fast; tunnel: whether it tunnels H.245; takes: keys that it says it takes
    (string, signal, rfc2833)."""

    def __init__(
        self,
        mark: marks.Mark,
        directory: Path,
        fast: bool = False,
        tunnel: bool = True,
        takes: Sequence[str] = ("string", "signal", "rfc2833"),
        options: Sequence[str] = (),
    ) -> None:
        """options are further ones of the program, as its text tells them."""
        super().__init__(f"keypad323 {mark.name}")
        self.mark = mark
        self._commands = 0
        self.port = free_port(socket.SOCK_STREAM)
        number = len(list(directory.glob("keypad-*")))
        self.directory = directory / f"keypad-{number}"
        self.directory.mkdir()
        self._command = ["keypad323", "-u", mark.name, "-i", f"127.0.0.1:{self.port}", "-w", ",".join(takes)]
        self._command += ["-O", "said.wav", "-I", "heard.wav", "-t", "trace"]
        self._command += ["-f"] if fast else []
        self._command += [] if tunnel else ["-T"]
        self._command += options

    async def dial(self, address: str) -> None:
        """Call somebody; it need not be answered yet."""
        await self._begin(address)

    async def listen(self) -> None:
        """Wait for a call, and take it."""
        await self._begin("-l")

    async def _begin(self, last: str) -> None:
        marks.write_wav(self.directory / "said.wav", self.mark.voice(90), 8000)
        await self.start([*self._command, last], self.directory)
        await self.expect(r"(?m)^ready$", PATIENCE)

    async def established(self) -> None:
        """Wait until its call is up, and a second of sound has come."""
        await self.expect(r"(?m)^established", PATIENCE)
        file = self.directory / "heard.wav"
        async with asyncio.timeout(PATIENCE):
            while not file.exists() or file.stat().st_size < 16_000:
                await asyncio.sleep(0.1)

    async def transfer(self, address: str) -> None:
        """Have the other end of its call call somebody else (H.450.2)."""
        self._commands += 1
        await self.write(f"transfer {address}")
        await self.expect(rf"(?sm)(^done$.*?){{{self._commands}}}", PATIENCE)

    async def press(self, keys: str, way: str) -> None:
        """Press keys, one after the other, by q931, string, signal or rfc2833. Raises TimeoutError."""
        self._commands += 1
        await self.write(f"{way} {keys}")
        await self.expect(rf"(?sm)(^done$.*?){{{self._commands}}}", PATIENCE)
        assert "another way" not in self.output, self.output

    @property
    def received(self) -> list[tuple[str, str]]:
        """Return the keys that it has received: how each came, and which."""
        return re.findall(r"(?m)^input (\w+) (\S+)$", self.output)

    def heard(self) -> tuple[Samples, int]:
        """Return what it heard until now, and the sampling rate."""
        return hearing.read_wav(self.directory / "heard.wav")

    async def hang_up(self) -> None:
        """End its call and the program."""
        if self.running:
            await self.write("quit")
            with contextlib.suppress(TimeoutError):
                await self.wait(8)
        await self.stop()
