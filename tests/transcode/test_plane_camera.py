"""Far-end camera control through the whole plane: what a peer asks is told, what is asked of it arrives."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from plane_peer import ANN, ROOM, until

from transcode.camera import CameraControl
from transcode.events import CameraAsked
from transcode.interface import MediaPlane
from transcode.media import (
    Abilities,
    CameraAct,
    CameraAction,
    Format,
    H235Cipher,
    H235Key,
    H235Keys,
    Kind,
    MediaDescription,
    StreamDescription,
    Transport,
    Wanted,
)
from transcode.rtp.h235 import H235Session
from transcode.rtp.packet import RtpPacket, pack

pytestmark = pytest.mark.parametrize("plane", ["direct"], indirect=True)
LEFT = CameraAction(CameraAct.START, pan=-1)
KEYS = H235Keys(
    H235Key(H235Cipher.AES_128_CBC, bytes(range(16)), 96), H235Key(H235Cipher.AES_128_CBC, bytes(range(1, 17)), 96)
)


class Terminal(asyncio.DatagramProtocol):
    """A terminal's camera channel, encrypted or not."""

    def __init__(self, plain: bool, keys: H235Keys | None) -> None:
        self.control = CameraControl(plain)
        self.asked: list[CameraAction] = []
        self.session = None if keys is None else H235Session(H235Keys(keys.receive, keys.send))
        self.sequence = 0
        self.transport: Any

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        clear = data if self.session is None else self.session.unprotect_rtp(data)
        if clear is not None:
            self.asked += self.control.receive(RtpPacket.parse(clear).payload, 0.0)

    def send(self, port: int) -> None:
        for payload in self.control.take():
            self.sequence += 1
            clear = pack(96, self.sequence, self.sequence * 160, 77, payload, True)
            sealed = clear if self.session is None else self.session.protect_rtp(clear)
            assert sealed is not None
            self.transport.sendto(sealed, ("127.0.0.1", port))


@pytest.mark.parametrize("framing", ["hdlc", "plain"])
@pytest.mark.parametrize("keys", [None, KEYS], ids=["clear", "encrypted"])
async def test_actions_go_both_ways(plane: MediaPlane, framing: str, keys: H235Keys | None) -> None:
    await plane.open(ANN, ROOM, Abilities(local_address="127.0.0.1"))
    offer = await plane.offer(ANN, Wanted(audio=False, video=False, camera=True, separate=True))
    (ours,) = offer.streams
    assert ours.kind is Kind.CAMERA
    assert not await plane.camera(ANN, LEFT), "there is nobody yet"
    loop = asyncio.get_running_loop()
    way, terminal = await loop.create_datagram_endpoint(
        lambda: Terminal(framing == "plain", keys), local_addr=("127.0.0.1", 0)
    )
    try:
        format = replace(next(one for one in ours.receive if one.parameter("framing") == framing), payload_type=96)
        place = Transport("127.0.0.1", way.get_extra_info("sockname")[1], h235=keys)
        await plane.accept(ANN, MediaDescription((_described(ours, format, place),)))
        assert await plane.camera(ANN, LEFT)
        await until(lambda: terminal.asked == [LEFT], 5)
        assert await plane.camera(ANN, CameraAction(CameraAct.STOP))
        await until(lambda: len(terminal.asked) == 2, 5)
        assert terminal.asked[1] == replace(LEFT, act=CameraAct.STOP)
        assert terminal.control.peer_controls
        terminal.control.command(CameraAction(CameraAct.RECALL, number=5), 0.0)
        terminal.send(ours.transport.port)
        async with asyncio.timeout(5):
            async for event in plane.events():
                if isinstance(event, CameraAsked):
                    assert event == CameraAsked(ANN, CameraAction(CameraAct.RECALL, number=5))
                    break
        (stream,) = (await plane.statistics(ANN)).streams
        assert (stream.kind, stream.codec_in, stream.codec_out) == (Kind.CAMERA, "H224", "H224")
        assert stream.encrypted == ("" if keys is None else "AES-128-CBC")
    finally:
        way.close()


def _described(ours: StreamDescription, format: Format, place: Transport) -> StreamDescription:
    return StreamDescription(ours.id, Kind.CAMERA, (format,), (format,), place, separate=True)
