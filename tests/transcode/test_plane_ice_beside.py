"""ICE beside RTP on a leg's own ports, by a peer with aioice: one that offers RTCP no candidates."""

from __future__ import annotations

import asyncio

import aioice
import numpy as np
import pytest
from plane_peer import ANN, BOB, PCMU, ROOM, Peer, together, until
from rtp_phone import loudness

from transcode.audio import g711
from transcode.interface import MediaPlane
from transcode.media import (
    Abilities,
    Candidate,
    Codec,
    Ice,
    Kind,
    MediaDescription,
    StreamDescription,
    Transport,
)
from transcode.rtp.packet import RtpPacket, pack

pytestmark = pytest.mark.parametrize("plane", ["direct"], indirect=True)


def offer(agent: aioice.Connection) -> MediaDescription:
    """Offer sound with ICE, without rtcp-mux and with candidates of component 1 alone."""
    listed = tuple(
        Candidate(one.foundation, one.component, one.transport, one.priority, one.host, one.port, one.type)
        for one in agent.local_candidates
        if one.host == "127.0.0.1"
    )
    ice = Ice(agent.local_username, agent.local_password, listed, complete=True)
    way = Transport("127.0.0.1", listed[0].port, ice=ice)
    return MediaDescription((StreamDescription("0", Kind.AUDIO, (PCMU,), (PCMU,), way),))


async def test_a_peer_without_candidates_for_rtcp_is_heard_and_hears(
    plane: MediaPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    ann, agent = Peer(plane, ANN), aioice.Connection(True, components=1)
    heard: list[RtpPacket] = []
    tasks: list[asyncio.Task[None]] = []

    async def sing() -> None:
        number = 0
        while True:
            at = np.arange(number * 160, number * 160 + 160) / 8000
            sound = (8000 * np.sin(2 * np.pi * 850 * at)).astype(np.int16)
            await agent.send(pack(0, number, number * 160, 77, g711.encode(Codec.PCMU, sound)))
            number += 1
            await asyncio.sleep(0.02)

    async def listen() -> None:
        while True:
            data = await agent.recv()
            if not 192 <= data[1] <= 223:  # RTCP (RFC 5761 §4)
                heard.append(RtpPacket.parse(data, 0.0))

    try:
        await ann.join()
        ann.sing(440)
        await agent.gather_candidates()
        await plane.open(BOB, ROOM, Abilities())
        await together(plane, ANN, BOB)
        theirs = (await plane.answer(BOB, offer(agent))).streams[0].transport
        assert not theirs.rtcp_mux
        assert theirs.ice is not None
        agent.remote_username, agent.remote_password = theirs.ice.user, theirs.ice.password
        for one in theirs.ice.candidates:
            if one.component == 1:
                await agent.add_remote_candidate(
                    aioice.Candidate(
                        one.foundation, 1, one.protocol, one.priority, one.address, one.port, one.type, generation=0
                    )
                )
        await agent.add_remote_candidate(None)
        await agent.connect()
        tasks += [asyncio.ensure_future(sing()), asyncio.ensure_future(listen())]
        await until(lambda: loudness(ann.heard(10), 850) > -25 and len(heard) > 10)
    finally:
        for task in tasks:
            task.cancel()
        await agent.close()
        await ann.close()
