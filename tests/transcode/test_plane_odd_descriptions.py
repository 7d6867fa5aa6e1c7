"""Descriptions that a peer may give and few do: bundles of lines that are not taken, answers that do not fit, ways
that lead nowhere."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from media_strangers import KEYS, NOISE, NOWHERE, PICTURES, PLAIN, SOUND
from plane_peer import ANN, ROOM

from gateway.reasons import Reason, Refused
from transcode.events import FormatsChanged, MediaEvent
from transcode.leg import FORMATS_STEP
from transcode.media import (
    Abilities,
    Format,
    H235Cipher,
    H235Key,
    H235Keys,
    Ice,
    KeepAlive,
    Kind,
    LegId,
    MediaDescription,
    Role,
    StreamDescription,
    Transport,
    Traversal,
    Wanted,
)
from transcode.plane import TICK, Plane
from transcode.settings import PlaneSettings

PCMU, H264 = SOUND[0], PICTURES[0]
MULTICAST = "224.0.0.1"


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    made = Plane(PlaneSettings(address="127.0.0.1", low=43_000, high=43_999))
    await made.start()
    await made.open(ANN, ROOM, Abilities())
    yield made
    await made.close(ANN, Reason.NORMAL)
    assert made._carriers._pool.in_use == 0
    await made.stop()


def line(id: str, kind: Kind, *formats: Format, role: Role = Role.MAIN) -> StreamDescription:
    return StreamDescription(id, kind, formats, formats, NOWHERE, role)


async def test_a_bundle_is_answered_whose_last_line_is_not_taken(plane: Plane) -> None:
    sound, second = line("0", Kind.AUDIO, PCMU), line("1", Kind.AUDIO, PCMU)
    answer = await plane.answer(ANN, MediaDescription((sound, second), ("0", "1", "nobody")))
    assert [one.refused for one in answer.streams] == [False, True]
    assert answer.bundle == ("0",)


async def test_keys_and_comfort_noise_beside_pictures_are_left_out(plane: Plane) -> None:
    beside = (replace(KEYS, clock_rate=90_000), replace(NOISE, payload_type=98, clock_rate=90_000))
    answer = await plane.answer(ANN, MediaDescription((line("0", Kind.VIDEO, *beside, H264),)))
    assert [one.codec for one in answer.streams[0].receive] == [H264.codec]


async def test_streams_that_are_added_get_names_of_their_own(plane: Plane) -> None:
    theirs = MediaDescription((line("0", Kind.TEXT, PLAIN), line("1", Kind.VIDEO, H264, role=Role.SLIDES)))
    await plane.answer(ANN, theirs)
    offer = await plane.offer(ANN, Wanted(text=True, slides=True))
    named = {one.id: (one.kind, one.role) for one in offer.streams}
    assert len(named) == 4
    assert (named["0"], named["1"]) == ((Kind.TEXT, Role.MAIN), (Kind.VIDEO, Role.SLIDES))


async def test_a_line_that_is_answered_as_another_kind_is_not_taken(plane: Plane) -> None:
    offer = await plane.offer(ANN, Wanted())
    sound, picture = offer.streams
    await plane.accept(ANN, MediaDescription((line(sound.id, Kind.AUDIO, PCMU), line(picture.id, Kind.AUDIO, PCMU))))
    assert [one.kind for one in (await plane.statistics(ANN)).streams] == [Kind.AUDIO]
    offer = await plane.offer(ANN, Wanted())
    with pytest.raises(Refused) as refusal:
        await plane.accept(ANN, MediaDescription(tuple(replace(one, kind=Kind.CAMERA) for one in offer.streams)))
    assert refusal.value.reason is Reason.NO_COMMON_FORMAT


@pytest.mark.parametrize(
    "way",
    [
        replace(NOWHERE, traversal=Traversal(keep_alive=KeepAlive(MULTICAST, 5000, 10, 127))),
        replace(NOWHERE, h235=H235Keys(receive=H235Key(H235Cipher.AES_128_CBC, bytes(5), 96))),
        replace(NOWHERE, address=MULTICAST, ice=Ice("user", "p" * 24)),
    ],
    ids=["keep-alive", "key", "ICE that was not offered"],
)
async def test_an_answer_that_cannot_be_used_is_refused_before_it_changes_anything(
    plane: Plane, way: Transport
) -> None:
    offer = await plane.offer(ANN, Wanted())
    sound = line(offer.streams[0].id, Kind.AUDIO, PCMU)
    with pytest.raises(Refused) as refusal:
        await plane.accept(ANN, MediaDescription((replace(sound, transport=way),)))
    assert refusal.value.reason is Reason.BAD_DESCRIPTION
    assert len((await plane.statistics(ANN)).streams) == len(offer.streams)


async def test_data_channels_without_a_browsers_transport_are_refused_before_anything_changes(plane: Plane) -> None:
    browser = LegId("browser")
    await plane.open(browser, ROOM, Abilities(ice=True))
    await plane.answer(browser, MediaDescription((line("0", Kind.AUDIO, PCMU),)))
    data = replace(NOWHERE, ice=Ice("user", "p" * 24), sctp_port=5000)
    streams = (line("1", Kind.VIDEO, H264), replace(line("2", Kind.DATA), transport=data))
    with pytest.raises(Refused) as refusal:
        await plane.answer(browser, MediaDescription(streams, ("1", "2")))
    assert refusal.value.reason is Reason.UNSUPPORTED
    assert [one.id for one in (await plane.statistics(browser)).streams] == ["0"]
    await plane.close(browser, Reason.NORMAL)


async def test_a_picture_that_changes_its_size_with_each_frame_is_told_of_now_and_then(plane: Plane) -> None:
    await plane.answer(ANN, MediaDescription((line("0", Kind.VIDEO, H264),)))
    leg, now = plane._legs[ANN], time.monotonic() + 60.0
    (stream,) = leg.streams.values()
    while not plane._events.empty():
        plane._events.get_nowait()
    told: list[MediaEvent] = []
    leg._emit = told.append
    for number in range(100):
        stream._size_in = (16 * number, 16)  # type: ignore[attr-defined]
        leg.poll(now + number * TICK)
    sizes = [event.width_in for event in told if isinstance(event, FormatsChanged)]
    assert 3 <= len(sizes) <= 1 + 100 * TICK / FORMATS_STEP
    leg.poll(now + 100 * TICK + FORMATS_STEP)
    last = [event for event in told if isinstance(event, FormatsChanged)][-1]
    assert last.width_in == 16 * 99


async def test_streams_of_ever_new_names_leave_nothing_behind(plane: Plane) -> None:
    for number in range(20):
        await plane.answer(ANN, MediaDescription((line(str(number), Kind.AUDIO, PCMU),)))
        plane._legs[ANN].poll(time.monotonic())
    assert len(plane._legs[ANN]._told) == 1
