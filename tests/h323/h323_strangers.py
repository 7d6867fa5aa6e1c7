"""An adapter without sockets, and strangers who call it or are called and send whatever the schema allows."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import h323_peer
from h323_grafts import Grafts
from h323_house import ALAW_SOUND, FACTS, H261_DATA, ULAW_SOUND
from h323_peer import ALAW, G711, H261, KEYS
from h323_samples import encodings
from sip_fake_house import FakeCall, FakeDesk, our_offer
from test_h239_adapter import CONTROL, SLIDES, token

from gateway.calls import Floor
from gateway.reasons import Reason, Refused
from h323.adapter import H323Adapter
from h323.describe.camera import write_camera
from h323.h235.groups import Group, make_half_key
from h323.h235.tokens import write_tokens
from h323.h460.features import MEDIA, write_feature
from h323.h460.media import Way, write_way
from h323.messages import Kind, decode
from h323.q931 import Element, Type, build, parse, user_user
from h323.signalling.events import BODIES, Address, Signal
from h323.signalling.wire import read_signal, write_signal
from transcode.media import (
    Codec,
    Format,
    MediaDescription,
    Multiplex,
    Role,
    SrtpKey,
    StreamDescription,
    Suite,
    Transport,
    Wanted,
)
from transcode.media import Kind as MediaKind

CAMERA = Format(Codec.H224, 100, 8000, parameters=(("framing", "hdlc"),))
KEY = SrtpKey(1, Suite.AES_CM_128_HMAC_SHA1_80, bytes(16), bytes(14))
HERE, THERE = Address("127.0.0.1", 1720), Address("127.0.0.1", 40_000)
REFERENCE = 21


@dataclass(eq=False)
class Wire:
    """What stands for a connection: messages go into a list."""

    sent: list[bytes] = field(default_factory=list)
    peer: Address = THERE
    local: Address = HERE
    secure: bool = False
    kept: bool = False
    open: bool = True

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.open = False

    def used(self) -> None:
        pass

    def idle(self) -> None:
        pass


class Net:
    """What stands for the network: receivers of the H.245 connections that are listened for or opened, and wires."""

    def __init__(self) -> None:
        self.controls: list[tuple[Any, Wire]] = []
        self.wires: list[Wire] = []

    def listen(self, host: str, port: int, receiver: Any, opened: Any, context: Any = None) -> Any:
        self.controls.append((receiver, Wire()))
        return SimpleNamespace(getHost=lambda: SimpleNamespace(port=40_100), stopListening=lambda: None)

    def connect(self, address: Address, receiver: Any, opened: Any, failed: Any, context: Any = None) -> None:
        wire = Wire(peer=address)
        if isinstance(receiver, H323Adapter):
            self.wires.append(wire)
        else:
            self.controls.append((receiver, wire))
        opened(wire)


def rich_offer(encrypted: bool) -> Any:
    """Return a house's way to offer all that there is: slides, camera, keys, and one pair of ports for all."""

    async def offer(wanted: Wanted) -> MediaDescription:
        plain = our_offer(True, wanted.video, "127.0.0.1")
        streams = list(plain.streams)
        if wanted.video:
            port = replace(streams[1].transport, port=40_008)
            streams.append(replace(streams[1], id="slides", role=Role.SLIDES, transport=port))
        camera = Transport("127.0.0.1", 40_010)
        streams.append(StreamDescription("camera", MediaKind.CAMERA, (CAMERA,), (CAMERA,), camera))
        keys = (KEY,) if encrypted else ()
        return MediaDescription(
            tuple(
                replace(
                    one, transport=replace(one.transport, keys=keys, optional=encrypted, multiplex=Multiplex(40_020, 5))
                )
                for one in streams
            )
        )

    return offer


