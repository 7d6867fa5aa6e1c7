"""A leg of media for tests: one real IceTransport behind answers and offers that take every format."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

from transcode.ice.transport import IceTransport
from transcode.media import (
    Codec,
    Dtls,
    Format,
    Ice,
    Kind,
    MediaDescription,
    Setup,
    StreamDescription,
    Transport,
)
from transcode.rtp.packet import RtpPacket

OFFERED = {
    Kind.AUDIO: (Format(Codec.OPUS, 111, 48000, 2), Format(Codec.PCMU, 0, 8000)),
    Kind.VIDEO: (
        Format(
            Codec.H264,
            102,
            90000,
            1,
            (("level-asymmetry-allowed", "1"), ("packetization-mode", "1"), ("profile-level-id", "42e01f")),
            ("nack", "nack pli", "ccm fir", "goog-remb"),
        ),
        Format(Codec.VP8, 96, 90000, 1, (), ("nack", "nack pli", "ccm fir", "goog-remb")),
    ),
}


class Leg:
    """One participant's media."""

    def __init__(self, controlling: bool) -> None:
        self.transport = IceTransport(controlling, ["127.0.0.1"])
        self.transport.on_rtp = self._take
        self.transport.on_rtcp = lambda data, _: self.rtcp.append(data)
        self.payload_types: Counter[int] = Counter()
        self.packets: list[RtpPacket] = []
        self.rtcp: list[bytes] = []
        self.arrived = asyncio.Event()

    def _take(self, data: bytes, arrival: float) -> None:
        packet = RtpPacket.parse(data, arrival)
        self.payload_types[packet.payload_type] += 1
        self.packets.append(packet)
        self.arrived.set()

    async def answer(self, remote: MediaDescription) -> MediaDescription:
        """Accept every stream with every format, and start ICE."""
        ice = await self.transport.gather()
        first = next(stream for stream in remote.streams if not stream.refused)
        remote_ice, remote_dtls = first.transport.ice, first.transport.dtls
        assert remote_ice is not None
        assert remote_dtls is not None
        await self.transport.start(remote_ice, remote_dtls, Setup.ACTIVE)
        for each in remote.streams:
            if each.kind is Kind.DATA and each.transport.sctp_port is not None:
                self.transport.open_channels(each.transport.sctp_port)
        path = Transport(None, 9, rtcp_mux=True, feedback=True, dtls=self.transport.dtls(Setup.ACTIVE), ice=ice)
        streams = tuple(
            replace(
                each,
                receive=each.send,
                send=each.receive,
                transport=replace(path, sctp_port=each.transport.sctp_port),
                bandwidth=None,
                ssrcs=(1000 + index,),
                cname="roombridge",
            )
            for index, each in enumerate(remote.streams)
        )
        return MediaDescription(streams, remote.bundle)

    async def offer(self, *kinds: Kind) -> MediaDescription:
        """Offer one stream of each kind, bundled."""
        path = Transport(
            None,
            9,
            rtcp_mux=True,
            feedback=True,
            dtls=self.transport.dtls(Setup.ACTPASS),
            ice=await self.transport.gather(),
        )
        streams = tuple(
            StreamDescription(str(i), kind, OFFERED[kind], OFFERED[kind], path, ssrcs=(1000 + i,), cname="roombridge")
            for i, kind in enumerate(kinds)
        )
        return MediaDescription(streams, tuple(each.id for each in streams))

    async def accept(self, remote: MediaDescription) -> None:
        """Take the answer to the offer."""
        ice, dtls = remote.streams[0].transport.ice, remote.streams[0].transport.dtls
        assert isinstance(ice, Ice)
        assert isinstance(dtls, Dtls)
        setup = Setup.PASSIVE if dtls.setup is Setup.ACTIVE else Setup.ACTIVE
        await self.transport.start(ice, dtls, setup)

    async def close(self) -> None:
        """Give everything back."""
        self.transport.close()
        await self.transport.closed()
