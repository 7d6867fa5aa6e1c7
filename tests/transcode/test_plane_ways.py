"""Every way that media may take between two planes: with and without ICE, by each kind of keys, alone and bundled.

One plane offers and the other answers; a plain terminal sings at each end, and its tone must come out at the other.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from plane_peer import ANN, ROOM, Peer, events_of, h264, together, until
from rtp_phone import loudness
from video_samples import GREEN, RED

from gateway.reasons import Reason, Refused
from transcode.events import Failed
from transcode.media import (
    Abilities,
    Dtls,
    Fingerprint,
    Ice,
    LegId,
    MediaDescription,
    Setup,
    SrtpPolicy,
    StreamDescription,
    Transport,
    Wanted,
)
from transcode.plane import Plane
from transcode.settings import PlaneSettings

FAR = LegId("far")
"""The leg at each plane that leads to the other one."""
PATIENCE = 40.0
"""Seconds that a busy machine may need for handshakes and checks."""
Edit = Callable[[Transport], Transport]


def as_it_is(transport: Transport) -> Transport:
    """Leave an offer alone."""
    return transport


@dataclass
class Houses:
    """Two planes, and a terminal in the room of each."""

    one: Plane
    other: Plane
    ann: Peer
    bob: Peer
    offer: MediaDescription = field(default_factory=lambda: MediaDescription(()))
    answer: MediaDescription = field(default_factory=lambda: MediaDescription(()))

    async def open(self, ours: Abilities, theirs: Abilities) -> None:
        """Open the legs that lead to the other house."""
        await self.one.open(FAR, ROOM, ours)
        await self.other.open(FAR, ROOM, theirs)
        await together(self.one, ANN, FAR)
        await together(self.other, ANN, FAR)

    async def agree(self, wanted: Wanted, edit: Edit = as_it_is, back: bool = False) -> None:
        """Offer and answer; back: the other one offers."""
        offering, answering = (self.other, self.one) if back else (self.one, self.other)
        self.offer = edited(await offering.offer(FAR, wanted), edit)
        self.answer = await answering.answer(FAR, self.offer)
        await offering.accept(FAR, self.answer)

    async def heard(self) -> None:
        """Wait until each hears the other."""
        await until(
            lambda: loudness(self.ann.heard(10), 850) > -25 and loudness(self.bob.heard(10), 440) > -25, PATIENCE
        )

    async def suites(self) -> set[str]:
        """Return how all streams of both legs are encrypted."""
        both = [await plane.statistics(FAR) for plane in (self.one, self.other)]
        return {stream.encrypted for leg in both for stream in leg.streams}


def edited(description: MediaDescription, edit: Edit) -> MediaDescription:
    """Change the transports of a description on its way."""
    streams = tuple(replace(one, transport=edit(one.transport)) for one in description.streams)
    return replace(description, streams=streams)


@asynccontextmanager
async def houses(*formats: object, address: str = "127.0.0.1") -> AsyncIterator[Houses]:
    """Start both planes and let both terminals sing."""
    one = Plane(PlaneSettings(address=address, low=41400, high=41599))
    other = Plane(PlaneSettings(address=address, low=41600, high=41799))
    await one.start()
    await other.start()
    ann, bob = Peer(one, ANN, *formats), Peer(other, ANN, *formats)  # type: ignore[arg-type]
    try:
        await ann.join()
        await bob.join()
        ann.sing(440)
        bob.sing(850)
        yield Houses(one, other, ann, bob)
    finally:
        await ann.close()
        await bob.close()
        await one.stop()
        await other.stop()


def without_mux(transport: Transport) -> Transport:
    """Let RTCP have a port of its own."""
    return replace(transport, rtcp_mux=False)


def as_active(transport: Transport) -> Transport:
    """Let the offerer be the DTLS client."""
    assert transport.dtls is not None
    return replace(transport, dtls=replace(transport.dtls, setup=Setup.ACTIVE))


def as_passive(transport: Transport) -> Transport:
    """Let the offerer be the DTLS server."""
    assert transport.dtls is not None
    return replace(transport, dtls=replace(transport.dtls, setup=Setup.PASSIVE))


# DTLS 1.2 record: handshake (16), version fe fd, epoch 0, sequence 0, length 0x0d; ClientHello (01) of length 1
HELLO = bytes.fromhex("16 fefd 0000 000000000000 000d 01 000001 0000 000000 000001 fe")
DTLS = Wanted(video=False, encrypted=True, dtls=True)
ICE = Wanted(video=False, ice=True)
BOTH = Wanted(video=False, encrypted=True, dtls=True, ice=True)
OFF = Abilities(srtp=SrtpPolicy.OFF)
BY_DTLS, BY_SDES, CLEAR = "AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80", ""


@pytest.mark.parametrize(
    ("wanted", "abilities", "edit", "suite"),
    [
        pytest.param(DTLS, Abilities(), as_it_is, BY_DTLS, id="dtls"),
        pytest.param(DTLS, Abilities(), without_mux, BY_DTLS, id="dtls-without-mux"),
        pytest.param(DTLS, Abilities(), as_active, BY_DTLS, id="dtls-active-offerer"),
        pytest.param(DTLS, Abilities(), as_passive, BY_DTLS, id="dtls-passive-offerer"),
        pytest.param(replace(DTLS, encrypted=False), Abilities(), as_it_is, BY_DTLS, id="dtls-left-open"),
        pytest.param(replace(DTLS, encrypted=False), OFF, as_it_is, CLEAR, id="dtls-left-open-and-not-taken"),
        pytest.param(BOTH, Abilities(), as_it_is, BY_DTLS, id="ice-dtls"),
        pytest.param(BOTH, Abilities(), without_mux, BY_DTLS, id="ice-dtls-without-mux"),
        pytest.param(replace(BOTH, bundle=True), Abilities(ice=True), as_it_is, BY_DTLS, id="ice-dtls-to-a-browser"),
        pytest.param(ICE, Abilities(), as_it_is, BY_SDES, id="ice-sdes"),
        pytest.param(ICE, Abilities(), without_mux, BY_SDES, id="ice-sdes-without-mux"),
        pytest.param(ICE, OFF, as_it_is, CLEAR, id="ice-clear"),
        pytest.param(ICE, OFF, without_mux, CLEAR, id="ice-clear-without-mux"),
    ],
)
async def test_sound_passes_both_ways(wanted: Wanted, abilities: Abilities, edit: Edit, suite: str) -> None:
    async with houses() as pair:
        await pair.open(Abilities(), abilities)
        await pair.agree(wanted, edit)
        await pair.heard()
        assert await pair.suites() == {suite}
        assert all((one.transport.ice is not None) is wanted.ice for one in pair.answer.streams)


async def test_a_bundle_of_sound_and_picture_takes_one_transport() -> None:
    async with houses(h264()) as pair:
        await pair.open(Abilities(), Abilities())
        await pair.agree(Wanted(encrypted=True, dtls=True, ice=True, bundle=True))
        assert pair.offer.bundle == pair.answer.bundle == ("0", "1")
        assert len({one.transport.port for one in pair.answer.streams}) == 1
        pair.ann.film(RED)
        pair.bob.film(GREEN)
        ours, theirs = pair.ann.look(), pair.bob.look()
        await pair.heard()
        await until(lambda: ours.shows(GREEN) and theirs.shows(RED), PATIENCE)


async def test_a_bundle_that_is_not_taken_leaves_its_first_stream() -> None:
    async with houses(h264()) as pair:
        await pair.open(Abilities(), Abilities())
        offer = await pair.one.offer(FAR, Wanted(encrypted=True, dtls=True, bundle=True))
        alone = replace(offer.streams[1], transport=Transport(None, 0))
        answer = await pair.other.answer(FAR, MediaDescription((offer.streams[0], alone)))
        await pair.one.accept(FAR, answer)
        await pair.heard()
        assert len((await pair.one.statistics(FAR)).streams) == 1


async def test_who_knows_no_ice_gets_packets_where_it_says() -> None:
    def unknown(transport: Transport) -> Transport:
        return replace(transport, ice=None)

    async with houses() as pair:
        await pair.open(Abilities(), Abilities())
        await pair.agree(BOTH, unknown)
        assert pair.answer.streams[0].transport.ice is None
        await pair.heard()


async def lost_in(plane: Plane) -> int:
    (statistics,) = (await plane.statistics(FAR)).streams
    return statistics.lost_in


@pytest.mark.parametrize("wanted", [DTLS, BOTH, ICE], ids=["dtls", "ice-dtls", "ice-sdes"])
@pytest.mark.parametrize("back", [False, True], ids=["offerer", "answerer"])
async def test_a_new_offer_changes_nothing_that_is_heard(wanted: Wanted, back: bool) -> None:
    async with houses() as pair:
        await pair.open(Abilities(), Abilities())
        await pair.agree(wanted)
        await pair.heard()
        first = pair.answer.streams[0].transport
        lost = [await lost_in(plane) for plane in (pair.one, pair.other)]  # a machine that begins slowly loses some
        await pair.agree(Wanted(video=False), back=back)
        assert pair.answer.streams[0].transport.dtls is None or not back or first.dtls is not None
        pair.ann.heard()
        await asyncio.sleep(0.6)
        await pair.heard()
        assert [await lost_in(plane) for plane in (pair.one, pair.other)] == lost
        if wanted.ice:
            ice = {one.transport.ice.user for one in (*pair.offer.streams, *pair.answer.streams) if one.transport.ice}
            assert len(ice) == 2


async def test_a_peer_with_another_certificate_shakes_hands_anew() -> None:
    third = Plane(PlaneSettings(address="127.0.0.1", low=41800, high=41899))
    async with houses() as pair:
        await third.start()
        cyd = Peer(third, ANN)
        try:
            await pair.open(Abilities(), Abilities())
            await pair.agree(DTLS)
            await pair.heard()
            await cyd.join()
            cyd.sing(1330)
            await third.open(FAR, ROOM, Abilities())
            await together(third, ANN, FAR)
            renewed(third)
            offer = await third.offer(FAR, DTLS)
            answer = await pair.one.answer(FAR, offer)
            await third.accept(FAR, answer)
            await until(lambda: loudness(pair.ann.heard(10), 1330) > -25, PATIENCE)
            await until(lambda: loudness(cyd.heard(10), 440) > -25, PATIENCE)
        finally:
            await cyd.close()
            await third.stop()


def renewed(plane: Plane) -> None:
    """Let this process show another certificate from now on."""
    from transcode.ice import certificate

    certificate._current.clear()


async def test_an_ice_restart_is_heard_by_nobody() -> None:
    async with houses() as pair:
        await pair.open(Abilities(), Abilities())
        await pair.agree(BOTH)
        await pair.heard()
        ice = pair.other._legs[FAR].streams["0"].carrier._ice  # type: ignore[attr-defined]
        before = pair.answer.streams[0].transport.ice
        assert before is not None
        # The answerer of before offers with new credentials, as a peer that changed its network does.
        ice._agent._local_username, ice._agent._local_password = "fresh", "fresh" * 5
        await pair.agree(Wanted(video=False), back=True)
        after = pair.offer.streams[0].transport.ice
        assert after is not None
        assert after.user == "fresh"
        await asyncio.sleep(0.5)
        await pair.heard()


async def test_a_wrong_fingerprint_ends_the_leg_and_lets_nothing_through() -> None:
    def wrong(transport: Transport) -> Transport:
        return replace(transport, dtls=Dtls(Setup.ACTPASS, (Fingerprint("sha-256", ":".join(["AB"] * 32)),)))

    async with houses() as pair, events_of(pair.other) as told:
        await pair.open(Abilities(), Abilities())
        await pair.agree(DTLS, wrong)
        await until(lambda: any(isinstance(one, Failed) and one.reason is Reason.DTLS_FAILED for one in told), PATIENCE)
        assert loudness(pair.bob.heard(), 440) < -60
        assert loudness(pair.ann.heard(), 850) < -60


async def test_dtls_from_a_stranger_is_dropped_and_counted() -> None:
    async with houses() as pair:
        await pair.open(Abilities(), Abilities())
        await pair.agree(DTLS)
        await pair.heard()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for _ in range(5):
                stranger.sendto(HELLO, ("127.0.0.1", pair.answer.streams[0].transport.port))
        await pair.heard()
        await until(lambda: pair.other._legs[FAR].counters()["dtls"] == 5)


async def test_a_peer_behind_nat_is_found_by_its_handshake_whoever_else_begins_one() -> None:
    async with houses() as pair:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.bind(("127.0.0.1", 0))
            port = elsewhere.getsockname()[1]
            await pair.open(Abilities(), Abilities())
            offer = edited(await pair.one.offer(FAR, DTLS), lambda way: replace(way, port=port, rtcp_port=port + 1))
            pair.answer = await pair.other.answer(FAR, offer)
            at = ("127.0.0.1", pair.answer.streams[0].transport.port)
            strangers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
            for stranger in strangers:
                stranger.sendto(HELLO, at)
            await pair.one.accept(FAR, pair.answer)
            await pair.heard()
            for stranger in strangers:
                stranger.close()


async def test_a_plain_answer_to_demanded_dtls_is_refused() -> None:
    async with houses() as pair:
        await pair.open(Abilities(), Abilities())
        offer = await pair.one.offer(FAR, DTLS)
        plain = replace(offer.streams[0], transport=replace(offer.streams[0].transport, dtls=None))
        with pytest.raises(Refused) as refusal:
            await pair.one.accept(FAR, MediaDescription((plain,)))
        assert refusal.value.reason is Reason.ENCRYPTION_NEEDED


@pytest.mark.parametrize(
    "transport",
    [
        Transport("127.0.0.1", 9, dtls=Dtls(Setup.ACTPASS, ())),
        Transport("127.0.0.1", 9, ice=Ice("abc", "short")),
    ],
    ids=["no-fingerprint", "short-credentials"],
)
async def test_what_makes_no_sense_is_refused(transport: Transport) -> None:
    async with houses() as pair:
        await pair.open(Abilities(), Abilities())
        (stream,) = (await pair.one.offer(FAR, Wanted(video=False))).streams
        bad: StreamDescription = replace(stream, transport=transport)
        with pytest.raises(Refused) as refusal:
            await pair.other.answer(FAR, MediaDescription((bad,)))
        assert refusal.value.reason is Reason.BAD_DESCRIPTION


async def test_a_leg_without_ice_and_dtls_has_no_object_for_them() -> None:
    async with houses() as pair:
        await pair.open(Abilities(), Abilities())
        await pair.agree(Wanted(video=False))
        carrier = pair.other._legs[FAR].streams["0"].carrier
        assert carrier._ice is carrier._dtls is None  # type: ignore[attr-defined]