class Strangers:
    """Brings strangers to an adapter. Whatever the adapter notes as a fault of its own is left in its counters."""

    def __init__(self, adapter: H323Adapter, desk: FakeDesk, chance: random.Random) -> None:
        self.adapter = adapter
        self.desk = desk
        self.chance = chance
        self.grafts = Grafts(chance)
        self.net = Net()
        adapter._network = self.net  # type: ignore[assignment]
        adapter._h245._network = self.net  # type: ignore[assignment]
        self._pdus = [*_captured(), *_usual()]

    async def call(self) -> None:
        """One of them calls."""
        wire = Wire()
        self._begin()
        self.adapter.received(wire, self._signal(Type.SETUP, {**_setup(self.chance), **self._fast()}, False))
        await self._talk(wire, False)

    async def be_called(self) -> None:
        """One of them is called."""
        self._begin()
        dialling = asyncio.ensure_future(self.adapter.dial("h323:100@127.0.0.1", FACTS, Wanted()))
        await _turns()
        (wire,) = self.net.wires
        reference = read_signal(wire.sent[0]).reference
        for kind in (Type.CALL_PROCEEDING, Type.ALERTING, Type.CONNECT):
            if self.chance.random() < 0.8:
                self.adapter.received(
                    wire, self._signal(kind, {**_answer(kind), **self._fast()}, True, reference=reference)
                )
                await _turns(3)
        await self._talk(wire, True, reference)
        dialling.cancel()
        with suppress(Refused, asyncio.CancelledError):
            await dialling

    def _begin(self) -> None:
        self.net.controls.clear()
        self.net.wires.clear()
        encrypted = self.chance.random() < 0.4

        def prepare(call: FakeCall) -> None:
            call.offer = rich_offer(encrypted)  # type: ignore[method-assign]

        self.desk.prepare = prepare
        self.desk.calls.clear()
        self.desk.facts.clear()

    async def _talk(self, wire: Wire, callee: bool, reference: int = REFERENCE) -> None:
        await _turns()
        for _ in range(self.chance.randrange(5, 25)):
            self._say(wire, callee, reference)
            if self.chance.random() < 0.1:
                await self._house()
            if self.chance.random() < 0.3:
                await _turns(3)
        await _turns()
        for receiver, control in self.net.controls:
            receiver.closed(control)
        self.adapter.closed(wire)
        await _turns()

    def _say(self, wire: Wire, callee: bool, reference: int) -> None:
        pdu = self._pdu()
        if self.net.controls and self.chance.random() < 0.5:
            receiver, control = self.chance.choice(self.net.controls)
            receiver.opened(control)
            receiver.received(control, pdu)
            return
        kind = Type.FACILITY
        body = None
        if self.chance.random() < 0.15:
            kind = self.chance.choice([one for one in BODIES if one is not Type.SETUP])
            body = _answer(kind)
        self.adapter.received(wire, self._signal(kind, body, callee, (pdu,), reference))

    async def _house(self) -> None:
        if not self.desk.calls:
            return
        line = self.desk.calls[-1].line
        match self.chance.randrange(6):
            case 0:
                await line.floor(self.chance.choice(list(Floor)))
            case 1:
                await line.request_key_frame(self.chance.choice(["video", "slides"]))
            case 2:
                await line.renegotiate(Wanted(video=self.chance.random() < 0.7))
            case 3:
                await line.press("5", 100)
            case 4:
                await line.ringing()
            case 5 if self.chance.random() < 0.2:
                await line.hang_up(Reason.NORMAL)

    # what they say

    def _pdu(self) -> bytes:
        if self.chance.random() < 0.1:
            return self.grafts.any(Kind.H245)
        times = self.chance.choice([0, 0, 1, 1, 1, 2, 3])
        return self.grafts.graft(Kind.H245, self.chance.choice(self._pdus), times)

    def _fast(self) -> dict[str, Any]:
        if self.chance.random() < 0.5:
            return {}
        times = self.chance.choice([0, 1, 1, 2])
        return {"fastStart": [self.grafts.graft(Kind.FAST_START, one, times) for one in _channels()]}

    def _signal(
        self, kind: Type, body: Any, callee: bool, carried: tuple[bytes, ...] = (), reference: int = REFERENCE
    ) -> bytes:
        signal = Signal(kind, reference, callee, body, self.chance.random() < 0.8, carried)
        octets = write_signal(signal)
        if self.chance.random() < 0.4:
            return octets
        message = parse(octets)
        value = decode(Kind.H225, message.user_user)
        changed = self.grafts.graft(Kind.H225, value, self.chance.randrange(1, 3))
        elements = tuple(one for one in message.elements if one[0] != Element.USER_USER)
        return build(replace(message, elements=(*elements, user_user(changed))))


async def _turns(count: int = 12) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@cache
def _captured() -> tuple[Any, ...]:
    return tuple(decode(kind, octets) for _, kind, octets in encodings() if kind is Kind.H245)


def _channels() -> list[Any]:
    way = [write_way(Way(media=THERE, control=THERE, multiplex=3, keep_alive=THERE, payload_type=100, interval=10))]
    return [
        h323_peer.channel(7, ULAW_SOUND, 1, 5005),
        {**h323_peer.channel(8, H261_DATA, 2, 5007), "genericInformation": way},
        h323_peer.channel(9, ("videoData", SLIDES), 32, 5009),
        h323_peer.channel(10, ("data", write_camera("hdlc")), 3, 5011),
        h323_peer.channel(11, ("videoData", _h264()), 2, 5013),
        h323_peer.reverse(ALAW_SOUND, 1, 6000),
        h323_peer.reverse(H261_DATA, 2, 6002),
    ]


