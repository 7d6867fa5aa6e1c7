"""callgen323, H323Plus' call generator: an H.323 endpoint of other makers, if it is on the PATH.

It sends a WAV file and records what it hears; its picture is a pattern of its own. What it receives of pictures it
tells in its trace alone.
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
from peers.lan import Lan
from peers.program import Program
from peers.translator import Translator

from gateway.bench.ports import free_port
from gateway.bench.sound import Samples

LOOKED_FOR = "looked for"
"""Stands for a gatekeeper that it finds by itself."""
needed = pytest.mark.skipif(shutil.which("callgen323") is None, reason="callgen323 (H323Plus) is not on the PATH")


class Callgen(Program):
    """One endpoint. fast: whether it starts fast; tunnel: whether it tunnels H.245; video: the codec, or None."""

    def __init__(
        self,
        mark: marks.Mark,
        directory: Path,
        fast: bool = False,
        tunnel: bool = True,
        video: str | None = None,
        options: Sequence[str] = (),
        gatekeeper: str | None = None,
        password: str | None = None,
        behind: Translator | Lan | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """gatekeeper is host:port of the one to register with, as the mark's name and with the password.

        behind is the translator behind which it runs, or the network whose other machine it runs on; host is its
        address where it runs here.
        """
        super().__init__(f"callgen323 {mark.name}")
        self.mark = mark
        self.directory = directory / f"callgen-{mark.name}"
        self.directory.mkdir()
        self.port = free_port(socket.SOCK_STREAM)
        self.trace = self.directory / "trace"
        self._command = [*(behind.behind if behind is not None else ()), "callgen323"]
        host = behind.inside if behind is not None else host
        alone = [] if "-k" in options else ["-n"]
        named = [] if gatekeeper in (None, LOOKED_FOR) else ["-g", str(gatekeeper)]
        zone = alone if gatekeeper is None else [*named, "--require-gatekeeper"]
        zone += [] if password is None else ["-p", password]
        self._options = [*zone, "-i", f"{host}:{self.port}", "-u", mark.name, "-O", "voice.wav", "-I", "heard"]
        self._options += ["-t", "-t", "-t", "-t", "-o", str(self.trace), "-m", "1"]
        if not fast:
            self._options.append("-f")
        if not tunnel:
            self._options.append("-T")
        if video is not None:
            # H.261 as a second choice stays with H323Plus unless it is turned off by its own name.
            others = [one for one in ("H.261", "H.263", "H.264") if one != video]
            self._options += ["-v", "-R", "15", *(part for one in others for part in ("-D", f"{one}*"))]
        # It records 16,000 samples of G.722 a second as if they were 8,000, and takes half the packets.
        self._options += ["-D", "G.722*", *options]

    def _prepare(self) -> None:
        marks.write_wav(self.directory / "voice.wav", self.mark.voice(90), 8000)
        (self.directory / "heard").mkdir()

    async def dial(self, destination: str, seconds: float = 60.0) -> None:
        """Call somebody for so many seconds; `hang_up` ends that sooner."""
        self._prepare()
        lasting = ["--tmincall", str(round(seconds)), "--tmaxcall", str(round(seconds))]
        command = [*self._command, *self._options, *lasting, "-r", "1", destination]
        await self.start(command, self.directory)

    async def listen(self) -> None:
        """Wait for a call, and take it."""
        self._prepare()
        await self.start([*self._command, *self._options, "-l"], self.directory)
        await self.expect(r"Per call bandwidth", 30)  # what it prints after that is not flushed

    async def hang_up(self) -> None:
        """End its call and the program."""
        if self.running:
            await self.write("")
            with contextlib.suppress(TimeoutError):
                await self.wait(8)
        await self.stop()

    def heard(self) -> tuple[Samples, int]:
        """Return what it heard until now. Raises ValueError where it recorded nothing."""
        files = sorted((self.directory / "heard").iterdir())
        if not files:
            raise ValueError(f"{self.name} recorded nothing:\n{self.output[-2000:]}")
        return hearing.read_wav(files[-1])

    def traced(self, pattern: str) -> list[str]:
        """Return all that its trace holds of a pattern."""
        text = self.trace.read_text(errors="replace") if self.trace.exists() else ""
        return re.findall(pattern, text)

    async def traces(self, pattern: str, seconds: float = 10.0) -> list[str]:
        """Wait until its trace holds a pattern. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not (found := self.traced(pattern)):
                await asyncio.sleep(0.2)
        return found
