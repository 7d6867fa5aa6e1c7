"""Frames between the two processes: what goes in comes out, and a room's plan is small and quick."""

from __future__ import annotations

import asyncio

import pytest

from gateway.reasons import Reason, Refused
from transcode.events import Dtmf
from transcode.media import (
    Codec,
    Format,
    Kind,
    Layout,
    LegId,
    LegPlan,
    MediaDescription,
    RoomId,
    StreamDescription,
    Transport,
    ViewPlan,
)
from transcode.wire import MAX_FRAME, Frame, Happening, Reply, Request, encode, read

PCMU = Format(Codec.PCMU, 0, 8000, parameters=(("a", "b"),))
STREAM = StreamDescription("0", Kind.AUDIO, (PCMU,), (PCMU,), Transport("192.0.2.1", 4000, rtcp_mux=True))


def a_crowd(count: int) -> ViewPlan:
    legs = tuple(LegPlan(LegId(f"{number:012x}"), f"Person {number}") for number in range(count))
    return ViewPlan(legs, Layout.SPEAKER, "Everyone", "Dial 100")


async def through(data: bytes) -> Frame | None:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await read(reader)


@pytest.mark.parametrize(
    "frame",
    [
        Request(7, "answer", (LegId("x"), MediaDescription((STREAM,), ("0",)))),
        Request(8, "direct", (RoomId("100"), a_crowd(3))),
        Reply(7, MediaDescription((STREAM,))),
        Happening(Dtmf(LegId("x"), "5", 80)),
    ],
)
async def test_a_frame_comes_out_as_it_went_in(frame: Frame) -> None:
    assert await through(encode(frame)) == frame


async def test_a_refusal_comes_out_with_its_reason() -> None:
    frame = await through(encode(Reply(1, error=Refused(Reason.NO_PORTS))))
    assert isinstance(frame, Reply)
    assert isinstance(frame.error, Refused)
    assert frame.error.reason is Reason.NO_PORTS


async def test_the_plan_of_a_full_room_takes_less_than_fifty_octets_a_leg() -> None:
    data = encode(Request(1, "direct", (RoomId("100"), a_crowd(500))))
    assert len(data) < 500 * 50 < MAX_FRAME
    assert await through(data) == Request(1, "direct", (RoomId("100"), a_crowd(500)))


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\0\0\0\5ab", (MAX_FRAME + 1).to_bytes(4, "big") + b"x"])
async def test_a_stream_that_ends_early_or_says_too_much_is_over(data: bytes) -> None:
    assert await through(data) is None
