"""The media process: runs a `Plane` and serves its calls on an inherited socket. `python -m transcode.process FD`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

import structlog
import uvloop

from gateway.reasons import Reason, Refused
from transcode.logs import configure_logs
from transcode.memory import settle
from transcode.plane import Plane
from transcode.wire import Frame, Happening, Reply, Request, encode, read

log = structlog.get_logger()

METHODS = frozenset(
    {
        "open", "offer", "answer", "accept", "candidate", "direct", "move", "press", "key_frame", "send_data",
        "send_text", "statistics", "counters", "close", "confirm_key", "camera", "play", "announce",
    }
)  # fmt: skip
"""What may be called from outside."""
MAX_UNDER_WAY = 10_000
"""Calls under way at once; more means that something is stuck, and new ones are refused."""


async def serve(connection: socket.socket) -> None:
    """Serve one control plane until it closes the stream."""
    reader, writer = await asyncio.open_connection(sock=connection)
    first = await read(reader)
    if not isinstance(first, Request) or first.method != "configure":
        return
    plane = Plane(*first.arguments)
    await plane.start()
    settle()
    under_way: set[asyncio.Task[None]] = set()
    telling = asyncio.create_task(_tell(plane, writer))
    try:
        while (frame := await read(reader)) is not None:
            if isinstance(frame, Request):
                if len(under_way) >= MAX_UNDER_WAY:
                    writer.write(encode(Reply(frame.number, error=Refused(Reason.OVERLOAD))))
                    continue
                task = asyncio.create_task(_answer(plane, frame, writer))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
    finally:
        telling.cancel()
        for task in under_way:
            task.cancel()
        await plane.stop()
        writer.close()


async def _answer(plane: Plane, request: Request, writer: asyncio.StreamWriter) -> None:
    value: Any = None
    error: BaseException | None = None
    try:
        if request.method not in METHODS:
            raise Refused(Reason.UNSUPPORTED, request.method)
        value = await getattr(plane, request.method)(*request.arguments)
    except Refused as refusal:
        error = refusal
    except Exception as fault:  # the outermost shell of the media process: one leg's fault ends that leg alone
        log.exception("media_call_failed", method=request.method)
        error = Refused(Reason.INTERNAL, type(fault).__name__)
    reply: Frame = Reply(request.number, value, error)
    writer.write(encode(reply))
    await _drained(writer)


async def _drained(writer: asyncio.StreamWriter) -> None:
    """Wait while the control plane does not read: what waits for it then is bounded, not the stream's buffer."""
    with suppress(ConnectionError):  # it is gone; `serve` sees that too
        await writer.drain()


async def _tell(plane: Plane, writer: asyncio.StreamWriter) -> None:
    async for event in plane.events():
        writer.write(encode(Happening(event)))
        await _drained(writer)


def main() -> None:
    """Run until the control plane goes away; signals to the whole group are left to the control plane.

    Ctrl-C in a terminal and a service manager's SIGTERM reach this process too, while calls are still ended in order.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    configure_logs(os.environ.get("ROOMBRIDGE_LOG", ""))
    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
