"""One browser in a meeting: its WebSocket messages on one side, the desk and its call on the other.

Theory of operation. The web layer makes a session for each WebSocket, gives it every message in order and a way to
send; the session never touches the socket itself.

    NEW --join--> JOINING --joined--> JOINED --leave, hang-up--> ENDED
                     `--refused--> NEW (the browser may try again: another PIN, another room)
                                  JOINED --no offer in OFFER_TIME--> ENDED (TIMEOUT)
                                  JOINED --socket broke--> AWAY --RESUME_TIME--> ENDED (TRANSPORT_FAILED)

A browser that comes back opens a new session and joins with its resume token; the desk replaces the old call, which
hangs this session up with REPLACED. Media goes on meanwhile: it does not need the WebSocket.

Offers: the browser offers after joining, and whenever its media change; we may offer too (`renegotiate`). When both
do at once ours stands, the browser is told GLARE, rolls its own back, answers ours and offers again.

Every call of the browser's is answered: with what it asked for, or with an "error" message that says the reason, and
whether the session ended by it ("fatal").
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, Protocol, cast

import structlog

from gateway.calls import Call, CallFacts, CallProtocol, Desk, Direction, Floor, KeyWay, Line
from gateway.reasons import Reason, Refused
from gateway.rooms.host_wishes import HostWish
from gateway.rooms.model import Stage
from gateway.webrtc import messages
from gateway.webrtc.describe import write_candidate
from gateway.webrtc.messages import (
    Answer,
    Decide,
    Digit,
    Join,
    Leave,
    Message,
    Mute,
    Offer,
    Ping,
    Promote,
    Say,
    Trickle,
    Wish,
)
from gateway.webrtc.negotiation import Negotiation, Turn
from transcode.media import Candidate, Wanted

log = structlog.get_logger()

RESUME_TIME = 15.0
"""Seconds that a call outlives its WebSocket: a phone that changes from one network to another takes about 10."""
MAX_CANDIDATES = 64
"""Remote candidates a session between two offers; a browser on three networks has about 20."""
MAX_JOINS = 10
"""Refused joins on one WebSocket: people mistype a PIN three times, and who guesses must connect anew each time."""
MAX_EARLY_CANDIDATES = 64
"""Candidates held back until the description they belong to has been taken."""
MESSAGES_PER_SECOND = 40.0
"""Messages taken for good; somebody who presses keys as fast as can be makes 10."""
MESSAGE_BURST = 200.0
"""Messages taken at once: an offer with all its candidates and a few keys, three times over."""
OFFER_TIME = 60.0
"""Seconds from joining to the first finished exchange: somebody may have to find the camera's permission first."""
SEND_TIME = 5.0
"""Seconds that one message may take to leave: a socket that takes nothing for so long must not hold up its call."""
DTMF_DURATION = 100
"""ms that a key of the page's dial pad counts as pressed."""

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Member(Protocol):
    """What a room's call tells beyond `Call`: who the participant is, how it comes back, what it waits for."""

    @property
    def participant_id(self) -> str:
        """The participant's id in the room."""

    @property
    def resume_token(self) -> str:
        """What a returning browser shows."""

    async def fulfil(self, wish: HostWish) -> None:
        """Do what a host wants of calls. Raises `Refused`."""

    @property
    def waits(self) -> bool:
        """Whether it waits before the room, to be let in."""

    def waiting(self) -> AsyncIterator[tuple[Stage, str]]:
        """Iterate over what it waits for, and the room's name, with each change, until it may come in or is over."""

    async def promote(self, pin: str) -> None:
        """Make a host of whoever knows the host PIN. Raises `Refused`."""

    async def decide(self, id: str, admitted: bool) -> None:
        """Let somebody in who waits, or turn it away. Raises `Refused`."""


class State(Enum):
    """Where a session stands."""

    NEW = "new"
    JOINING = "joining"
    WAITING = "waiting"
    JOINED = "joined"
    AWAY = "away"
    ENDED = "ended"


