"""A little H.323 endpoint of the tests: it writes and reads messages with the codec, and knows no procedure.

What it should do next stands in each test, so that a wrong thought of the call's core is not repeated here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from h323.h245.events import Pdu
from h323.q931 import Type
from h323.signalling.events import Signal
from h323.signalling.wire import PerCodec, read_signal, write_signal
from h323.tpkt import TpktFramer, frame

WAIT = 5.0
CODEC = PerCodec()
OID = "0.0.8.2250.0.5"
CALL = bytes(range(100, 116))
ENDPOINT: dict[str, Any] = {
    "vendor": {
        "vendor": {"t35CountryCode": 9, "t35Extension": 0, "manufacturerCode": 61},
        "productId": b"Room 3000\0",
        "versionId": b"1.2",
    },
    "terminal": {},
    "mc": False,
    "undefinedNode": False,
}
G711 = ("receiveAudioCapability", ("g711Ulaw64k", 20))
ALAW = ("receiveAudioCapability", ("g711Alaw64k", 20))
H261 = (
    "receiveVideoCapability",
    (
        "h261VideoCapability",
        {
            "cifMPI": 1,
            "temporalSpatialTradeOffCapability": False,
            "maxBitRate": 3840,
            "stillImageTransmission": False,
            "videoBadMBsCap": False,
        },
    ),
)
KEYS = ("receiveUserInputCapability", ("dtmf", None))


def capabilities(*entries: Any, sequence: int = 1) -> Pdu:
    """Return a terminalCapabilitySet, all entries usable together; without entries it is the empty one."""
    value: dict[str, Any] = {"sequenceNumber": sequence, "protocolIdentifier": "0.0.8.245.0.7"}
    if entries:
        value["capabilityTable"] = [
            {"capabilityTableEntryNumber": at + 1, "capability": one} for at, one in enumerate(entries)
        ]
        sets = [[at + 1] for at in range(len(entries))]
        value["capabilityDescriptors"] = [{"capabilityDescriptorNumber": 0, "simultaneousCapabilities": sets}]
    return ("request", ("terminalCapabilitySet", value))


def determination(terminal: int = 50, number: int = 4711) -> Pdu:
    return (
        "request",
        ("masterSlaveDetermination", {"terminalType": terminal, "statusDeterminationNumber": number}),
    )


def address(port: int, host: str = "127.0.0.1") -> Any:
    octets = bytes(int(part) for part in host.split("."))
    return ("unicastAddress", ("iPAddress", {"network": octets, "tsapIdentifier": port}))


def channel(number: int, data: Any, session: int, port: int, **more: Any) -> dict[str, Any]:
    """Return an openLogicalChannel that we send on; port is where we take its RTCP."""
    parameters = {"sessionID": session, "mediaControlChannel": address(port), **more}
    return {
        "forwardLogicalChannelNumber": number,
        "forwardLogicalChannelParameters": {
            "dataType": data,
            "multiplexParameters": ("h2250LogicalChannelParameters", parameters),
        },
    }


def reverse(data: Any, session: int, port: int) -> dict[str, Any]:
    """Return a fast start's proposal to receive at port."""
    parameters = {"sessionID": session, "mediaChannel": address(port), "mediaControlChannel": address(port + 1)}
    return {
        "forwardLogicalChannelNumber": 1,
        "forwardLogicalChannelParameters": {"dataType": ("nullData", None), "multiplexParameters": ("none", None)},
        "reverseLogicalChannelParameters": {
            "dataType": data,
            "multiplexParameters": ("h2250LogicalChannelParameters", parameters),
        },
    }


def taken(number: int, session: int, port: int) -> Pdu:
    """Return an openLogicalChannelAck: packets to port, RTCP to the next one."""
    parameters = {"sessionID": session, "mediaChannel": address(port), "mediaControlChannel": address(port + 1)}
    return (
        "response",
        (
            "openLogicalChannelAck",
            {
                "forwardLogicalChannelNumber": number,
                "forwardMultiplexAckParameters": ("h2250LogicalChannelAckParameters", parameters),
            },
        ),
    )


def open_channel(*args: Any, **more: Any) -> Pdu:
    return ("request", ("openLogicalChannel", channel(*args, **more)))


