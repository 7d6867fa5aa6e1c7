"""PJSUA2 (pjsua2-python): a SIP phone with sound, in a process of its own, because it may end the one that it is in."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import marks
import numpy as np

from gateway.bench.sound import Samples

PHONE = Path(__file__).parent / "pjsua_phone.py"
ANSWER_TIME = 60.0
"""Seconds for one command; the slowest starts the phone on a busy machine."""


class Pjsua:
    """One phone. What it is told is in `pjsua_phone.py`; its SIP messages are in `log`."""

    def __init__(self, mark: marks.Mark, directory: Path, **settings: Any) -> None:
        self.mark = mark
        self.name = f"pjsua {mark.name}"
        self._directory = directory
        self._settings = {"address": "127.0.0.1", "user": mark.name.lower(), "log": 5, **settings}
        self._process: asyncio.subprocess.Process | None = None
        self._log = directory / f"pjsua-{mark.name}-{os.urandom(3).hex()}.log"

    @property
    def log(self) -> str:
        """All that it logged, with each SIP message."""
        return self._log.read_text(errors="replace")

    async def start(self) -> None:
        """Start it."""
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(PHONE),
                json.dumps(self._settings),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        await self._read()

    async def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), ANSWER_TIME)
        assert line, f"{self.name} ended by itself:\n{self.log[-2000:]}"
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer
        return answer

    async def do(self, what: str, **how: Any) -> dict[str, Any]:
        """Have it do something, and return its answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **how}).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._read()

    async def until(self, call: int = 0, seconds: float = 60.0, **wanted: Any) -> dict[str, Any]:
        """Wait until a call's state has these values. Raises TimeoutError with the state."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            state = await self.do("state", call=call)
            if all(state.get(name) == value for name, value in wanted.items()):
                return state
            if loop.time() > deadline:
                raise TimeoutError(f"{self.name}: {state} and not {wanted}\n{self.log[-3000:]}")
            await asyncio.sleep(0.05)

    async def until_registered(self, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until a registrar has answered, and return what it said."""
        async with asyncio.timeout(seconds):
            while not (told := await self.do("account"))["status"]:
                await asyncio.sleep(0.05)
        return told

    async def call(self, target: str) -> int:
        """Call somebody, and wait until it is answered and has sound; return the call's number."""
        number = int((await self.do("dial", target=target))["call"])
        await self.until(number, answered=True, active=True)
        return number

    async def sing(self, call: int = 0) -> None:
        """Send its mark's bursts for a minute and a half."""
        await self.do("play", call=call, frequency=self.mark.tone, on=0.7, period=self.mark.period, seconds=90.0)

    async def heard(self, call: int = 0, last: float | None = None) -> tuple[Samples, int]:
        """Return what a call brought, all or the last seconds, and its sampling rate."""
        file = self._directory / f"{self._log.stem}-{call}.raw"
        rate = int((await self.do("heard", call=call, file=str(file)))["rate"])
        samples = np.fromfile(file, "<i2")
        return (samples if last is None else samples[-round(last * rate) :]), rate

    async def stop(self) -> None:
        """End it; it hangs up first. It must end by itself, and well."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            status = await asyncio.wait_for(self._process.wait(), 30)
        except TimeoutError:
            self._process.kill()
            status = await self._process.wait()
        # The transport closes its pipes only here, not by the end of the process.
        self._process._transport.close()  # type: ignore[attr-defined]
        assert status == 0, f"{self.name} ended with {status}:\n{self.log[-2000:]}"
