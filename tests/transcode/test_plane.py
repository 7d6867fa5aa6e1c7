"""The media suite: who hears whom and what is refused, over every form in which the plane can be had."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

import numpy as np
import pytest
from rtp_phone import Phone, loudness

from gateway.reasons import Reason, Refused
from transcode.audio import g711
from transcode.events import (
    Connected,
    Dtmf,
    Failed,
    FormatsChanged,
    MediaEvent,
    Talking,
)
from transcode.interface import MediaPlane
from transcode.media import (
    Abilities,
    Codec,
    Format,
    Kind,
    LegId,
    LegPlan,
    MediaDescription,
    RoomId,
    SrtpPolicy,
    StreamDescription,
    Transport,
    ViewPlan,
    Wanted,
)
from transcode.plane import Plane
from transcode.remote import RemotePlane
from transcode.settings import PlaneSettings

ROOM = RoomId("100")
PCMU = Format(Codec.PCMU, 0, 8000)
EVENT = Format(Codec.TELEPHONE_EVENT, 101, 8000)
TONES = {LegId("ann"): 440.0, LegId("bob"): 850.0, LegId("cyd"): 1330.0}


def audio(port: int, *formats: Format, id: str = "0") -> MediaDescription:
    stream = StreamDescription(id, Kind.AUDIO, formats, formats, Transport("127.0.0.1", port))
    return MediaDescription((stream,))


async def everybody(plane: MediaPlane, *legs: LegId, **changes: dict[str, bool]) -> None:
    plans = tuple(LegPlan(leg, leg.title(), **changes.get(leg, {})) for leg in legs)
    await plane.direct(ROOM, ViewPlan(plans))


async def join(plane: MediaPlane, leg: LegId) -> Phone:
    phone = Phone()
    await plane.open(leg, ROOM, Abilities())
    answer = await plane.answer(leg, audio(phone.port, PCMU, EVENT))
    transport = answer.streams[0].transport
    assert transport.address == "127.0.0.1"
    phone.remote = (transport.address, transport.port)
    return phone


async def talk(phones: dict[LegId, Phone], seconds: float, silent: frozenset[LegId] = frozenset()) -> None:
    """Let every phone send its tone in real time, 20 ms a packet."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(int(seconds * 50)):
        at = np.arange(number * 160, number * 160 + 160) / 8000
        for leg, phone in phones.items():
            level = 0 if leg in silent else 8000
            tone = (level * np.sin(2 * np.pi * TONES[leg] * at)).astype(np.int16)
            phone.send(0, g711.encode(Codec.PCMU, tone), number * 160)
        await asyncio.sleep(max(0.0, began + (number + 1) * 0.02 - loop.time()))


def heard(phone: Phone, last: int = 40) -> np.ndarray:
    return np.concatenate([g711.decode(Codec.PCMU, packet.payload) for packet in phone.packets[-last:]]).astype(float)


async def collect(plane: MediaPlane, into: list[MediaEvent]) -> None:
    async for event in plane.events():
        into.append(event)  # noqa: PERF401 - the list is read while it grows


async def test_each_hears_all_the_others_and_never_itself(plane: MediaPlane) -> None:
    events: list[MediaEvent] = []
    watching = asyncio.create_task(collect(plane, events))
    phones = {leg: await join(plane, leg) for leg in TONES}
    await everybody(plane, *TONES)
    await talk(phones, 1.1)
    for leg, phone in phones.items():
        sound = heard(phone, 20)
        for other, tone in TONES.items():
            level = loudness(sound, tone)
            assert level < -45 if other == leg else level > -25, (leg, other, level)
    assert {event.leg for event in events if isinstance(event, Talking) and event.talking} == set(TONES)
    assert any(isinstance(event, FormatsChanged) and event.codec_in == "PCMU" for event in events)
    statistics = await plane.statistics(LegId("ann"))
    assert statistics.streams[0].packets_in >= 45
    assert statistics.streams[0].packets_out >= 45
    for leg, phone in phones.items():
        await plane.close(leg, Reason.NORMAL)
        await plane.close(leg, Reason.NORMAL)
        phone.close()
    watching.cancel()


async def test_a_muted_leg_is_not_heard_and_a_leg_that_no_plan_names_hears_nothing(plane: MediaPlane) -> None:
    phones = {leg: await join(plane, leg) for leg in TONES}
    await everybody(plane, LegId("ann"), LegId("bob"), ann={"heard": False})
    await talk(phones, 0.9)
    assert loudness(heard(phones[LegId("bob")], 20), TONES[LegId("ann")]) < -45
    assert loudness(heard(phones[LegId("ann")], 20), TONES[LegId("bob")]) > -25
    outside = phones[LegId("cyd")]
    if outside.packets:
        sound = heard(outside, 20)
        assert all(loudness(sound, tone) < -45 for tone in TONES.values())
    for phone in phones.values():
        phone.close()