def _h264() -> Any:
    return SLIDES[1]["videoCapability"][0]


@cache
def _usual() -> tuple[Any, ...]:
    video = ("receiveVideoCapability", _h264())
    slides = ("receiveVideoCapability", SLIDES)
    camera = ("receiveAndTransmitDataApplicationCapability", write_camera("hdlc"))
    sets = [
        h323_peer.capabilities(G711, ALAW, H261, video, slides, CONTROL, camera, KEYS, sequence=at) for at in (1, 2)
    ]
    conference = [
        ("makeMeChair", None),
        ("terminalListRequest", None),
        ("requestAllTerminalIDs", None),
        ("dropTerminal", {"mcuNumber": 0, "terminalNumber": 1}),
        ("makeTerminalBroadcaster", {"mcuNumber": 0, "terminalNumber": 2}),
        ("broadcastMyLogicalChannel", 7),
    ]
    misc = ["videoFastUpdatePicture", "videoFreezePicture"]
    return (
        *sets,
        *sets,
        *([h323_peer.determination()] * 3),
        *([("response", ("masterSlaveDeterminationAck", {"decision": ("master", None)}))] * 2),
        *([("response", ("terminalCapabilitySetAck", {"sequenceNumber": at})) for at in (1, 2, 3)] * 2),
        *(("request", ("openLogicalChannel", one)) for one in _channels()),
        *(h323_peer.taken(at, session, 7000 + at) for at in range(1, 6) for session in (1, 2)),
        token("request", 1, label=3, channel=2, symmetry=5),
        token("command", 4, label=3, channel=2),
        token("request", 3, label=3, channel=9),
        *(("request", ("conferenceRequest", one)) for one in conference),
        *(
            ("command", ("miscellaneousCommand", {"logicalChannelNumber": at, "type": (one, None)}))
            for one in misc
            for at in (1, 2)
        ),
        (
            "request",
            (
                "requestMode",
                {"sequenceNumber": 1, "requestedModes": [[{"type": ("audioMode", ("g711Alaw64k", None))}]]},
            ),
        ),
        ("request", ("roundTripDelayRequest", {"sequenceNumber": 77})),
        ("indication", ("userInput", ("alphanumeric", "1#"))),
        ("indication", ("userInput", ("signal", {"signalType": "5", "duration": 100}))),
        ("indication", ("conferenceIndication", ("terminalNumberAssign", {"mcuNumber": 1, "terminalNumber": 2}))),
        (
            "command",
            ("flowControlCommand", {"scope": ("wholeMultiplex", None), "restriction": ("maximumBitRate", 640)}),
        ),
    )


def _setup(chance: random.Random) -> Any:
    return {
        "protocolIdentifier": h323_peer.OID,
        "sourceAddress": [("h323-ID", "Ann's room")],
        "sourceInfo": h323_peer.ENDPOINT,
        "destinationAddress": [("h323-ID", "100")],
        "activeMC": False,
        "conferenceID": bytes(range(16)),
        "conferenceGoal": ("create", None),
        "callType": ("pointToPoint", None),
        "callIdentifier": {"guid": chance.randbytes(16)},
        "mediaWaitForConnect": False,
        "canOverlapSend": False,
        "multipleCalls": False,
        "maintainConnection": False,
        "tokens": write_tokens([make_half_key(Group.DH1024, chance)]),
        **({"supportedFeatures": [write_feature(MEDIA, {1: None})]} if chance.random() < 0.4 else {}),
    }


def _answer(kind: Type) -> Any:
    """Return the contents of a message that is not SETUP."""
    body: dict[str, Any] = {"protocolIdentifier": h323_peer.OID, "callIdentifier": {"guid": h323_peer.CALL}}
    address = ("ipAddress", {"ip": bytes([127, 0, 0, 1]), "port": 40_200})
    if kind in (Type.CALL_PROCEEDING, Type.ALERTING, Type.CONNECT, Type.PROGRESS):
        body |= {"destinationInfo": h323_peer.ENDPOINT, "h245Address": address}
    if kind is Type.CONNECT:
        body["conferenceID"] = bytes(16)
    if kind is Type.FACILITY:
        body |= {"reason": ("callForwarded", None), "alternativeAddress": address}
    return body
