"""The load generator's SIP caller against a scripted far end on real sockets."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from gateway.bench.legs import Kept, RtpSocket, describe, read_nack
from gateway.bench.phone import CallRefused, Message, Phone, media_address, media_lines

SDP = describe("127.0.0.1", 4000, 5000)


class FarEnd(asyncio.DatagramProtocol):
    """Answers each request by a script: method to status line, body, extra headers; drops the first `deaf` ones."""

    def __init__(self, script: dict[str, tuple[str, str, str]], deaf: int = 0) -> None:
        self.script, self.deaf = script, deaf
        self.heard: list[str] = []
        self.transport: asyncio.DatagramTransport | None = None
        self.peer: tuple[str, int] = ("", 0)
        self.to = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = Message.parse(data)
        self.peer = addr
        if self.deaf:
            self.deaf -= 1
            return
        self.heard.append(message.first)
        if message.status or message.method not in self.script:
            return
        status, body, extra = self.script[message.method]
        to = message.headers["to"] + ("" if "tag=" in message.headers["to"] else ";tag=far")
        vias = "".join(f"Via: {via}\r\n" for via in message.vias)
        answer = (
            f"SIP/2.0 {status}\r\n{vias}From: {message.headers['from']}\r\nTo: {to}\r\n"
            f"Call-ID: {message.headers['call-id']}\r\nCSeq: {message.headers['cseq']}\r\n"
            f"Contact: <sip:far@127.0.0.1:9>\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        assert self.transport is not None
        self.transport.sendto(answer.encode(), addr)


async def _far_end(script: dict[str, tuple[str, str, str]], deaf: int = 0) -> tuple[FarEnd, int]:
    loop = asyncio.get_running_loop()
    transport, far = await loop.create_datagram_endpoint(lambda: FarEnd(script, deaf), local_addr=("127.0.0.1", 0))
    return far, transport.get_extra_info("sockname")[1]


GOOD = {"INVITE": ("200 OK", SDP, ""), "BYE": ("200 OK", "", "")}


async def test_a_call_is_made_acknowledged_and_ended() -> None:
    far, port = await _far_end(GOOD)
    phone = await Phone.open("127.0.0.1", port)
    call = await phone.dial("100", SDP)
    assert media_lines(call.remote_sdp) == [("audio", 4000, ["0", "101"]), ("video", 5000, ["96"])]
    assert media_address(call.remote_sdp) == "127.0.0.1"
    await phone.close()
    assert far.heard == [
        f"INVITE sip:100@127.0.0.1:{port} SIP/2.0",
        "ACK sip:far@127.0.0.1:9 SIP/2.0",
        "BYE sip:far@127.0.0.1:9 SIP/2.0",
    ]
    assert far.transport is not None
    far.transport.close()


async def test_a_lost_request_is_sent_again() -> None:
    far, port = await _far_end(GOOD, deaf=1)
    phone = await Phone.open("127.0.0.1", port)
    await phone.dial("100", SDP)
    await phone.close()
    assert [first.split()[0] for first in far.heard] == ["INVITE", "ACK", "BYE"]
    assert far.transport is not None
    far.transport.close()


async def test_a_refusal_tells_its_reason_and_is_acknowledged() -> None:
    refusal = ("488 Not Acceptable Here", "", 'Reason: Q.850;cause=88;text="Media must be encrypted here"\r\n')
    far, port = await _far_end({"INVITE": refusal})
    phone = await Phone.open("127.0.0.1", port)
    with pytest.raises(CallRefused, match="encrypted") as refused:
        await phone.dial("100", SDP)
    assert refused.value.status == 488
    await asyncio.sleep(0.05)
    await phone.close()
    assert far.heard[-1] == f"ACK sip:100@127.0.0.1:{port} SIP/2.0"
    assert far.transport is not None
    far.transport.close()


async def test_what_comes_inside_a_call_is_answered() -> None:
    far, port = await _far_end(GOOD)
    phone = await Phone.open("127.0.0.1", port)
    call = await phone.dial("100", SDP)
    asked: list[bool] = []
    call.on_key_frame = lambda: asked.append(True)
    assert far.transport is not None
    head = f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKx\r\nFrom: <sip:100@x>;tag=far\r\nTo: <sip:l@x>;tag=t\r\n"
    head += f"Call-ID: {call.id}\r\n"
    body = "<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>"
    requests = [
        f"INFO sip:load@x SIP/2.0\r\n{head}CSeq: 5 INFO\r\nContent-Length: {len(body)}\r\n\r\n{body}",
        "\x00 no SIP",
        f"BYE sip:load@x SIP/2.0\r\n{head}CSeq: 6 BYE\r\nReason: Q.850;cause=16\r\nContent-Length: 0\r\n\r\n",
    ]
    for request in requests:
        far.transport.sendto(request.encode(), far.peer)
    await asyncio.wait_for(call.ended.wait(), 2)
    await asyncio.sleep(0.05)
    assert asked == [True]
    assert call.end_reason == "Q.850;cause=16"
    assert phone.strange == 1
    assert far.heard[-2:] == ["SIP/2.0 200 OK", "SIP/2.0 200 OK"]
    await phone.close()
    far.transport.close()


async def test_a_call_over_tcp_arrives_in_pieces() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            message = Message.parse(head)
            await reader.readexactly(int(message.headers["content-length"]))
            if message.method == "ACK":
                continue
            body = SDP if message.method == "INVITE" else ""
            answer = (
                f"SIP/2.0 200 OK\r\nv: {message.vias[0]}\r\nf: {message.headers['from']}\r\n"
                f"t: {message.headers['to']};tag=1\r\ni: {message.headers['call-id']}\r\n"
                f"CSeq: {message.headers['cseq']}\r\nl: {len(body)}\r\n\r\n{body}"
            ).encode()
            for piece in (answer[:40], answer[40:]):
                writer.write(piece)
                await asyncio.sleep(0.02)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    phone = await Phone.open("127.0.0.1", server.sockets[0].getsockname()[1], "tcp")
    call = await phone.dial("100", SDP)
    assert media_lines(call.remote_sdp)[0][1] == 4000
    await phone.close()
    await asyncio.sleep(0.05)
    server.close()
    await server.wait_closed()


async def test_a_request_for_a_key_frame_is_understood() -> None:
    one = RtpSocket()
    # PT 206, FMT 1 (PLI, RFC 4585 §6.3.1) behind an empty receiver report; sender 1, source 2.
    one.datagram_received(bytes.fromhex("80c900010000000181ce00020000000100000002"), None)
    assert one.key_frame_wanted
    one.datagram_received(bytes.fromhex("80c8"), None)
    assert (one.counters.received, one.counters.key_frame_requests) == (0, 1)


def test_a_header_extension_is_no_payload() -> None:
    packet = Kept(0.0, bytes.fromhex("9000000100000002000000aabede000110ff00007f7f"))
    assert packet.payload == b"\x7f\x7f"
    assert (packet.sequence, packet.timestamp, packet.marker) == (1, 2, False)


def test_a_nack_names_its_first_packet_and_those_of_its_mask() -> None:
    # PID 65534, BLP with bits 0 and 2: 65535 and 1; then PID 9 alone (RFC 4585 §6.2.1).
    assert read_nack(bytes.fromhex("fffe000500090000")) == [65534, 65535, 1, 9]
    assert read_nack(b"\x00\x01\x00") == []
