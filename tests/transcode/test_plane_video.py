"""Pictures through the whole plane: every codec both ways, sizes by what was negotiated, key frames when due."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from plane_peer import ANN, BOB, CYD, Peer, h264, meeting, together, until, video
from video_samples import BLUE, GREEN, RED

from transcode.interface import MediaPlane
from transcode.media import Codec, Format
from transcode.payload.vp8 import parse_descriptor

pytestmark = pytest.mark.parametrize("plane", ["direct"], indirect=True)

FORMATS = {
    "h264-1": h264("1"),
    "h264-0": h264("0", number=98),
    "vp8": video(Codec.VP8),
    "h263-1998": video(Codec.H263P, cif="1"),
    "h263": video(Codec.H263, 34, cif="1"),
    "h261": video(Codec.H261, 31, cif="1"),
}


@pytest.mark.parametrize("name", FORMATS)
async def test_each_sees_the_other_whatever_they_speak(plane: MediaPlane, name: str) -> None:
    format = FORMATS[name]
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, format)
    async with meeting(plane, ann, bob):
        ann.film(RED)
        bob.film(GREEN)
        seen_by_ann, seen_by_bob = ann.look(), bob.look()
        took = await until(lambda: seen_by_ann.shows(GREEN) and seen_by_bob.shows(RED), 4.0)
        assert took < 2.0
        assert bob.answer.streams[1].receive[0].codec is format.codec
        statistics = (await plane.statistics(BOB)).streams[1]
        assert statistics.codec_in == statistics.codec_out == format.codec.value
        assert (statistics.width_in, statistics.height_in) == (352, 288)
        assert seen_by_bob.errors == seen_by_ann.errors == 0
        if name == "h264-0":
            assert all(packet.payload[0] & 0x1F < 24 for packet in bob.video.packets)  # type: ignore[union-attr]
            assert max(len(packet.payload) for packet in bob.video.packets) <= 1200  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("format", "size"),
    [
        (h264(level="42e01f"), (1280, 720)),
        (h264(level="42e01e"), (640, 360)),
        (h264(level="42e00d"), (352, 288)),
        (video(Codec.H261, 31, qcif="1"), (176, 144)),
    ],
)
async def test_a_peer_gets_the_size_that_it_can_take(plane: MediaPlane, format: Format, size: tuple[int, int]) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, format)
    async with meeting(plane, ann, bob):
        ann.film(RED, 640, 360)
        screen = bob.look()
        await until(lambda: screen.size != (0, 0))
        assert screen.size == size


async def test_a_low_level_that_max_fs_raises_gets_what_it_is_raised_to(plane: MediaPlane) -> None:
    raised = Format(
        Codec.H264,
        96,
        90000,
        parameters=(("profile-level-id", "42800d"), ("max-mbps", "108000"), ("max-fs", "3600"), ("max-br", "2000")),
    )
    bob = Peer(plane, BOB, raised)
    async with meeting(plane, bob):
        screen = bob.look()
        await until(lambda: screen.size != (0, 0))
        assert screen.size == (1280, 720)
        answered = bob.answer.streams[1].receive[0]
        assert (answered.parameter("profile-level-id"), answered.parameter("max-fs")) == ("42800d", "3600")


async def test_who_joins_late_gets_a_key_frame_and_who_is_there_too_when_the_picture_changes(plane: MediaPlane) -> None:
    ann, bob, cyd = Peer(plane, ANN, h264()), Peer(plane, BOB, h264()), Peer(plane, CYD, h264())
    async with meeting(plane, ann, bob):
        ann.film(RED)
        bob.film(GREEN)
        screen = bob.look()
        await until(lambda: screen.shows(RED))
        await asyncio.sleep(0.5)
        keys = screen.keys
        await cyd.join()
        late = cyd.look()
        await together(plane, ANN, BOB, CYD)
        cyd.film(BLUE)
        assert await until(lambda: late.last is not None) < 2.0
        await until(lambda: screen.keys > keys, 2.0)
        await until(lambda: any(screen.shows(BLUE, x=x, y=y) for x in (0.25, 0.75, 0.5) for y in (0.2, 0.5, 0.7)), 3.0)
        await cyd.close()


async def test_vp8_pictures_are_numbered_without_holes_whoever_else_gets_vp8(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, video(Codec.VP8)), Peer(plane, BOB, video(Codec.VP8, **{"max-fs": "396"}))
    async with meeting(plane, ann, bob):
        ann.film(RED)
        bob.film(GREEN)
        for peer, screen, size in ((ann, ann.look(), (1280, 720)), (bob, bob.look(), (352, 288))):
            await until(lambda screen=screen: len(screen.frames) > 10)
            assert screen.size == size
            assert peer.video is not None
            began = [parse_descriptor(one.payload)[0] for one in peer.video.packets if one.payload[0] & 0x10]
            numbers = [one.picture_id for one in began if one.picture_id is not None]
            steps = {(after - before) & 0x7FFF for before, after in pairwise(numbers)}
            assert steps <= {0, 1}
