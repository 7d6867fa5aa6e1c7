"""A small H.323 endpoint that makes calls, on the product's own core and without Twisted: for loads and tests.

It sends and takes G.711 µ-law and, with a port, H.264; RTCP goes to the same port as RTP.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from gateway.reasons import Reason
from h323.describe.capabilities import read_capabilities, write_capabilities
from h323.describe.channels import read_answer, read_request
from h323.describe.fast_start import read_chosen
from h323.h245 import events as control
from h323.sessions import Sessions
from h323.signalling import events
from h323.signalling.call import H323Call
from h323.signalling.events import Address, SetupFacts
from h323.signalling.messages import LocalParty
from h323.signalling.wire import PerCodec, read_signal, write_signal
from h323.tpkt import TpktFramer, frame
from transcode.media import Codec, Format, Kind, MediaDescription, StreamDescription, Transport

ANSWER_TIME = 30.0
"""Seconds that a call may take until it is up and its channels are open."""
TICK = 0.25
_KEYS = Format(Codec.TELEPHONE_EVENT, 101, 8000, parameters=(("0-16", ""),))
_SOUND = (Format(Codec.PCMU, 0, 8000),)
_PICTURE = (
    Format(Codec.H264, 96, 90_000, parameters=(("profile-level-id", "42e01f"), ("packetization-mode", "1"))),
    Format(Codec.H264, 97, 90_000, parameters=(("profile-level-id", "42e01f"), ("packetization-mode", "0"))),
)


class CallRefused(Exception):
    """The call did not come about, or ended at once; the reason is the gateway's."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def describe(host: str, sound: int, picture: int | None) -> MediaDescription:
    """Return what we offer on these ports."""
    streams = [
        StreamDescription("0", Kind.AUDIO, (*_SOUND, _KEYS), (*_SOUND, _KEYS), Transport(host, sound, rtcp_port=sound))
    ]
    if picture is not None:
        transport = Transport(host, picture, rtcp_port=picture)
        streams.append(StreamDescription("1", Kind.VIDEO, _PICTURE, _PICTURE, transport, bandwidth=2_000_000))
    return MediaDescription(tuple(streams))


