"""ICE restarts and new certificates in mid call, by a bare ICE peer at the plane."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest
from plane_peer import ANN, BOB, PCMU, ROOM, Peer, together, until
from rtp_phone import loudness

from transcode.audio import g711
from transcode.ice.certificate import Certificate
from transcode.ice.transport import IceTransport
from transcode.interface import MediaPlane
from transcode.media import Abilities, Codec, Ice, Kind, MediaDescription, Setup, StreamDescription, Transport
from transcode.rtp.packet import RtpPacket, pack

pytestmark = pytest.mark.parametrize("plane", ["direct"], indirect=True)


class Page:
    """A browser's transport and one line of sound on it."""

    def __init__(self) -> None:
        self.transport = IceTransport(True, ["127.0.0.1"], certificate=Certificate.generateCertificate())
        self.packets: list[RtpPacket] = []
        self.transport.on_rtp = lambda data, arrival: self.packets.append(RtpPacket.parse(data, arrival))

    def offer(self, ice: Ice) -> MediaDescription:
        way = Transport(None, 9, rtcp_mux=True, dtls=self.transport.dtls(Setup.ACTPASS), ice=ice)
        return MediaDescription((StreamDescription("0", Kind.AUDIO, (PCMU,), (PCMU,), way),), ("0",))

    async def join(self, plane: MediaPlane) -> None:
        answer = await plane.answer(BOB, self.offer(await self.transport.gather()))
        theirs = answer.streams[0].transport
        assert theirs.ice is not None
        assert theirs.dtls is not None
        await self.transport.start(theirs.ice, theirs.dtls, Setup.ACTIVE)
        await self.transport.wait()

    async def restart(self, plane: MediaPlane) -> None:
        path = self.transport._path
        fresh = await path.restart(Ice("none", "p" * 24))
        answer = (await plane.answer(BOB, self.offer(fresh))).streams[0].transport.ice
        assert answer is not None
        path._next.remote_username, path._next.remote_password = answer.user, answer.password
        for candidate in answer.candidates:
            path.add(candidate)

    async def sing(self, tone: float) -> None:
        due, number = time.monotonic(), 0
        while True:
            at = np.arange(number * 160, number * 160 + 160) / 8000
            sound = (8000 * np.sin(2 * np.pi * tone * at)).astype(np.int16)
            self.transport.send_rtp(pack(0, number, number * 160, 77, g711.encode(Codec.PCMU, sound)))
            number += 1
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def close(self) -> None:
        self.transport.close()
        await self.transport.closed()


async def test_a_restart_and_a_new_certificate_keep_the_leg_and_its_streams(plane: MediaPlane) -> None:
    ann, first, second = Peer(plane, ANN), Page(), Page()
    singing: list[asyncio.Task[None]] = []
    try:
        await ann.join()
        ann.sing(440)
        await plane.open(BOB, ROOM, Abilities(ice=True))
        await together(plane, ANN, BOB)
        await first.join(plane)
        singing.append(asyncio.ensure_future(first.sing(850)))
        await until(lambda: loudness(ann.heard(10), 850) > -25 and len(first.packets) > 10)
        source, before = first.packets[-1].ssrc, first.transport.remote_address
        await first.restart(plane)
        await until(lambda: first.transport.remote_address != before)
        first.packets.clear()
        await until(lambda: len(first.packets) > 10)
        assert first.packets[-1].ssrc == source
        assert loudness(ann.heard(10), 850) > -25
        # The same participant with another certificate: DTLS begins anew, the streams go on.
        await second.join(plane)
        singing.append(asyncio.ensure_future(second.sing(1330)))
        await until(lambda: loudness(ann.heard(10), 1330) > -25 and len(second.packets) > 10)
        assert second.packets[-1].ssrc == source
        assert len((await plane.statistics(BOB)).streams) == 1
    finally:
        for task in singing:
            task.cancel()
        await asyncio.gather(*singing, return_exceptions=True)
        await ann.close()
        await first.close()
        await second.close()


async def test_a_bundle_whose_last_line_is_not_taken_is_answered(plane: MediaPlane) -> None:
    page = Page()
    try:
        await plane.open(BOB, ROOM, Abilities(ice=True))
        offer = page.offer(await page.transport.gather())
        refused = StreamDescription("1", Kind.VIDEO, (), (), Transport(None, 0))
        answer = await plane.answer(BOB, replace(offer, streams=(*offer.streams, refused), bundle=("0", "1")))
        assert [one.refused for one in answer.streams] == [False, True]
        assert answer.bundle == ("0",)
    finally:
        await page.close()
