"""A house for tests of the SIP adapter: a desk, calls and a media plane's choices, with everything noted down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from gateway.calls import CallFacts, CallId, KeyWay, Line
from gateway.reasons import Reason, Refused
from transcode.media import (
    Candidate,
    Codec,
    Dtls,
    Fingerprint,
    Format,
    Ice,
    Kind,
    LegId,
    MediaDescription,
    Role,
    RoomId,
    Setup,
    SrtpKey,
    StreamDescription,
    Suite,
    Transport,
    Wanted,
)

AUDIO = (
    Format(Codec.OPUS, 96, 48_000, 2, (("useinbandfec", "1"),)),
    Format(Codec.G722, 9, 8_000),
    Format(Codec.PCMU, 0, 8_000),
    Format(Codec.PCMA, 8, 8_000),
    Format(Codec.TELEPHONE_EVENT, 101, 8_000, 1, (("0-16", ""),)),
)
FEEDBACK = ("nack", "nack pli", "ccm fir", "ccm tmmbr")
VIDEO = (
    Format(
        Codec.H264,
        97,
        90_000,
        1,
        (("profile-level-id", "42e01f"), ("packetization-mode", "1"), ("max-br", "2000")),
        FEEDBACK,
    ),
    Format(Codec.H264, 98, 90_000, 1, (("profile-level-id", "42e01f"), ("packetization-mode", "0")), FEEDBACK),
    Format(Codec.VP8, 99, 90_000, 1, (), FEEDBACK),
    Format(Codec.H263P, 100, 90_000, 1, (("cif", "1"), ("qcif", "1")), FEEDBACK),
    Format(Codec.H263, 34, 90_000, 1, (("cif", "1"), ("qcif", "1")), FEEDBACK),
    Format(Codec.H261, 31, 90_000, 1, (("cif", "1"), ("qcif", "1")), FEEDBACK),
)
KEY = SrtpKey(1, Suite.AES_CM_128_HMAC_SHA1_80, bytes(range(16)), bytes(range(16, 30)))
FINGERPRINT = Fingerprint("sha-256", ":".join(["AB"] * 32))
KNOWN = {format.codec for format in AUDIO + VIDEO} | {Codec.G729, Codec.T140, Codec.RED}


def our_offer(audio: bool = True, video: bool = True, address: str | None = "203.0.113.5") -> MediaDescription:
    """Return what a media plane offers: all that it knows, on RTP/AVP with feedback lines."""
    streams = []
    if audio:
        streams.append(StreamDescription("audio", Kind.AUDIO, AUDIO, AUDIO, Transport(address, 40_000), packet_time=20))
    if video:
        streams.append(
            StreamDescription("video", Kind.VIDEO, VIDEO, VIDEO, Transport(address, 40_002), bandwidth=2_000_000)
        )
    return MediaDescription(tuple(streams))


def our_answer(remote: MediaDescription, address: str | None = "203.0.113.5") -> MediaDescription:
    """Return what a media plane answers: the known formats in the peer's order, its directions turned round."""
    return MediaDescription(
        tuple(_answer(stream, 40_000 + 2 * at, address) for at, stream in enumerate(remote.streams)), remote.bundle
    )


def _answer(stream: StreamDescription, port: int, address: str | None) -> StreamDescription:
    def chosen(formats: tuple[Format, ...]) -> tuple[Format, ...]:
        return tuple(
            replace(it, feedback=tuple(value for value in it.feedback if value in FEEDBACK))
            for it in formats
            if it.codec in KNOWN
        )

    theirs = stream.transport
    if stream.refused:
        return replace(stream, receive=(), send=(), transport=Transport(None, 0))
    transport = Transport(
        address,
        port,
        rtcp_mux=theirs.rtcp_mux,
        feedback=theirs.feedback,
        keys=tuple(replace(KEY, tag=key.tag, suite=key.suite) for key in theirs.keys[:1] if key.suite is KEY.suite),
        dtls=Dtls(Setup.PASSIVE, (FINGERPRINT,)) if theirs.dtls else None,
        ice=Ice("ours", "ourpasswordourpassword", (_CANDIDATE,), lite=False, complete=True) if theirs.ice else None,
    )
    return StreamDescription(
        stream.id,
        stream.kind,
        chosen(stream.send),
        chosen(stream.receive),
        transport,
        stream.role,
        2_000_000 if stream.kind is Kind.VIDEO else None,
        mid=stream.mid,
    )


_CANDIDATE = Candidate("1", 1, "udp", 2_130_706_431, "203.0.113.5", 40_000, "host")