class H323Phone:
    """One call. name is shown to the others; keys collects what was pressed at the far end by H.245."""

    def __init__(self, name: str, local: MediaDescription, tunnelling: bool = True, fast: bool = False) -> None:
        self.keys = ""
        self.ended: Reason | None = None
        self.on_key_frame: Callable[[], None] = lambda: None
        self.core = H323Call(
            random.randrange(1, 0x7FFF), LocalParty(name, mcu=False), PerCodec(), random.Random(), tunnelling
        )
        self.sessions = Sessions(local, "127.0.0.1")
        self._name = name
        self._fast = fast
        self._changed = asyncio.Event()
        self._signalling: asyncio.StreamWriter | None = None
        self._control: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._up = False

    async def dial(self, host: str, port: int, room: str) -> None:
        """Call a room ("": none); return once sound goes both ways. Raises CallRefused, TimeoutError, OSError."""
        reader, self._signalling = await asyncio.open_connection(host, port)
        self._start(self._read(reader, self._take))
        self._start(self._tick())
        facts = SetupFacts(
            caller_aliases=(self._name,),
            called_aliases=(room,) if room else (),
            display=self._name,
            called_address=Address(host, port),
            conference=random.randbytes(16),
            call=random.randbytes(16),
            fast_start=tuple(self.sessions.proposals(None)) if self._fast else (),
            bandwidth=2_000_000,
        )
        self.core.place(facts, write_capabilities(self.sessions.local), self._now())
        self._pump()
        async with asyncio.timeout(ANSWER_TIME):
            while not (self._up and self.target(Kind.AUDIO) is not None):
                if self.ended is not None:
                    raise CallRefused(self.ended)
                await self._changed.wait()

    def target(self, kind: Kind) -> Address | None:
        """Return where the gateway takes the packets of a kind; None as long as no channel is open."""
        for stream in self.sessions.remote().streams:
            if stream.kind is kind and stream.receive:
                return Address(stream.transport.address or "", stream.transport.port)
        return None

    async def flows(self, kind: Kind, within: float = ANSWER_TIME) -> Address:
        """Wait until a kind may be sent; return where to. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while (found := self.target(kind)) is None:
                await self._changed.wait()
        return found

    def press(self, key: str) -> None:
        """Press a key by H.245."""
        self.tell(("indication", ("userInput", ("signal", {"signalType": key, "duration": 150}))))

    def tell(self, pdu: control.Pdu) -> None:
        """Send an H.245 message."""
        self.core.control.send(pdu)
        self.core.flush()
        self._pump()

    def ask_for_key_frame(self) -> None:
        """Ask for a key frame of the picture (videoFastUpdatePicture)."""
        number = self.sessions.peer_channel("1")
        if number is not None:
            self.core.control.ask_key_frame(number)
            self.core.flush()
            self._pump()

    async def hang_up(self) -> None:
        """End the call and close everything."""
        self.core.release(Reason.NORMAL, self._now())
        self._pump()
        for writer in (self._signalling, self._control):
            if writer is not None:
                writer.close()
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # inside

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _start(self, work: Any) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _tick(self) -> None:
        while not self.core.over:
            await asyncio.sleep(TICK)
            due = self.core.next_timeout()
            if due is not None and due <= self._now():
                self.core.tick(self._now())
                self._pump()

    async def _read(self, reader: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
        framer = TpktFramer()
        while data := await reader.read(65_536):
            for message in framer.receive(data).messages:
                if message:
                    take(message)
                    self._pump()
        if take == self._take:
            self.core.closed(self._now())
        else:
            self.core.control_closed(self._now())
        self._pump()

    def _take(self, data: bytes) -> None:
        self.core.receive(read_signal(data), self._now())

    def _take_control(self, data: bytes) -> None:
        self.core.control_received(data, self._now())

    def _pump(self) -> None:
        while items := self.core.take():
            for item in items:
                self._perform(item)
        self._changed.set()
        self._changed = asyncio.Event()

    def _perform(self, item: Any) -> None:
        match item:
            case events.SendSignal(signal) if self._signalling is not None:
                self._signalling.write(frame(write_signal(signal)))
            case events.SendControl(data) if self._control is not None:
                self._control.write(frame(data))
            case events.ConnectControl(address):
                self._start(self._connect(address))
            case events.ListenControl():
                self._start(self._listen())
            case events.CallConnected():
                self._up = True
            case events.FastStartAnswered(channels):
                for channel, facts, ours in read_chosen(channels):
                    self.core.control.adopt(facts.number, channel, ours)
                    self.sessions.adopt(facts, ours)
            case events.ControlReported(event):
                self._heard(event)
            case events.CallEnded(reason):
                self.ended = reason
            case _:
                pass

    async def _connect(self, address: Address) -> None:
        self._controlled(*await asyncio.open_connection(address.host, address.port))

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._controlled, "127.0.0.1", 0)
        self.core.listening(Address("127.0.0.1", self._server.sockets[0].getsockname()[1]), self._now())
        self._pump()

    def _controlled(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._control = writer
        self._start(self._read(reader, self._take_control))
        self.core.control_connected(self._now())
        self._pump()

    def _heard(self, event: Any) -> None:
        session, sessions, now = self.core.control, self.sessions, self._now()
        match event:
            case control.CapabilitiesReceived(value, empty):
                for number in sessions.pause() if empty else sessions.take_abilities(read_capabilities(value)):
                    session.close(number, now)
            case control.ChannelOffered(number, request):
                answer = sessions.offered(read_request(request), bool(session.master))
                if isinstance(answer, str):
                    session.reject(number, answer, now)
                else:
                    session.accept(number, answer, now)
            case control.ChannelAnswered(number, answer):
                sessions.answered(number, read_answer(answer))
            case control.ChannelRefused(number):
                sessions.refused(number)
            case control.ChannelClosed(number, ours):
                sessions.closed(number, ours)
            case control.CloseAsked(number):
                session.grant_close(number, True, now)
            case control.Keys(keys, _, update) if not update:
                self.keys += keys
            case control.KeyFrameAsked():
                self.on_key_frame()
            case _:
                pass
        if session.ready:
            for opening in sessions.openings():
                number = session.open(opening.request, now)
                if number is not None:
                    sessions.opened(opening, number)
        self.core.flush()
