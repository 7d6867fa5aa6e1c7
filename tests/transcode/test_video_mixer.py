"""A room's video: who sees whom, shared work, key frames, delay, and a clean end."""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
import time
from dataclasses import replace

import av
import pytest
from video_samples import BLUE, GREEN, GREY, RED, Screen, VirtualPool, coded, coded_flat, near

from transcode.frames import EncodedFrame
from transcode.media import Codec, Layout, LegId, LegPlan, RoomId, ViewPlan
from transcode.video import studio
from transcode.video.mixer import VideoMixer, Viewer
from transcode.video.pool import WorkerPool
from transcode.video.source import VideoSource

COLOURS = {"a": RED, "b": GREEN, "c": BLUE, "d": GREY}
SEED = 77


class Room:
    """A room on a virtual clock: legs that send a colour, and what each of them gets."""

    def __init__(self) -> None:
        self.pool = VirtualPool()
        self.mixer = VideoMixer(RoomId("room"), self.pool)
        self.sources: dict[str, VideoSource] = {}
        self.screens: dict[str, Screen] = {}
        self.named: list[LegPlan] = []
        self.layout = Layout.AUTO

    def join(self, name: str, camera: bool = True, codec: Codec = Codec.H264, **more: int | str | None) -> None:
        leg = LegId(name)
        if camera:
            source = VideoSource(leg, Codec.H264, self.pool, lambda *_: None)
            self.sources[name] = source
            self.mixer.set_source(leg, source)
        self.screens[name] = Screen()
        self.mixer.set_viewer(leg, viewer(self.screens[name], codec, **more))
        self.named.append(LegPlan(leg, f"Name {name}"))
        self.plan()

    def leave(self, name: str) -> None:
        self.mixer.set_source(LegId(name), None)
        self.mixer.set_viewer(LegId(name), None)
        self.named = [leg for leg in self.named if leg.leg != LegId(name)]
        self.sources.pop(name, None)
        self.plan()

    def plan(self) -> None:
        self.mixer.plan(ViewPlan(tuple(self.named), self.layout, "Room 100", "Waiting for others"))

    def run(self, seconds: float, rate: int = 30) -> None:
        for number in range(round(seconds * rate)):
            for name, source in self.sources.items():
                frame = coded_flat(COLOURS[name])[0]
                source.feed(replace(frame, timestamp=number * 90_000 // rate, arrival=self.pool.now))
                self.pool.run_due()
            self.pool.advance(1 / rate)
        assert self.pool.fault_list == []


def viewer(screen: Screen, codec: Codec = Codec.H264, **more: int | str | None) -> Viewer:
    values: dict[str, object] = {
        "profile": "42e01f" if codec is Codec.H264 else "",
        "width": 640,
        "height": 360,
        "frame_rate": 30,
        "bit_rate": 1_024_000,
        "slice_size": None,
    }
    return Viewer(codec, sink=screen, **(values | more))  # type: ignore[arg-type]


def test_two_see_each_other() -> None:
    room = Room()
    room.join("a")
    room.join("b")
    room.run(0.5)
    assert near(room.screens["a"].colour(0.5, 0.5), GREEN)
    assert near(room.screens["b"].colour(0.5, 0.5), RED)


def test_four_see_all_and_share_one_encoder() -> None:
    room = Room()
    for name in "abcd":
        room.join(name)
    room.run(0.5)
    for screen in room.screens.values():
        assert near(screen.colour(0.25, 0.25), RED)
        assert near(screen.colour(0.75, 0.25), GREEN)
        assert near(screen.colour(0.25, 0.75), BLUE)
        assert near(screen.colour(0.75, 0.75), GREY)
    seen = room.mixer.statistics()
    assert (seen.encoders, seen.pictures, seen.viewers) == (1, 1, 4)
    frames = [screen.frames[-1] for screen in room.screens.values()]
    assert all(frame is frames[0] for frame in frames)


def test_all_codecs_see_the_same_picture_composed_for_their_size() -> None:
    room = Room()
    room.join("a")
    room.join("b")
    room.join("c")
    for name, codec in (("w", Codec.VP8), ("x", Codec.H263), ("y", Codec.H263P), ("z", Codec.H261)):
        room.join(name, camera=False, codec=codec)
    room.run(0.5)
    for name, screen in room.screens.items():
        assert near(screen.colour(0.25, 0.3), RED, 20), name
        assert near(screen.colour(0.75, 0.3), GREEN, 20), name
        assert near(screen.colour(0.5, 0.7), BLUE, 20), name
    assert room.mixer.statistics().encoders == 5


def test_alone_one_sees_the_slate_a_few_times_a_second() -> None:
    room = Room()
    room.join("a")
    room.run(2.0)
    frames = room.screens["a"].frames
    assert frames[0].key
    assert room.screens["a"].keys == 1
    assert 8 <= len(frames) <= 11
    assert room.screens["a"].colour(0.5, 0.95)[0] < 40
    assert room.mixer.statistics().composed == 1


def test_everyone_sees_the_speaker_and_the_speaker_the_one_before() -> None:
    room = Room()
    room.layout = Layout.SPEAKER
    for name in "abc":
        room.join(name)
    room.mixer.speaker(LegId("a"))
    room.run(0.2)
    room.mixer.speaker(LegId("b"))
    room.run(0.4)
    assert near(room.screens["a"].colour(0.5, 0.5), GREEN)
    assert near(room.screens["c"].colour(0.5, 0.5), GREEN)
    assert near(room.screens["b"].colour(0.5, 0.5), RED)
    assert room.mixer.statistics().encoders == 2


def test_a_joiner_gets_a_key_frame_at_once() -> None:
    room = Room()
    for name in "abc":
        room.join(name)
    room.run(0.5)
    room.join("x", camera=False)
    room.run(0.1)
    assert room.screens["x"].frames[0].key
    assert near(room.screens["x"].colour(0.25, 0.25), RED)
    assert room.mixer.statistics().encoders == 1


def test_a_change_of_picture_is_a_key_frame_of_the_same_encoder() -> None:
    room = Room()
    for name in "abc":
        room.join(name)
    room.run(0.5)
    keys = room.screens["a"].keys
    encoder = next(iter(room.mixer._studio._streams.values())).encoder
    room.join("d")
    room.run(0.1)
    assert room.screens["a"].keys == keys + 1
    assert next(iter(room.mixer._studio._streams.values())).encoder is encoder
    assert near(room.screens["a"].colour(0.75, 0.75), GREY)


def test_a_storm_of_requests_gets_one_key_frame_a_second() -> None:
    room = Room()
    for name in "abc":
        room.join(name)
    room.run(1.5)
    keys = room.screens["a"].keys
    for _ in range(90):
        for name in "abc":
            room.mixer.request_key_frame(LegId(name))
        room.run(1 / 30)
    assert 3 <= room.screens["a"].keys - keys <= 4
    room.mixer.request_key_frame(LegId("nobody"))
    room.run(3)
    assert room.screens["a"].keys - keys <= 5


def test_a_request_while_alone_is_answered_within_a_second() -> None:
    room = Room()
    room.join("a")
    room.run(2)
    room.mixer.request_key_frame(LegId("a"))
    room.run(0.1)
    assert room.screens["a"].keys == 2


def test_encoders_without_viewers_end_at_once() -> None:
    room = Room()
    for name in "ab":
        room.join(name)
    room.join("v", camera=False, codec=Codec.VP8)
    room.run(0.3)
    assert room.mixer.statistics().encoders == 3
    room.mixer.set_viewer(LegId("v"), None)
    room.run(0.1)
    assert room.mixer.statistics().encoders == 2
    for name in "abv":
        room.leave(name)
    room.run(0.1)
    assert room.mixer.statistics().encoders == 0
    assert room.pool.next_due() is None


def test_nothing_is_composed_twice() -> None:
    room = Room()
    for name in "abc":
        room.join(name)
    room.run(1.0)
    before = room.mixer.statistics()
    room.run(2.0)
    after = room.mixer.statistics()
    assert after.composed - before.composed <= 61
    assert after.encoded - before.encoded <= 61
    assert after.scaled - before.scaled <= 3 * 61


def test_a_room_of_slow_sources_is_slow() -> None:
    room = Room()
    for name in "abc":
        room.join(name)
    room.run(2.0, rate=15)
    before = room.mixer.statistics().encoded
    room.run(2.0, rate=15)
    assert 28 <= room.mixer.statistics().encoded - before <= 32


def test_a_viewer_gets_no_more_pictures_than_it_takes() -> None:
    room = Room()
    for name in "abc":
        room.join(name)
    room.join("x", camera=False, frame_rate=15)
    room.run(2.0)
    assert 28 <= len(room.screens["x"].frames) <= 33
    assert len(room.screens["a"].frames) > 55


def test_a_lower_bit_rate_goes_on_without_a_key_frame() -> None:
    room = Room()
    for name in "abc":
        room.join(name)
    room.run(0.5)
    keys = room.screens["a"].keys
    for name in "abc":
        room.mixer.set_bit_rate(LegId(name), 300_000)
    room.run(0.5)
    assert room.screens["a"].keys == keys
    assert next(iter(room.mixer._studio._streams)).bit_rate == 256_000
    for name in "abc":
        room.mixer.set_bit_rate(LegId(name), 600_000)
    room.run(1.0)
    assert next(iter(room.mixer._studio._streams)).bit_rate == 256_000
    room.run(5.0)
    assert next(iter(room.mixer._studio._streams)).bit_rate == 512_000
    assert room.screens["a"].keys == keys


def test_who_needs_less_gets_an_encoder_of_its_own() -> None:
    room = Room()
    for name in "abc":
        room.join(name)
    room.run(0.3)
    room.mixer.set_bit_rate(LegId("c"), 100_000)
    room.run(0.3)
    assert room.mixer.statistics().encoders == 2
    assert room.screens["c"].frames[-1] is not room.screens["a"].frames[-1]


def test_a_source_that_went_silent_is_shown_by_its_name() -> None:
    room = Room()
    room.join("a")
    room.join("b")
    room.run(0.3)
    source = room.sources.pop("b")
    room.run(studio.STALE - 1)
    assert near(room.screens["a"].colour(0.5, 0.9), GREEN)
    room.run(2)
    assert not near(room.screens["a"].colour(0.5, 0.9), GREEN, 40)
    room.sources["b"] = source
    room.run(0.3)
    assert near(room.screens["a"].colour(0.5, 0.9), GREEN)


def test_a_viewer_that_changes_codec_sees_the_new_one_only() -> None:
    room = Room()
    room.join("a")
    room.join("b")
    room.run(0.3)
    screen = Screen()
    room.mixer.set_viewer(LegId("a"), viewer(screen, Codec.VP8))
    room.run(0.3)
    assert {frame.codec for frame in screen.frames} == {Codec.VP8}
    assert screen.frames[0].key
    assert near(screen.colour(0.5, 0.5), GREEN)


def test_a_failing_encoder_is_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    real, failures = studio.Encoder, [3]

    def broken(key: object) -> object:
        if failures[0]:
            failures[0] -= 1
            raise av.error.ExternalError(1, "no encoder")
        return real(key)  # type: ignore[arg-type]

    monkeypatch.setattr(studio, "Encoder", broken)
    room.join("a")
    room.join("b")
    room.run(2 * studio.FAULT_PAUSE + 0.5)
    assert room.mixer.statistics().faults == 3
    assert near(room.screens["a"].colour(0.5, 0.5), GREEN)
    assert near(room.screens["b"].colour(0.5, 0.5), RED)


def test_an_encoder_that_breaks_while_running_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    room.join("a")
    room.join("b")
    room.run(0.3)
    for stream in room.mixer._studio._streams.values():
        monkeypatch.setattr(stream.encoder, "encode", lambda *_: (_ for _ in ()).throw(ValueError("broken")))
    room.run(studio.FAULT_PAUSE + 0.5)
    assert room.mixer.statistics().faults == 2
    assert room.screens["a"].frames[-1].timestamp > (room.pool.now - 0.5) * 90_000


def test_encoding_pauses_while_the_loop_does_not_take_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    room.join("a")
    room.join("b")
    held: list[object] = []
    monkeypatch.setattr(room.pool, "to_loop", lambda *call: held.append(call))
    room.run(3.0)
    assert sum(call[0] == room.mixer._deliver for call in held) == studio.MAX_IN_FLIGHT  # type: ignore[index]
    assert room.mixer.statistics().paused > 0


def test_overload_halves_the_frame_rate() -> None:
    room = Room()
    for name in "abc":
        room.join(name)
    room.run(0.3)
    make = room.mixer._studio._make

    def slow(*arguments: object, **named: object) -> None:
        make(*arguments, **named)  # type: ignore[arg-type]
        room.pool.now += 0.05

    room.mixer._studio._make = slow  # type: ignore[method-assign]
    room.run(1.0)
    seen = room.mixer.statistics()
    assert seen.overloads >= 1
    assert seen.frame_rate < 30
    assert seen.missed_ticks > 0


def test_nothing_comes_after_close() -> None:
    room = Room()
    room.join("a")
    room.join("b")
    room.run(0.3)
    count = len(room.screens["a"].frames)
    room.mixer.close()
    room.mixer.close()
    room.run(0.5)
    room.mixer.plan(ViewPlan(()))
    room.mixer.set_bit_rate(LegId("a"), 1)
    room.mixer.request_key_frame(LegId("a"))
    assert len(room.screens["a"].frames) == count
    assert room.mixer.statistics().encoders == 0


def test_random_comings_and_goings_end_in_order() -> None:
    chance = random.Random(SEED)
    room = Room()
    for _ in range(60):
        name = chance.choice("abcd")
        if name in room.screens and any(leg.leg == LegId(name) for leg in room.named):
            if chance.random() < 0.4:
                room.leave(name)
            else:
                room.mixer.set_bit_rate(LegId(name), chance.choice([50_000, 400_000, 2_000_000]))
                room.mixer.speaker(chance.choice([None, LegId(name)]))
                room.layout = chance.choice(list(Layout))
                room.plan()
        else:
            room.join(name, chance.random() < 0.8, chance.choice([Codec.H264, Codec.VP8, Codec.H261]))
        room.run(0.1)
    for leg in list(room.named):
        room.leave(str(leg.leg))
    room.run(0.1)
    assert room.pool.faults == 0, f"seed {SEED}: {room.pool.fault_list}"
    assert room.mixer.statistics().encoders == 0


async def test_the_added_delay_is_small_and_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    loop = asyncio.get_running_loop()
    pool = WorkerPool(loop, workers=2)
    mixer = VideoMixer(RoomId("room"), pool)
    delays: list[float] = []
    threads: set[int] = set()

    def sink(frame: EncodedFrame) -> None:
        threads.add(threading.get_ident())
        if frame.arrival:
            delays.append(time.monotonic() - frame.arrival)

    sources = []
    for name in "ab":
        leg = LegId(name)
        source = VideoSource(leg, Codec.H264, pool, lambda *_: None)
        sources.append(source)
        mixer.set_source(leg, source)
        mixer.set_viewer(
            leg,
            viewer(Screen(), width=320, height=180)
            if name == "a"
            else replace(viewer(Screen(), width=320, height=180), sink=sink),
        )
    mixer.plan(ViewPlan((LegPlan(LegId("a"), "A"), LegPlan(LegId("b"), "B"))))
    stream = coded(Codec.H264, 40)
    for frame in stream:
        for source in sources:
            source.feed(replace(frame, arrival=time.monotonic()))
        await asyncio.sleep(1 / 30)
    mixer.close()
    for source in sources:
        source.close()
    pool.close()
    assert threads == {threading.get_ident()}
    assert len(delays) > 30
    assert statistics.median(delays) < 0.05
    assert not set(threading.enumerate()) - before
    assert pool.faults == 0


def bar_over(screen: Screen, x: float = 0.5) -> bool:
    """Whether there is a dark bar at the top of a picture."""
    return screen.colour(x, 0.055)[0] < 60


def test_a_notice_is_seen_by_one_alone_and_the_others_go_on_sharing() -> None:
    room = Room()
    for name in "abcd":
        room.join(name)
    room.run(0.5)
    keys = room.screens["b"].keys
    room.named[0] = replace(room.named[0], notice="You are muted, as everybody can see")
    room.plan()
    room.run(0.5)
    assert bar_over(room.screens["a"], 0.35)
    assert near(room.screens["a"].colour(0.25, 0.75), BLUE)
    assert not any(bar_over(room.screens[name], 0.35) for name in "bcd")
    assert room.mixer.statistics().encoders == 2
    assert room.screens["b"].keys == keys
    assert room.screens["b"].frames[-1] is room.screens["d"].frames[-1]
    before = len(room.screens["a"].frames)
    room.named[0] = replace(room.named[0], notice="")
    room.plan()
    room.run(0.5)
    assert not bar_over(room.screens["a"], 0.35)
    assert room.mixer.statistics().encoders == 1
    assert room.screens["a"].frames[-1] is room.screens["b"].frames[-1]
    back = next(frame for frame in room.screens["a"].frames[before:] if frame in room.screens["b"].frames)
    assert back.key


def test_a_notice_that_is_all_that_changes_costs_no_key_frame() -> None:
    room = Room()
    room.join("a")
    room.join("b")
    room.run(0.5)
    keys = room.screens["a"].keys
    for notice in ("One", "Two", ""):
        room.named[0] = replace(room.named[0], notice=notice)
        room.plan()
        room.run(0.5)
        assert bar_over(room.screens["a"]) == bool(notice)
        assert near(room.screens["a"].colour(0.5, 0.5), GREEN)
    assert room.screens["a"].keys == keys


def test_typed_keys_are_drawn_one_by_one_without_key_frames() -> None:
    room = Room()
    room.join("a", camera=False)
    room.run(0.5)
    screen, seen = room.screens["a"], set()
    for entry in (None, "", "4", "47", "471"):
        plan = ViewPlan(tuple(room.named), title="House", slate="Enter the room number\nthen press #", entry=entry)
        room.mixer.plan(plan)
        room.run(0.6)
        assert screen.last is not None
        seen.add(bytes(screen.last.planes[0]))
        if entry == "":
            keys = screen.keys  # of a new slate
    assert len(seen) == 5
    assert screen.keys == keys