class Stream:
    """One TCP connection with TPKTs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._framer = TpktFramer()
        self._waiting: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.writer.write(frame(data))

    async def next(self) -> bytes | None:
        """Return the next message, None at the end."""
        while not self._waiting:
            data = await self.reader.read(65_536)
            if not data:
                return None
            self._waiting += self._framer.receive(data).messages
        return self._waiting.pop(0)

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


class Peer:
    """One call's end on a signalling connection; caller says who made the call."""

    def __init__(self, stream: Stream, caller: bool, reference: int = 21, tunnelling: bool = True) -> None:
        self.stream = stream
        self.caller = caller
        self.reference = reference
        self.tunnelling = tunnelling
        self.signals: list[Signal] = []
        self.control: list[Pdu] = []
        self.separate: Stream | None = None
        self.ended = False
        self._more = asyncio.Event()
        self._tasks = [asyncio.ensure_future(self._read())]

    @classmethod
    async def connect(cls, port: int, tls: bool = False, **more: Any) -> Peer:
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return cls(Stream(*await asyncio.open_connection("127.0.0.1", port, ssl=context)), True, **more)

    async def _read(self) -> None:
        with suppress(OSError):
            while (data := await self.stream.next()) is not None:
                signal = read_signal(data)
                if not self.signals and not self.caller:
                    self.reference = signal.reference
                self.signals.append(signal)
                self.control += [CODEC.decode(one) for one in signal.control]
                self._wake()
        self.ended = True
        self._wake()

    async def _read_separate(self, stream: Stream) -> None:
        with suppress(OSError):
            while (data := await stream.next()) is not None:
                self.control.append(CODEC.decode(data))
                self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    def send(self, kind: Type, body: Any = None, *control: Pdu, **more: Any) -> None:
        encoded = tuple(CODEC.encode(one) for one in control)
        signal = Signal(kind, self.reference, not self.caller, body, self.tunnelling, encoded, **more)
        self.stream.send(write_signal(signal))

    def say(self, *pdus: Pdu) -> None:
        """Send H.245 messages, one after the other on a separate connection, or all in one FACILITY."""
        if self.separate is not None:
            for pdu in pdus:
                self.separate.send(CODEC.encode(pdu))
        else:
            self.send(Type.FACILITY, None, *pdus)

    def setup(self, called: str | None = "100", fast: Any = (), control: Any = (), **more: Any) -> None:
        body: dict[str, Any] = {
            "protocolIdentifier": OID,
            "sourceAddress": [("h323-ID", "Ann's room")],
            "sourceInfo": ENDPOINT,
            "activeMC": False,
            "conferenceID": bytes(range(16)),
            "conferenceGoal": ("create", None),
            "callType": ("pointToPoint", None),
            "callIdentifier": {"guid": CALL},
            "mediaWaitForConnect": False,
            "canOverlapSend": more.pop("overlap", False),
        }
        if called is not None:
            body["destinationAddress"] = [("h323-ID", called)]
        if fast:
            body["fastStart"] = [CODEC.encode_channel(one) for one in fast]
        self.send(Type.SETUP, {**body, **more.pop("body", {})}, *control, **more)

    async def expect(self, kind: Type, within: float = WAIT) -> Signal:
        """Wait for the next message of a kind that was not asked for yet; what came before it stays."""
        async with asyncio.timeout(within):
            while True:
                for at, signal in enumerate(self.signals):
                    if signal.kind is kind:
                        return self.signals.pop(at)
                assert not self.ended, f"the connection ended; {kind.name} is missing"
                await self._more.wait()

    async def told(self, name: str, within: float = WAIT) -> Any:
        """Wait for the next H.245 message of a name that was not asked for yet; return its value."""
        async with asyncio.timeout(within):
            while True:
                for at, (_, (found, value)) in enumerate(self.control):
                    if found == name:
                        del self.control[at]
                        return value
                await self._more.wait()

    async def end(self, within: float = WAIT) -> None:
        """Wait until the other side closes the connection."""
        async with asyncio.timeout(within):
            while not self.ended:
                await self._more.wait()

    async def connect_control(self, value: Any) -> None:
        """Open the separate H.245 connection to a TransportAddress of H.225.0."""
        host = ".".join(str(octet) for octet in value[1]["ip"])
        self.separate = Stream(*await asyncio.open_connection(host, value[1]["port"]))
        self._tasks.append(asyncio.ensure_future(self._read_separate(self.separate)))

    async def exchange(self, *entries: Any, first: bool = True) -> None:
        """Exchange capabilities and determine the master: we are a terminal, the other an MCU, so it is the master."""
        self.say(capabilities(*(entries or (G711, KEYS))), determination())
        theirs = await self.told("terminalCapabilitySet")
        self.say(("response", ("terminalCapabilitySetAck", {"sequenceNumber": theirs["sequenceNumber"]})))
        if first:
            await self.told("masterSlaveDetermination")
            self.say(("response", ("masterSlaveDeterminationAck", {"decision": ("master", None)})))
        self.theirs = theirs

    async def channel(self, port: int = 5004) -> dict[str, Any]:
        """Take the next channel that the other side opens: packets to port."""
        request: dict[str, Any] = await self.told("openLogicalChannel")
        _, parameters = request["forwardLogicalChannelParameters"]["multiplexParameters"]
        self.say(taken(request["forwardLogicalChannelNumber"], parameters["sessionID"], port))
        return request

    async def close(self) -> None:
        if self.separate is not None:
            await self.separate.close()
        await self.stream.close()
        await asyncio.wait(self._tasks, timeout=2)
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def listening(**more: Any) -> AsyncIterator[tuple[int, asyncio.Queue[Peer]]]:
    """Give a port where endpoints answer, and those that were called."""
    called: asyncio.Queue[Peer] = asyncio.Queue()
    peers: list[Peer] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(Stream(reader, writer), False, **more)
        peers.append(peer)
        await called.put(peer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], called
    finally:
        server.close()
        for peer in peers:
            await peer.close()
