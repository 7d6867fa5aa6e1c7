"""A peer that is a program of its own: started, written to, its output read, and ended by its own process id."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.bench.ports import DGRAM, STREAM, free_port, free_row

__all__ = ["Program", "free_port", "free_sip_port"]

MAX_OUTPUT = 2_000_000
"""Characters of output that are kept of one program: more than any of them prints in a test."""


def free_sip_port() -> int:
    """Return a port that is free for UDP and TCP, and the next one for TLS beside it."""
    return free_row((DGRAM, STREAM), (STREAM,))


class Program:
    """A running program."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.output = ""
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._more = asyncio.Event()

    async def start(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None) -> None:
        """Start it in a process group of its own."""
        self._process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env={**os.environ, "HOME": str(cwd), **(environment or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = asyncio.get_running_loop().create_task(self._read())

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process is not None and self._process.returncode is None

    async def write(self, line: str) -> None:
        """Type a line."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def expect(self, pattern: str, seconds: float) -> re.Match[str]:
        """Wait until the output holds a pattern. Raises TimeoutError, with the end of the output."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            found = re.search(pattern, self.output)
            if found:
                return found
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or (not self.running and self._reader is not None and self._reader.done()):
                raise TimeoutError(f"{self.name} did not print {pattern!r}; it printed:\n{self.output[-3000:]}")
            self._more.clear()
            try:
                await asyncio.wait_for(self._more.wait(), min(left, 0.5))
            except TimeoutError:
                continue

    async def wait(self, seconds: float) -> int:
        """Wait for its end and return its exit status. Raises TimeoutError."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), seconds)

    def freeze(self) -> None:
        """Let it say and hear nothing more, with its sockets open: only `stop` ends that."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    async def stop(self, seconds: float = 4.0) -> None:
        """End it: ask first, then make it; nothing happens if it has ended."""
        if self._process is None:
            return
        for kind in (signal.SIGTERM, signal.SIGKILL):
            if self.running:
                try:
                    os.killpg(self._process.pid, kind)
                    await self.wait(seconds)
                except (ProcessLookupError, TimeoutError):
                    continue
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=2)
            self._reader.cancel()
        # The transport closes its pipes only here, not by the end of the process.
        self._process._transport.close()  # type: ignore[attr-defined]

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(65536):
            if len(self.output) < MAX_OUTPUT:
                self.output += data.decode("utf-8", "replace")
            self._more.set()