_ALLOWED: dict[State, tuple[type[Message], ...]] = {
    State.NEW: (Join, Leave, Ping),
    State.JOINING: (Leave, Ping),
    State.WAITING: (Promote, Leave, Ping),
    State.JOINED: (Offer, Answer, Trickle, Mute, Digit, Say, Wish, Decide, Promote, Leave, Ping),
    State.AWAY: (),
    State.ENDED: (Ping, Leave),
}
"""Which messages make sense where; any other is answered with BAD_REQUEST."""


class BrowserSession:
    """A `gateway.calls.Line` for one browser.

    send puts one message on the WebSocket and may raise ConnectionError. source is "address:port" of the browser,
    agent its user agent, secure whether it came by HTTPS.
    """

    def __init__(
        self,
        desk: Desk,
        send: Send,
        source: str = "",
        agent: str = "",
        secure: bool = True,
        resume_time: float = RESUME_TIME,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = State.NEW
        self.call: Call | None = None
        self.room = ""
        self.participant_id = ""
        self._desk = desk
        self._send = send
        self._source = source
        self._agent = agent[:256]
        self._secure = secure
        self._resume_time = resume_time
        self._clock = clock
        self._negotiation = Negotiation()
        self._connected = False
        self._candidates = 0
        self._joins = 0
        self._early: list[tuple[str, Candidate | None]] = []
        self._described = False
        self._credit = MESSAGE_BURST
        self._credited = clock()
        self._waiting: asyncio.Task[None] | None = None
        self._admission: asyncio.Task[None] | None = None

    # From the browser

    async def receive_text(self, text: str | bytes) -> None:
        """Take one WebSocket message as it came."""
        try:
            message = messages.decode(text)
        except Refused as refused:
            if self._spend():
                await self._error(refused)
            else:
                await self._flooded()
            return
        await self.receive(message)

    async def receive(self, message: Mapping[str, Any]) -> None:
        """Take one message, decoded. Never raises for what the browser sent."""
        if self.state is State.AWAY:
            return
        if not self._spend():
            await self._flooded()
            return
        try:
            said = messages.read(message)
            if not isinstance(said, _ALLOWED[self.state]):
                raise Refused(Reason.BAD_REQUEST, f"this message makes no sense when {self.state.value}")
            await self._act(said)
        except Refused as refused:
            await self._error(refused)

    async def disconnected(self) -> None:
        """Hear that the WebSocket is gone: the call waits for the browser to come back."""
        if self.state is State.JOINED:
            self.state = State.AWAY
            self._wait(self._resume_time, State.AWAY, Reason.TRANSPORT_FAILED)
        elif self.state is State.WAITING:
            await self._end(Reason.CANCELLED)
        elif self.state is not State.AWAY:
            # While joining, `_join` finds this state when the desk has decided and ends the call.
            self.state = State.ENDED

    def _spend(self) -> bool:
        now = self._clock()
        self._credit = min(MESSAGE_BURST, self._credit + (now - self._credited) * MESSAGES_PER_SECOND)
        self._credited = now
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True

    async def _flooded(self) -> None:
        if self.state is not State.ENDED:
            log.warning("browser_flooded", source=self._source, room=self.room)
            await self._end(Reason.OVERLOAD, tell="error")

    async def _act(self, said: Message) -> None:
        match said:
            case Join():
                await self._join(said)
            case Offer():
                await self._take_offer(said.sdp)
            case Answer():
                await self._take_answer(said.sdp)
            case Trickle():
                await self._trickle(said)
            case Mute():
                await self._joined_call().mute(said.audio, said.video)
            case Digit():
                await self._joined_call().dtmf(said.digit, DTMF_DURATION, KeyWay.PAGE)
            case Say():
                await self._write(said.text)
            case Wish():
                await self._fulfil(said)
            case Decide():
                await self._decide(said)
            case Promote():
                await self._promote(said.pin)
            case Leave():
                await self._end(Reason.NORMAL)
            case Ping():
                await self._say({"type": "pong"})

    async def _write(self, text: str) -> None:
        """Bring a message to the room; one that is refused is told apart from errors of the call."""
        try:
            await self._joined_call().wrote(text)
        except Refused as refused:
            await self._say({"type": "unsaid", "reason": refused.reason.value, "message": str(refused)})

    async def _fulfil(self, wish: Wish) -> None:
        """Do what a host wants; what cannot be done is told apart from errors of its own call."""
        try:
            await cast(Member, self._joined_call()).fulfil(wish.what)
        except Refused as refused:
            await self._say(
                {"type": "undone", "what": wish.kind, "reason": refused.reason.value, "message": str(refused)}
            )

    async def _decide(self, said: Decide) -> None:
        """Let somebody in or turn it away; where another was quicker, the list of those who wait tells."""
        try:
            await cast(Member, self._joined_call()).decide(said.participant, said.admitted)
        except Refused as refused:
            if refused.reason is not Reason.NO_SUCH_USER:
                await self._say({"type": "undecided", "reason": refused.reason.value, "message": str(refused)})

    async def _promote(self, pin: str) -> None:
        try:
            await cast(Member, self._joined_call()).promote(pin)
        except Refused as refused:
            await self._say({"type": "unpromoted", "reason": refused.reason.value, "message": str(refused)})

    def _joined_call(self) -> Call:
        if self.call is None:
            raise Refused(Reason.BAD_REQUEST, "there is no call")
        return self.call

    async def _join(self, said: Join) -> None:
        self.state = State.JOINING
        facts = CallFacts(
            protocol=CallProtocol.WEBRTC,
            direction=Direction.INCOMING,
            source=self._source,
            caller=said.name,
            name=said.name,
            called=said.room,
            pin=said.pin,
            secure=self._secure,
            agent=self._agent,
            resume=said.resume,
        )
        try:
            call = await self._desk.arrive(facts, self)
        except Refused:
            if self._is(State.JOINING):
                self.state = State.NEW
                self._joins += 1
            if self._joins >= MAX_JOINS:
                await self._end(Reason.NOT_ALLOWED, tell="error")
                return
            raise
        if not self._is(State.JOINING):
            # The browser left, or the house hung up, while the desk decided.
            await call.ended(Reason.CANCELLED)
            return
        member = cast(Member, call)
        self.call, self.room, self.participant_id = call, said.room, member.participant_id
        if member.waits:
            self.state = State.WAITING
            self._admission = asyncio.get_running_loop().create_task(self._wait_outside(call))
        else:
            await self._enter(call)

    async def _wait_outside(self, call: Call) -> None:
        """Tell the browser what it waits for, until it may come in; if it may not, the house hangs up."""
        async for stage, name in cast(Member, call).waiting():
            room = {"id": self.room, "name": name or self.room}
            await self._say({"type": "waiting", "for": stage.value, "room": room})
        if self._is(State.WAITING):
            self._admission = None
            await self._enter(call)

    async def _enter(self, call: Call) -> None:
        member = cast(Member, call)
        self.state = State.JOINED
        self._wait(OFFER_TIME, State.JOINED, Reason.TIMEOUT)
        await self._say(
            {
                "type": "joined",
                "participant": member.participant_id,
                "resume": member.resume_token,
                "room": {"id": self.room, "name": str(getattr(call, "room_name", "") or self.room)},
            }
        )

    def _is(self, state: State) -> bool:
        """Compare afresh: another task may have changed the state during an await."""
        return self.state is state

    async def _take_offer(self, sdp: str) -> None:
        call = self._joined_call()
        description = self._negotiation.offered(sdp)
        self._candidates = 0
        try:
            local = await call.answer(description)
            answer = self._negotiation.answer(local)
        except Refused:
            self._negotiation.withdraw()
            raise
        if not self._is(State.JOINED):
            return
        await self._say({"type": "answer", "sdp": answer})
        await self._open(call)

    async def _take_answer(self, sdp: str) -> None:
        call = self._joined_call()
        try:
            description = self._negotiation.answered(sdp)
        except Refused as refused:
            if self._negotiation.turn is Turn.OURS and refused.reason is not Reason.BAD_REQUEST:
                self._negotiation.withdraw()
            raise
        self._candidates = 0
        await call.accept(description)
        await self._open(call)

    async def _open(self, call: Call) -> None:
        """Go on after a finished exchange: hand over candidates that came early, and let the participant in."""
        self._described = True
        if self.state is State.JOINED:
            self._stop_waiting()
        early, self._early = self._early, []
        for mid, candidate in early:
            await call.candidate(mid, candidate)
        if not self._connected:
            self._connected = True
            await call.connected()

    async def _trickle(self, said: Trickle) -> None:
        self._candidates += 1
        if self._candidates > MAX_CANDIDATES:
            if self._candidates == MAX_CANDIDATES + 1:
                raise Refused(Reason.BAD_REQUEST, f"more than {MAX_CANDIDATES} candidates; the rest is left out")
            return
        if self._described and self._negotiation.turn is Turn.IDLE:
            await self._joined_call().candidate(said.mid, said.candidate)
        elif len(self._early) < MAX_EARLY_CANDIDATES:
            self._early.append((said.mid, said.candidate))

    # From the house

    async def renegotiate(self, wanted: Wanted) -> None:
        """Offer the browser what is wanted now. Raises `Refused` with GLARE if an offer is open already."""
        call = self.call
        if call is None or self.state is not State.JOINED or self._negotiation.turn is not Turn.IDLE:
            raise Refused(Reason.GLARE)
        local = await call.offer(wanted)
        if not self._is(State.JOINED) or self._negotiation.turn is not Turn.IDLE:
            raise Refused(Reason.GLARE)
        await self._say({"type": "offer", "sdp": self._negotiation.offer(local)})

    async def hang_up(self, reason: Reason) -> None:
        """End the call from our side and tell the browser why."""
        await self._end(reason, tell="ended")

    async def request_key_frame(self, stream: str) -> None:
        """Do nothing: browsers are asked by RTCP, which they all speak."""

    async def ringing(self) -> None:
        """Do nothing: a browser enters a room, which does not ring."""

    async def say(self, name: str, text: str) -> None:
        """Do nothing: browsers read a room's messages from its board."""

    async def press(self, digit: str, duration: int) -> None:
        """Do nothing: a page has nothing that takes keys."""

    async def floor(self, floor: Floor) -> None:
        """Do nothing: slides stand in the picture, and the board tells whose they are."""

    async def transfer(self, target: str, replaces: Line | None = None) -> None:
        """Refuse: a browser calls nobody itself."""
        raise Refused(Reason.UNSUPPORTED, "a browser cannot be transferred")

    async def local_candidate(self, stream: str, candidate: Candidate | None) -> None:
        """Pass on a candidate of ours."""
        if self.state is State.JOINED:
            text = None if candidate is None else write_candidate(candidate)
            await self._say({"type": "candidate", "mid": stream, "candidate": text})

    # Ends

    def _wait(self, seconds: float, state: State, reason: Reason) -> None:
        """End with this reason if the session is still in this state after so long; one wait replaces another."""
        self._stop_waiting()
        self._waiting = asyncio.get_running_loop().create_task(self._expire(seconds, state, reason))

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    async def _expire(self, seconds: float, state: State, reason: Reason) -> None:
        await asyncio.sleep(seconds)
        self._waiting = None
        if self.state is state:
            log.info("browser_gave_no_sign", room=self.room, participant=self.participant_id, reason=reason.value)
            await self._end(reason, tell="ended")

    async def _end(self, reason: Reason, tell: str = "") -> None:
        """End once: tell the browser if it is there, then the call. tell is the message's type, "" for none."""
        before, self.state = self.state, State.ENDED
        if before is State.ENDED:
            return
        self._stop_waiting()
        if self._admission is not None:
            self._admission.cancel()
            self._admission = None
        if before is not State.AWAY and tell == "ended":
            await self._say({"type": "ended", "reason": reason.value, "message": reason.text})
        elif before is not State.AWAY and tell == "error":
            await self._error(Refused(reason), fatal=True)
        call, self.call = self.call, None
        if call is not None:
            await call.ended(reason)

    async def _error(self, refused: Refused, fatal: bool = False) -> None:
        text = str(refused)
        await self._say({"type": "error", "reason": refused.reason.value, "message": text, "fatal": fatal})

    async def _say(self, message: dict[str, Any]) -> None:
        if self.state is State.AWAY:
            return
        try:
            async with asyncio.timeout(SEND_TIME):
                await self._send(message)
        except (ConnectionError, TimeoutError):
            # The web layer tells us by `disconnected` that the socket is gone.
            log.debug("browser_message_lost", kind=message["type"])
