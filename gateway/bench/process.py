"""A gateway as a process of its own on free loopback ports: started, asked, measured and stopped.

Loads and tests run the same command that people run. Processor time and memory are read from /proc, of the process
and all its children, so that a media plane in another process counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway.bench.ports import DGRAM, HOST, STREAM, free_port, free_range

TOKEN = "load-and-test-token-0001"
START_SECONDS = 120.0
STOP_SECONDS = 30.0
MEDIA_PORTS = 1200
"""Media ports that a gateway under load may use: 300 legs with sound and picture, two ports each."""
MAX_ANSWER = 8_000_000
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds since the start, and resident octets, of all processes together."""

    seconds: float
    memory: int


class GatewayProcess:
    """The gateway; `changes` are merged over the loopback configuration, section by section.

    behind is what its command begins with where it runs in another network, and reached the address that it is then
    asked at.
    """

    def __init__(
        self,
        directory: Path,
        changes: dict[str, Any] | None = None,
        behind: Sequence[str] = (),
        reached: str = HOST,
    ) -> None:
        self.directory = directory
        self._behind, self._reached = behind, reached
        udp = free_port(DGRAM)
        tcp, self.tls, self.web, self.h323, self.h323_tls = (free_port(STREAM) for _ in range(5))
        self.udp, self.tcp, self.host = udp, tcp, HOST
        self.media = free_range(MEDIA_PORTS)
        settings: dict[str, Any] = {
            "listen": {"address": HOST},
            "sip": {"udp": udp, "tcp": tcp, "tls": self.tls},
            "h323": {"signalling": self.h323, "tls": self.h323_tls, "ras": None, "gatekeeper": "off"},
            "web": {"port": self.web},
            "media": {"address": HOST, "ports": list(self.media)},
            "rooms": [{"id": "100", "name": "Everyone", "max_participants": 500}],
            "api": {"tokens": [{"token": TOKEN, "scopes": ["admin"]}]},
        }
        for section, value in (changes or {}).items():
            settings[section] = {**settings.get(section, {}), **value} if isinstance(value, dict) else value
        self.web = int(settings["web"]["port"])
        self.config = directory / "roombridge.yaml"
        self.config.write_text(yaml.safe_dump(settings))
        self.log = directory / "gateway.log"
        self.state = directory / "state"
        self._process: subprocess.Popen[bytes] | None = None
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE

    @property
    def url(self) -> str:
        """The address of its pages."""
        return f"https://{self._reached}:{self.web}"

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises RuntimeError with the end of its log if it is not."""
        self._process = self._launched()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS
        while loop.time() < deadline and self.running:
            if await self._ready():
                return
            await asyncio.sleep(0.1)
        await self.stop()
        raise RuntimeError(f"the gateway did not become ready:\n{self.output[-4000:]}")

    def _launched(self) -> subprocess.Popen[bytes]:
        """Start the program; it is no loop's child, so that it may be asked and stopped in another loop."""
        command = [*self._behind, sys.executable, "-c", "from gateway.cli import main; main()", "serve"]
        command += ["--config", str(self.config), "--state", str(self.state)]
        with self.log.open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    async def _ready(self) -> bool:
        try:
            await self.get("/readyz")
        except (OSError, ValueError):
            return False
        return True

    async def stop(self) -> int:
        """Stop it and return its exit status; it is killed if it does not end within `STOP_SECONDS`."""
        process = self._process
        if process is None:
            return 0
        if self.running:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await asyncio.to_thread(process.wait)
        return process.returncode or 0

    @property
    def output(self) -> str:
        """What it has printed and logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def get(self, path: str) -> str:
        """Fetch a page as text. Raises OSError (urllib's errors are of that kind)."""
        return await asyncio.to_thread(self._get, path)

    async def delete(self, path: str) -> None:
        """Delete something. Raises OSError."""
        await asyncio.to_thread(self._get, path, "DELETE")

    def _get(self, path: str, method: str = "GET") -> str:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {TOKEN}"}, method=method)
        with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:
            data: bytes = answer.read(MAX_ANSWER)
        return data.decode()

    async def participants(self, room: str = "100") -> list[dict[str, Any]]:
        """Return who is in a room."""
        found = json.loads(await self.get(f"/api/v1/rooms/{room}/participants"))
        return list(found["participants"] if isinstance(found, dict) else found)

    async def metrics(self) -> Metrics:
        """Return all metrics of this moment."""
        return Metrics.parse(await self.get("/metrics"))

    def processes(self) -> list[int]:
        """Return the ids of its process and all that came of it."""
        if self._process is None:
            return []
        found, index = [self._process.pid], 0
        while index < len(found):
            tasks = Path(f"/proc/{found[index]}/task")
            with contextlib.suppress(OSError):
                for task in tasks.iterdir():
                    found += [int(child) for child in (task / "children").read_text().split()]
            index += 1
        return found

    def usage(self) -> Usage:
        """Return what all its processes have used."""
        each = self.each()
        return Usage(sum(one.seconds for one in each), sum(one.memory for one in each))

    def each(self) -> list[Usage]:
        """Return what each of its processes has used, its own first; the media plane's is the next one."""
        found = []
        for number in self.processes():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
                seconds = (int(fields[11]) + int(fields[12])) / _TICKS
                found.append(Usage(seconds, int(fields[21]) * _PAGE))
        return found

    def files(self) -> int:
        """Return how many files and sockets all its processes have open."""
        count = 0
        for number in self.processes():
            with contextlib.suppress(OSError):
                count += len(os.listdir(f"/proc/{number}/fd"))
        return count


class Metrics:
    """A scrape of Prometheus's text format: values by name and labels."""

    def __init__(self, values: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> None:
        self.values = values

    @classmethod
    def parse(cls, text: str) -> Metrics:
        """Read a scrape; lines that are none are left out."""
        from prometheus_client.parser import text_string_to_metric_families

        values = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                values[sample.name, frozenset(sample.labels.items())] = float(sample.value)
        return cls(values)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all series of a name that carry these labels."""
        wanted = set(labels.items())
        return sum(value for (found, have), value in self.values.items() if found == name and wanted <= have)

    def quantile(self, name: str, share: float, before: Metrics, **labels: str) -> float:
        """Return a histogram's quantile over what came since `before`; its bucket's upper end, not interpolated."""
        buckets: dict[float, float] = {}
        wanted = set(labels.items())
        for (found, have), value in self.values.items():
            if found == f"{name}_bucket" and wanted <= have:
                edge = float(dict(have)["le"])
                buckets[edge] = buckets.get(edge, 0.0) + value - before.values.get((found, have), 0.0)
        if not buckets:
            return float("nan")
        total = buckets[max(buckets)]
        return min((edge for edge, value in buckets.items() if value >= share * total), default=float("inf"))