class FakeCall:
    """A call that notes what it is told; refuse makes the next of its methods raise."""

    def __init__(self, facts: CallFacts, line: Line, number: int) -> None:
        self.facts = facts
        self.line = line
        self.id = CallId(f"call-{number}")
        self.leg = LegId(f"leg-{number}")
        self.said: list[str] = []
        self.remote: MediaDescription | None = None
        self.keys: list[tuple[str, int]] = []
        self.ways: list[KeyWay] = []
        self.room_id = RoomId(facts.called)
        self.admission: asyncio.Future[None] | None = None
        self.transfers: list[tuple[Reason | None, bool]] = []
        self.messages: list[str] = []
        self.reason: Reason | None = None
        self.error: Exception | None = None
        self.before: Callable[[], Awaitable[None]] | None = None
        self._changed = asyncio.Event()

    async def _note(self, what: str) -> None:
        self.said.append(what)
        self._changed.set()
        self._changed = asyncio.Event()
        if self.before is not None:
            await self.before()
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    async def heard(self, what: str, times: int = 1, within: float = 5.0) -> None:
        """Wait until something was said so many times."""
        async with asyncio.timeout(within):
            while self.said.count(what) < times:
                await self._changed.wait()

    async def admitted(self) -> None:
        """Rooms answer at once; with `admission` set, the caller waits for it."""
        if self.admission is not None:
            try:
                await self.admission
            except asyncio.CancelledError:
                await self._note("given up")
                raise

    async def ringing(self) -> None:
        await self._note("ringing")

    async def transfer_goes(self, reason: Reason | None, over: bool) -> None:
        self.transfers.append((reason, over))
        await self._note("transfer_goes")

    async def answer(self, remote: MediaDescription) -> MediaDescription:
        self.remote = remote
        await self._note("answer")
        return our_answer(remote, "127.0.0.1")

    async def offer(self, wanted: Wanted) -> MediaDescription:
        await self._note("offer")
        return our_offer(wanted.audio, wanted.video, "127.0.0.1")

    async def accept(self, remote: MediaDescription) -> None:
        self.remote = remote
        await self._note("accept")

    async def candidate(self, stream: str, candidate: Candidate | None) -> None:
        await self._note("candidate")

    async def connected(self) -> None:
        await self._note("connected")

    async def key_frame(self, role: Role | None = None) -> None:
        await self._note("key_frame")

    async def present(self, wanted: bool) -> None:
        await self._note("present")

    async def dtmf(self, digit: str, duration: int, way: KeyWay = KeyWay.INFO) -> None:
        self.keys.append((digit, duration))
        self.ways.append(way)
        await self._note("dtmf")

    async def wrote(self, text: str) -> None:
        self.messages.append(text)
        await self._note("wrote")

    async def mute(self, audio: bool | None = None, video: bool | None = None) -> None:
        await self._note("mute")

    async def ended(self, reason: Reason) -> None:
        assert self.reason is None, "a call ends once"
        self.reason = reason
        await self._note("ended")


class FakeDesk:
    """A desk that knows room 100 only; refuse turns every call away, prepare may arm each new call."""

    def __init__(self) -> None:
        self.calls: list[FakeCall] = []
        self.facts: list[CallFacts] = []
        self.messages: list[tuple[CallFacts, str]] = []
        self.refuse: Refused | None = None
        self.error: Exception | None = None
        self.prepare: Callable[[FakeCall], None] | None = None
        self._changed = asyncio.Event()

    async def arrive(self, facts: CallFacts, line: Line) -> FakeCall:
        self.facts.append(facts)
        if self.error is not None:
            raise self.error
        if self.refuse is not None:
            raise self.refuse
        if facts.called != "100":
            raise Refused(Reason.NO_SUCH_ROOM)
        call = FakeCall(facts, line, len(self.calls) + 1)
        if self.prepare is not None:
            self.prepare(call)
        self.calls.append(call)
        self._changed.set()
        self._changed = asyncio.Event()
        return call

    async def message(self, facts: CallFacts, text: str) -> None:
        if self.refuse is not None:
            raise self.refuse
        if facts.called != "100":
            raise Refused(Reason.NO_SUCH_ROOM)
        self.messages.append((facts, text))

    async def call(self, number: int = 1, within: float = 5.0) -> FakeCall:
        """Wait for the so-many-th call."""
        async with asyncio.timeout(within):
            while len(self.calls) < number:
                await self._changed.wait()
        return self.calls[number - 1]