async def test_a_key_press_is_told_once(plane: MediaPlane) -> None:
    events: list[MediaEvent] = []
    watching = asyncio.create_task(collect(plane, events))
    phone = await join(plane, LegId("ann"))
    await everybody(plane, LegId("ann"))
    for number in range(5):
        phone.send(0, bytes([255]) * 160, number * 160)
    for duration, end in ((160, 0), (320, 0), (480, 0), (640, 0x80), (640, 0x80), (640, 0x80)):
        phone.send(101, bytes([5, end | 10]) + duration.to_bytes(2, "big"), 800, marker=duration == 160)
        await asyncio.sleep(0.02)
    deadline = asyncio.get_running_loop().time() + 20
    while not any(isinstance(event, Dtmf) for event in events) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.55)  # a second one would come within this
    assert [event.digit for event in events if isinstance(event, Dtmf)] == ["5"]
    assert any(isinstance(event, Connected) for event in events)
    phone.close()
    watching.cancel()


async def test_refusals_cross_with_their_reason(plane: MediaPlane) -> None:
    leg = LegId("ann")
    await plane.open(leg, ROOM, Abilities(srtp=SrtpPolicy.REQUIRE))
    with pytest.raises(Refused) as refusal:
        await plane.answer(leg, audio(4000, PCMU))
    assert refusal.value.reason is Reason.ENCRYPTION_NEEDED
    with pytest.raises(Refused) as refusal:
        await plane.answer(LegId("nobody"), audio(4000, PCMU))
    assert refusal.value.reason is Reason.CANCELLED
    with pytest.raises(Refused) as refusal:
        await plane.accept(leg, audio(4000, PCMU))
    assert refusal.value.reason is Reason.BAD_DESCRIPTION


async def test_our_offer_is_accepted_and_media_flows(plane: MediaPlane) -> None:
    phones = {LegId("ann"): await join(plane, LegId("ann"))}
    leg = LegId("bob")
    await plane.open(leg, ROOM, Abilities(srtp=SrtpPolicy.OFF))
    offer = await plane.offer(leg, Wanted(video=False))
    assert [one.codec for one in offer.streams[0].receive][-1] is Codec.TELEPHONE_EVENT
    phone = phones[leg] = Phone()
    phone.remote = ("127.0.0.1", offer.streams[0].transport.port)
    await plane.accept(leg, audio(phone.port, PCMU, id=offer.streams[0].id))
    await everybody(plane, *phones)
    await talk(phones, 0.9)
    assert loudness(heard(phone, 20), TONES[LegId("ann")]) > -25
    assert loudness(heard(phones[LegId("ann")], 20), TONES[leg]) > -25
    for one in phones.values():
        one.close()


async def test_ports_come_back_when_legs_close(plane: MediaPlane) -> None:
    for number in range(30):
        legs = [LegId(f"{number}.{one}") for one in range(10)]
        for leg in legs:
            await plane.open(leg, ROOM, Abilities())
            await plane.answer(leg, audio(4000, PCMU))
        for leg in legs:
            await plane.close(leg, Reason.NORMAL)
    samples = {sample.name: sample.value for sample in await plane.counters() if not sample.labels}
    assert samples["legs"] == 0


async def test_a_media_process_that_is_killed_fails_its_legs_and_is_replaced() -> None:
    plane = RemotePlane(PlaneSettings(address="127.0.0.1", low=41400, high=41499))
    await plane.start()
    events: list[MediaEvent] = []
    watching = asyncio.create_task(collect(plane, events))
    try:
        await plane.open(LegId("ann"), ROOM, Abilities())
        first = plane.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(50):
            while not events or plane.pid == first:
                await asyncio.sleep(0.1)
        assert Failed(LegId("ann"), Reason.INTERNAL, "the media process ended") in events
        with suppress(Refused):
            await plane.close(LegId("ann"), Reason.INTERNAL)
        await plane.open(LegId("bob"), ROOM, Abilities())
        assert (await plane.answer(LegId("bob"), audio(4000, PCMU))).streams[0].transport.port
    finally:
        await plane.stop()
        watching.cancel()


@pytest.mark.parametrize("public", ["203.0.113.9", "2001:db8::9"])
@pytest.mark.parametrize("own", ["127.0.0.1", "::1"])
async def test_a_public_address_is_told_to_peers_of_its_own_family_alone(public: str, own: str) -> None:
    plane = Plane(PlaneSettings(address=own, public_address=public, low=41400, high=41499))
    await plane.start()
    try:
        await plane.open(LegId("ann"), ROOM, Abilities())
        offered = (await plane.offer(LegId("ann"), Wanted(video=False))).streams[0].transport
        assert offered.address == (public if (":" in public) == (":" in own) else own)
    finally:
        await plane.stop()
