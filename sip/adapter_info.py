"""INFO in one SIP call, both ways: keys pressed and requests for a key frame (RFC 5168, RFC 6086 §4.2.3)."""

from __future__ import annotations

from typing import Protocol

from gateway.calls import Call, KeyWay
from gateway.jobs import Job
from sip.bodies import (
    DTMF,
    DTMF_RELAY,
    MEDIA_CONTROL,
    PICTURE_FAST_UPDATE,
    asks_key_frame,
    key_press,
    pressed_key,
)
from sip.events import RequestId, SessionId
from sip.message import Request
from sip.refusals import HeaderList
from sip.stack import Stack

KEY_FRAME_INTERVAL = 1.0
"""Seconds between two requests for a key frame; an encoder takes no more without spoiling its bit rate."""
_PASSING = frozenset({408, 481, 491, 500, 503})
"""Answers to an INFO that say nothing about whether the peer knows it."""


class InfosOwner(Protocol):
    """What is needed of the adapter."""

    stack: Stack

    def now(self) -> float:
        """Return the loop's time in seconds."""

    def pump(self) -> None:
        """Send and report what the stack has to."""


class InfosCall(Protocol):
    """What is needed of the call; up is its session while both sides know that it is up."""

    call: Call | None

    @property
    def up(self) -> SessionId | None: ...

    def do(self, job: Job) -> None:
        """Do a job when those before it are done."""


class Infos:
    """What is told by INFO."""

    def __init__(self, owner: InfosOwner, about: InfosCall) -> None:
        self._owner = owner
        self._about = about
        self._key_frame_waits = False
        self._asked_at = float("-inf")
        self._asked: RequestId | None = None
        self._refused = False

    def received(self, request: Request) -> tuple[int, HeaderList]:
        """An INFO came. Returns the status and headers of its answer."""
        kind = request.content_type
        if kind in (DTMF_RELAY, DTMF):
            pressed = pressed_key(kind, request.body)
            if pressed is None:
                return 400, []
            self._about.do(lambda: self._dtmf(*pressed))
        elif kind == MEDIA_CONTROL:
            if asks_key_frame(request.body) and not self._key_frame_waits:
                self._key_frame_waits = True
                self._about.do(self._key_frame)
        elif "Info-Package" in request.headers:
            return 469, [("Recv-Info", "")]
        elif request.body:
            return 415, [("Accept", f"{MEDIA_CONTROL}, {DTMF_RELAY}, {DTMF}")]
        return 200, []

    def request_key_frame(self) -> None:
        """Ask the peer for a key frame, at most once a second, and not again where it refused that (RFC 5168)."""
        now, session = self._owner.now(), self._about.up
        if session is None or self._asked is not None or self._refused or now - self._asked_at < KEY_FRAME_INTERVAL:
            return
        self._asked_at = now
        self._asked = self._owner.stack.info(session, MEDIA_CONTROL, PICTURE_FAST_UPDATE, now)
        self._owner.pump()

    def press(self, digit: str, duration: int) -> None:
        """Press a key for so many ms, in the form that most know (application/dtmf-relay)."""
        session = self._about.up
        if session is not None:
            self._owner.stack.info(session, DTMF_RELAY, key_press(digit, duration), self._owner.now())
            self._owner.pump()

    def answered(self, request_id: RequestId, status: int) -> None:
        """Our INFO was answered: a peer that does not know it is not asked again."""
        if request_id == self._asked:
            self._asked = None
            self._refused = self._refused or (status >= 400 and status not in _PASSING)

    async def _dtmf(self, key: str, duration: int) -> None:
        if self._about.call is not None:
            await self._about.call.dtmf(key, duration, KeyWay.INFO)

    async def _key_frame(self) -> None:
        self._key_frame_waits = False
        if self._about.call is not None:
            await self._about.call.key_frame()
