"""SIPp: signalling by scenarios of our own over UDP or TCP, with G.711 beside it (Debian's SIPp has no TLS)."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import marks
from peers.program import Program
from peers.voice import Voice

from gateway.bench.ports import free_port
from gateway.bench.sound import Samples

SCENARIOS = Path(__file__).parent


class Sipp(Program):
    """One call of SIPp's, of `seconds`; transport is udp or tcp. samples are its sound instead of the mark's.

    events: it has telephone events.
    """

    def __init__(
        self,
        mark: marks.Mark,
        directory: Path,
        transport: str = "udp",
        seconds: float = 30.0,
        samples: Samples | None = None,
        events: bool = True,
    ) -> None:
        super().__init__(f"sipp {mark.name}")
        self.mark, self.transport, self.seconds, self.events = mark, transport, seconds, events
        self.directory = directory / f"sipp-{mark.name}"
        self.directory.mkdir()
        self.voice = Voice(mark, samples)

    def _command(self, scenario: str, host: str, port: int, room: str, media: int) -> list[str]:
        kind = socket.SOCK_DGRAM if self.transport == "udp" else socket.SOCK_STREAM
        command = ["sipp", f"{host}:{port}", "-sf", str(SCENARIOS / scenario), "-s", room, "-m", "1", "-nostdin"]
        command += ["-i", "127.0.0.1", "-p", str(free_port(kind)), "-t", "u1" if self.transport == "udp" else "t1"]
        command += [
            "-key",
            "formats",
            "0 101" if self.events else "0",
            "-key",
            "media",
            str(media),
            "-key",
            "caller",
            self.mark.name,
            "-d",
            str(round(self.seconds * 1000)),
        ]
        command += ["-trace_logs", "-log_file", str(self.directory / "log"), "-timeout", f"{round(self.seconds + 30)}s"]
        command += ["-trace_err", "-error_file", str(self.directory / "errors"), "-timeout_error"]
        return [*command, "-trace_msg", "-message_file", str(self.directory / "messages")]

    async def dial(self, host: str, port: int, room: str) -> None:
        """Call a room and wait until sound flows. Raises TimeoutError, with what SIPp found wrong."""
        media = await self.voice.open()
        await self.start(self._command("sipp-call.xml", host, port, room, media), self.directory)
        for _ in range(300):
            await asyncio.sleep(0.1)
            found = re.search(r"MEDIA (\d+)", self._file("log"))
            if found:
                self.voice.start(host, int(found[1]))
                return
            if not self.running:
                break
        raise TimeoutError(f"{self.name} was not answered:\n{self._file('errors')}\n{self._file('messages')[-3000:]}")

    async def be_refused(self, host: str, port: int, room: str) -> str:
        """Call a room without encryption, expect 488, and return its Reason header. Raises AssertionError."""
        await self.start(self._command("sipp-refused.xml", host, port, room, 9), self.directory)
        status = await self.wait(60)
        assert status == 0, f"{self._file('errors')}\n{self._file('messages')[-3000:]}"
        found = re.search(r"REASON (.*)", self._file("log"))
        assert found is not None
        return found[1].strip()

    async def register(self, host: str, port: int, user: str, password: str) -> int:
        """Register and leave again with a password; return SIPp's exit status, 0 where all went as it should."""
        command = self._command("sipp-register.xml", host, port, user, 9)
        command[command.index("caller") + 1] = user
        await self.start([*command, "-au", user, "-ap", password], self.directory)
        return await self.wait(60)

    async def finish(self) -> None:
        """End sound and program."""
        await self.voice.stop()
        await self.stop()

    def heard(self) -> tuple[Samples, int]:
        """Return all that was heard until now, and the sampling rate."""
        return self.voice.heard()

    def _file(self, name: str) -> str:
        path = self.directory / name
        return path.read_text(errors="replace") if path.exists() else ""
