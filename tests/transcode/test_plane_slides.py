"""Slides through the whole plane: a second video of each leg that has one, inside the picture of people for others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from plane_peer import ANN, BOB, CYD, ROOM, Camera, Line, Peer, Screen, events_of, h264, meeting, until, video
from video_samples import GREEN, RED

from transcode.events import Sharing
from transcode.interface import MediaPlane
from transcode.media import (
    Abilities,
    Codec,
    Format,
    Kind,
    LegId,
    LegPlan,
    MediaDescription,
    Role,
    ViewPlan,
    Wanted,
)
from transcode.rtp import rtcp

DAN = LegId("dan")
WHITE = (200, 128, 128)


class Presenter(Peer):
    """A peer with a second video line for slides."""

    def __init__(self, plane: MediaPlane, leg: LegId, *formats: Format, slides: Format | None = None) -> None:
        super().__init__(plane, leg, *formats)
        self.slides = Line()
        self.format = slides or h264()
        self.sends = True

    def offer(self, **more: object) -> MediaDescription:
        """Describe all three lines."""
        line = self.slides.describe("2", Kind.VIDEO, self.format, sends=self.sends)
        people = super().offer(**more)
        return MediaDescription((*people.streams, replace(line, role=Role.SLIDES)))

    async def renew(self, offer: MediaDescription) -> None:
        """Take the answer for the slides, too."""
        await super().renew(offer)
        answered = self.answer.stream("2")
        assert answered is not None
        if not answered.refused:
            self.slides.connect(answered.transport)

    def watch(self) -> Screen:
        """Decode the slides that come."""
        return Screen(self.slides, self.format)

    def share(self, yuv: tuple[int, int, int], rate: int = 10) -> Camera:
        """Send slides of one colour."""
        shared = Camera(self.slides, self.format, yuv, 640, 360, rate=rate)
        self.start(shared.run())
        return shared

    async def close(self) -> None:
        """Close its third line, too."""
        await super().close()
        self.slides.close()


async def present(plane: MediaPlane, who: LegId | None, *legs: LegId) -> None:
    await plane.direct(ROOM, ViewPlan(tuple(LegPlan(leg, leg.title()) for leg in legs), presenter=who))


async def encoders(plane: MediaPlane) -> int:
    """Return how many encoders run."""
    return round(next(one.value for one in await plane.counters() if one.name == "encoders_running"))


async def test_slides_reach_second_streams_and_stand_in_the_picture_of_who_has_none(plane: MediaPlane) -> None:
    ann, bob, cyd = Presenter(plane, ANN, h264()), Presenter(plane, BOB, h264()), Peer(plane, CYD, h264())
    everybody = (ANN, BOB, CYD)
    async with meeting(plane, ann, bob, cyd):
        ann.film(RED)
        bob.film(GREEN)
        people_of_bob, slides_of_bob, cyd_sees = bob.look(), bob.watch(), cyd.look()
        people_of_ann, slides_of_ann = ann.look(), ann.watch()
        await until(lambda: cyd_sees.shows(RED, x=0.25, y=0.2) and cyd_sees.shows(GREEN, x=0.75, y=0.2))

        ann.share(WHITE)
        await present(plane, ANN, *everybody)
        await until(lambda: slides_of_bob.shows(WHITE) and cyd_sees.shows(WHITE, x=0.4, y=0.5))
        assert slides_of_bob.errors == cyd_sees.errors == 0
        await until(lambda: cyd_sees.shows(RED, x=0.9, y=0.15) or cyd_sees.shows(GREEN, x=0.9, y=0.15))
        await until(lambda: people_of_bob.shows(RED, x=0.25, y=0.2) and people_of_bob.shows(GREEN, x=0.75, y=0.2))
        await until(lambda: people_of_ann.shows(RED, x=0.25, y=0.2) and people_of_ann.shows(GREEN, x=0.75, y=0.2))
        assert slides_of_ann.frames == []

        await present(plane, None, *everybody)
        await until(lambda: cyd_sees.shows(RED, x=0.25, y=0.2) and cyd_sees.shows(GREEN, x=0.75, y=0.2))
        await asyncio.sleep(0.3)
        seen = len(slides_of_bob.frames)
        await asyncio.sleep(0.5)
        assert len(slides_of_bob.frames) == seen


async def test_one_encoder_serves_all_who_see_the_slides_and_late_comers_get_a_key_frame(plane: MediaPlane) -> None:
    ann, bob = Presenter(plane, ANN), Presenter(plane, BOB)
    cyd, dan = Presenter(plane, CYD), Peer(plane, DAN, h264())
    async with meeting(plane, ann, bob):
        shared = ann.share(WHITE)
        await present(plane, ANN, ANN, BOB)
        first = bob.watch()
        await until(lambda: first.shows(WHITE))
        for late in (cyd, dan):
            await late.join()
        seen, inside = cyd.watch(), dan.look()
        try:
            await present(plane, ANN, ANN, BOB, CYD, DAN)
            assert await until(lambda: seen.shows(WHITE) and inside.shows(WHITE, x=0.4, y=0.5)) < 2.0
            assert await encoders(plane) == 2  # one for all second streams, one for the picture of who has none
            assert first.size == seen.size == (1280, 720)

            keys, asked = seen.keys, shared.keys_sent
            cyd.slides.report(rtcp.PictureLoss(cyd.slides.ssrc, cyd.slides.packets[-1].ssrc))
            await until(lambda: seen.keys > keys, 3.0)
            keys = seen.keys
            await plane.key_frame(CYD, Role.MAIN)
            await asyncio.sleep(1.2)
            assert seen.keys == keys
            await plane.key_frame(CYD, Role.SLIDES)
            await until(lambda: seen.keys > keys, 3.0)
            assert shared.keys_sent == asked
        finally:
            await cyd.close()
            await dan.close()


async def test_a_key_frame_is_asked_of_the_slides_and_not_of_the_people(plane: MediaPlane) -> None:
    ann, bob = Presenter(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        ann.film(RED)
        screen = bob.look()
        await until(lambda: screen.shows(RED))
        before = len(ann.video.told(rtcp.PictureLoss)) if ann.video is not None else 0
        shared = ann.share(WHITE)
        await present(plane, ANN, ANN, BOB)
        await until(lambda: screen.shows(WHITE, x=0.4, y=0.5))
        for _ in range(3):
            ann.slides.send(96, b"\x7c\x85\x00", 10**6, True)  # the start of a fragmented picture that never goes on
            ann.slides.sequence += 3
            await asyncio.sleep(0.1)
        asked = (rtcp.PictureLoss, rtcp.FullIntraRequest)
        await until(lambda: any(ann.slides.told(kind) for kind in asked) and shared.keys_sent > 1)
        assert ann.video is not None
        assert len(ann.video.told(rtcp.PictureLoss)) == before


async def test_it_is_told_when_slides_begin_and_that_their_stream_ended(plane: MediaPlane) -> None:
    ann, bob = Presenter(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with events_of(plane) as told, meeting(plane, ann, bob):
        await asyncio.sleep(0.3)
        assert not [one for one in told if isinstance(one, Sharing)]
        ann.share(WHITE)
        await until(lambda: Sharing(ANN, True) in told)
        statistics = {one.role: one for one in (await plane.statistics(ANN)).streams if one.kind is Kind.VIDEO}
        assert statistics[Role.SLIDES].width_in == 640
        assert statistics[Role.SLIDES].frames_in > 0
        assert statistics[Role.MAIN].frames_in == 0
        ann.sends = False
        await ann.renew(ann.offer())
        await until(lambda: Sharing(ANN, False) in told)


async def test_a_peer_with_old_video_gets_slides_too(plane: MediaPlane) -> None:
    ann = Presenter(plane, ANN, h264(), slides=video(Codec.H263P, 98))
    bob = Presenter(plane, BOB, h264(), slides=video(Codec.H261, 31))
    async with meeting(plane, ann, bob):
        ann.share(WHITE)
        bob_sees = bob.watch()
        await present(plane, ANN, ANN, BOB)
        await until(lambda: bob_sees.shows(WHITE))
        assert bob_sees.size == (352, 288)


async def test_slides_are_offered_where_they_are_wanted_and_refused_where_they_are_off(plane: MediaPlane) -> None:
    await plane.open(ANN, ROOM, Abilities())
    await plane.open(BOB, ROOM, Abilities(slides=False))
    plain = await plane.offer(ANN, Wanted())
    assert [one.role for one in plain.streams] == [Role.MAIN, Role.MAIN]
    offered = await plane.offer(ANN, Wanted(slides=True, text=True))
    assert [(one.kind, one.role) for one in offered.streams] == [
        (Kind.AUDIO, Role.MAIN),
        (Kind.VIDEO, Role.MAIN),
        (Kind.VIDEO, Role.SLIDES),
        (Kind.TEXT, Role.MAIN),
    ]
    assert offered.streams[1].id == plain.streams[1].id
    assert len({one.transport.port for one in offered.streams}) == 4
    again = await plane.offer(ANN, Wanted())  # what is there stays
    assert [one.transport.port for one in again.streams] == [one.transport.port for one in offered.streams]

    bob = Presenter(plane, BOB, h264())
    try:
        await bob.renew(bob.offer())
        refused = bob.answer.stream("2")
        assert refused is not None
        assert refused.refused
        assert not (await plane.offer(BOB, Wanted(slides=True))).stream("3")
    finally:
        await bob.close()
