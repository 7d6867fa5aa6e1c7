"""The media plane's calls and events as pickled frames on a byte stream between two of our own processes.

A frame is a four-octet length and a pickle of `Request`, `Reply` or `Happening`. The stream is an inherited socket
pair: nobody but our own process can write to it, which is what makes pickle fit.
"""

from __future__ import annotations

import asyncio
import copyreg
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from operator import attrgetter
from typing import Any

from transcode import media
from transcode.events import MediaEvent

MAX_FRAME = 4 * 1024 * 1024
"""Octets of one frame: a room's plan for 500 legs is under 100 kB."""
_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Request:
    """A method to call."""

    number: int
    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a request: a value, or the exception that it raised."""

    number: int
    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of the plane."""

    event: MediaEvent


Frame = Request | Reply | Happening


def _spare(kind: type) -> None:
    """Let a dataclass be pickled as its class and its values: what it does by itself takes several times as long."""
    names = [one.name for one in fields(kind)]
    values: Callable[[Any], Any] = attrgetter(*names)
    if len(names) == 1:
        copyreg.pickle(kind, lambda one: (kind, (values(one),)))
    else:
        copyreg.pickle(kind, lambda one: (kind, values(one)))


for _kind in (Request, Reply, Happening, *vars(media).values()):
    if isinstance(_kind, type) and is_dataclass(_kind):
        _spare(_kind)


def encode(frame: Frame) -> bytes:
    """Return a frame's octets."""
    body = pickle.dumps(frame, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


async def read(reader: asyncio.StreamReader) -> Frame | None:
    """Return the next frame; None when the other side is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            return None
        frame = pickle.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return frame if isinstance(frame, Request | Reply | Happening) else None
