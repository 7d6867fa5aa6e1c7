"""A media plane that lives elsewhere: `MediaPlane` for the control plane, over pickled frames.

`RemotePlane` starts the media process (`transcode.process`) and speaks to it. If that process dies, every call under
way is answered with INTERNAL, every open leg is reported as failed, and a new process is started for the next calls.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import structlog

from gateway.reasons import Reason, Refused
from transcode.events import Failed, MediaEvent
from transcode.interface import LegStatistics, Sample
from transcode.media import (
    Abilities,
    CameraAction,
    Candidate,
    LegId,
    MediaDescription,
    Role,
    RoomId,
    Sound,
    ViewPlan,
    Wanted,
)
from transcode.settings import PlaneSettings
from transcode.wire import Happening, Reply, Request, encode, read

log = structlog.get_logger()

MAX_EVENTS = 100_000
"""Events that wait for the control plane; more means that it hangs, and the oldest are worth least."""
STOP_TIME = 3.0
"""Seconds that the media process gets to end by itself."""
CALL_TIME = 10.0
"""Seconds that one call may take: the longest, an answer that gathers ICE candidates, takes well under one."""
START_TIME = 60.0
"""Seconds that the media process gets to start: it loads all codecs, which takes 10 on a machine that is busy."""
RESTART_PAUSE = 0.5
"""Seconds before a media process that died is started again, so that a fault at start does not spin."""


class RemotePlane:
    """Implements `transcode.interface.MediaPlane` towards a process of its own."""

    def __init__(self, settings: PlaneSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._legs: set[LegId] = set()
        self._events: asyncio.Queue[MediaEvent | None] = asyncio.Queue(MAX_EVENTS)
        self._reading: asyncio.Task[None] | None = None
        self._stopping = False
        self._ready = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The media process's id."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the media process and wait until it answers. Raises `Refused` if it does not."""
        await self._launch()
        self._reading = asyncio.create_task(self._run())
        try:
            await self._call("counters", within=START_TIME)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the media process; its calls end with it."""
        self._stopping = True
        if self._writer is not None:
            self._writer.close()
        process = self._process
        if process is not None:
            try:
                await asyncio.to_thread(process.wait, STOP_TIME)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
        if self._reading is not None:
            await self._reading
        self._put(None)

    async def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        # Popen, not asyncio.create_subprocess_exec: its child watcher would fight over SIGCHLD with Twisted.
        self._process = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-m", "transcode.process", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._writer.write(encode(Request(0, "configure", (self._settings,))))
        self._ready.set()

    async def _run(self) -> None:
        """Read what the process says; start another when it is gone."""
        while True:
            frame = await read(self._reader)
            if isinstance(frame, Reply):
                future = self._waiting.pop(frame.number, None)
                if future is not None and not future.done():
                    if frame.error is None:
                        future.set_result(frame.value)
                    else:
                        future.set_exception(frame.error)
            elif isinstance(frame, Happening):
                self._put(frame.event)
            elif frame is None:
                self._lost()
                if self._stopping:
                    return
                log.error("media_process_died", pid=self.pid, legs=len(self._legs))
                await self._relaunch()
                if self._stopping:
                    return

    async def _relaunch(self) -> None:
        """Start another media process, as often as it takes."""
        while True:
            await asyncio.sleep(RESTART_PAUSE)
            if self._stopping:
                return
            try:
                await self._launch()
                return
            except OSError as error:  # no memory, no descriptors: that may pass
                log.error("media_process_not_started", error=str(error))

    def _lost(self) -> None:
        """The process is gone: nothing that it was asked will be answered."""
        self._ready.clear()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(Refused(Reason.INTERNAL, "the media process ended"))
        if self._writer is not None:
            self._writer.close()
        if self._process is not None and not self._stopping:
            # The stream is closed, so the process is gone or on its way out; one that hangs must not keep its ports.
            self._process.kill()
            self._process.wait()
        for leg in sorted(self._legs):
            self._put(Failed(leg, Reason.INTERNAL, "the media process ended"))
        self._legs.clear()

    def _put(self, event: MediaEvent | None) -> None:
        if self._events.full():
            self._events.get_nowait()
        self._events.put_nowait(event)

    async def _call(self, method: str, *arguments: Any, within: float | None = None) -> Any:
        if self._stopping:
            raise Refused(Reason.SHUTDOWN)
        self._number += 1
        number = self._number
        try:
            async with asyncio.timeout(within or CALL_TIME):
                await self._ready.wait()
                assert self._writer is not None
                future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                self._waiting[number] = future
                self._writer.write(encode(Request(number, method, arguments)))
                return await future
        except TimeoutError:
            raise Refused(Reason.INTERNAL, "the media process does not answer") from None
        finally:
            self._waiting.pop(number, None)

    async def open(self, leg: LegId, room: RoomId, abilities: Abilities) -> None:
        """See `MediaPlane.open`."""
        if leg in self._legs:
            raise Refused(Reason.BAD_REQUEST, "this leg is open already")
        # Noted first: if this call is given up half-way, `close` must still reach the media process.
        self._legs.add(leg)
        try:
            await self._call("open", leg, room, abilities)
        except Refused:
            self._legs.discard(leg)
            raise

    async def offer(self, leg: LegId, wanted: Wanted) -> MediaDescription:
        """See `MediaPlane.offer`."""
        return await self._call("offer", leg, wanted)  # type: ignore[no-any-return]

    async def answer(self, leg: LegId, remote: MediaDescription) -> MediaDescription:
        """See `MediaPlane.answer`."""
        return await self._call("answer", leg, remote)  # type: ignore[no-any-return]

    async def accept(self, leg: LegId, remote: MediaDescription) -> None:
        """See `MediaPlane.accept`."""
        await self._call("accept", leg, remote)

    async def candidate(self, leg: LegId, stream: str, candidate: Candidate | None) -> None:
        """See `MediaPlane.candidate`."""
        await self._call("candidate", leg, stream, candidate)

    async def direct(self, room: RoomId, plan: ViewPlan) -> None:
        """See `MediaPlane.direct`."""
        await self._call("direct", room, plan)

    async def move(self, leg: LegId, room: RoomId) -> None:
        """See `MediaPlane.move`."""
        await self._call("move", leg, room)

    async def press(self, leg: LegId, digit: str, duration: int, by_tone: bool = False) -> bool:
        """See `MediaPlane.press`."""
        return await self._call("press", leg, digit, duration, by_tone)  # type: ignore[no-any-return]

    async def play(self, leg: LegId, sounds: tuple[Sound, ...], number: int = 0) -> None:
        """See `MediaPlane.play`."""
        await self._call("play", leg, sounds, number)

    async def announce(self, room: RoomId, sounds: tuple[Sound, ...]) -> None:
        """See `MediaPlane.announce`."""
        await self._call("announce", room, sounds)

    async def key_frame(self, leg: LegId, role: Role | None = None) -> None:
        """See `MediaPlane.key_frame`."""
        await self._call("key_frame", leg, role)

    async def confirm_key(self, leg: LegId, digit: str) -> None:
        """See `MediaPlane.confirm_key`."""
        await self._call("confirm_key", leg, digit)

    async def send_data(self, leg: LegId, label: str, data: str | bytes) -> bool:
        """See `MediaPlane.send_data`."""
        return await self._call("send_data", leg, label, data)  # type: ignore[no-any-return]

    async def send_text(self, leg: LegId, text: str) -> bool:
        """See `MediaPlane.send_text`."""
        return await self._call("send_text", leg, text)  # type: ignore[no-any-return]

    async def camera(self, leg: LegId, action: CameraAction) -> bool:
        """See `MediaPlane.camera`."""
        return await self._call("camera", leg, action)  # type: ignore[no-any-return]

    async def statistics(self, leg: LegId) -> LegStatistics:
        """See `MediaPlane.statistics`."""
        return await self._call("statistics", leg)  # type: ignore[no-any-return]

    async def counters(self) -> tuple[Sample, ...]:
        """See `MediaPlane.counters`."""
        return await self._call("counters")  # type: ignore[no-any-return]

    async def close(self, leg: LegId, reason: Reason) -> None:
        """See `MediaPlane.close`; a plane that is gone has closed everything."""
        if self._stopping or leg not in self._legs:
            return
        self._legs.discard(leg)
        await self._call("close", leg, reason)

    async def events(self) -> AsyncIterator[MediaEvent]:
        """See `MediaPlane.events`."""
        while (event := await self._events.get()) is not None:
            yield event
