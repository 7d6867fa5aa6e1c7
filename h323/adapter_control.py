"""What H.245 reports in one call, and what follows from it: channels, capabilities, modes, keys, and questions.

Whatever changes the sessions is told to the media plane by the line, once for all that comes together. What H.245 tells
before the house described its media waits: a SETUP may carry the caller's set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import structlog

from gateway.calls import KeyWay
from gateway.reasons import Reason
from h323.adapter_chair import ChairWishes
from h323.adapter_security import renew_key
from h323.conference import ConferenceView, read_label
from h323.describe.capabilities import read_capabilities, write_capabilities
from h323.describe.channels import read_answer, read_request
from h323.h245 import events as control
from h323.presenting import Slides
from h323.sessions import Sessions
from h323.signalling.call import H323Call
from transcode.media import Role

log = structlog.get_logger()

KEY_TIME = 100
"""Milliseconds of a key press whose length nobody told."""
MAX_EARLY = 32
"""Events of H.245 that may wait for our description; a set and a channel of each kind take five."""


class ControlledLine(Protocol):
    """What this needs of a call."""

    core: H323Call
    sessions: Sessions | None
    slides: Slides | None
    view: ConferenceView | None
    chair: ChairWishes

    def update(self) -> None:
        """Tell the media plane what has changed."""

    def press_all(self, keys: str, duration: int, way: KeyWay) -> None:
        """Bring keys to the house; duration in ms, way how they came."""

    def send_key_frame(self, role: Role | None) -> None:
        """Have the house send a whole picture; None: all that it sends."""

    def drop(self, reason: Reason, detail: str = "") -> None:
        """End the call."""


class ControlEvents:
    """Of one call. now is the loop's time, count counts one thing that happened."""

    def __init__(self, line: ControlledLine, now: Callable[[], float], count: Callable[[str], None]) -> None:
        self._line = line
        self._core = line.core
        self._now = now
        self._count = count
        self._early: list[control.ControlEvent] = []

    def catch_up(self, sessions: Sessions) -> None:
        """The house has described its media: take what has waited for that."""
        early, self._early = self._early, []
        for event in early:
            self._channels(event, sessions)

    def take(self, event: control.ControlEvent) -> None:
        """Take what H.245 reports."""
        sessions = self._line.sessions
        match event:
            case control.Keys(keys, duration, update, signal):
                if not update:
                    way = KeyWay.SIGNAL if signal else KeyWay.ALPHANUMERIC
                    self._line.press_all(keys, duration or KEY_TIME, way)
            case control.KeyFrameAsked(number):
                role = None if sessions is None else sessions.role_of(number)
                self._line.send_key_frame(role)
            case control.ControlFailed(reason, detail):
                self._failed(reason, detail)
            case control.CapabilitiesAnswered(False, cause):
                reason = Reason.TIMEOUT if cause == "timeout" else Reason.BAD_REQUEST
                self._failed(reason, f"our capability set was not taken: {cause}")
            case control.CapabilitiesWanted() if sessions is not None:
                self._core.control.offer_capabilities(write_capabilities(sessions.local), self._now())
            case control.ModeAsked(modes):
                self._change_mode(modes)
            case control.CloseAsked(number):
                self._core.control.grant_close(number, True, self._now())
            case control.Told("command", "miscellaneousCommand", value) if self._renews_key(value):
                self._line.update()
            case control.Told(kind, name, value):
                self._told(kind, name, value)
            case _ if sessions is not None:
                self._channels(event, sessions)
            case _ if len(self._early) < MAX_EARLY:
                self._early.append(event)
            case _:
                pass
        self._core.flush()

    def _failed(self, reason: Reason, detail: str) -> None:
        """H.245 cannot go on. Media that flow go on without it; a call that has none yet will have none."""
        sessions = self._line.sessions
        log.info("h323_control_failed", h323_call_id=self._core.facts.call.hex(), reason=reason.value, detail=detail)
        self._count("control_failed")
        if sessions is None or not sessions.carries:
            self._line.drop(reason, detail)

    def _channels(self, event: control.ControlEvent, sessions: Sessions) -> None:
        session, now = self._core.control, self._now()
        match event:
            case control.CapabilitiesReceived(capabilities, empty):
                gone = sessions.pause() if empty else sessions.take_abilities(read_capabilities(capabilities))
                for number in gone:
                    session.close(number, now)
                if sessions.security.missing:
                    self._line.drop(Reason.ENCRYPTION_NEEDED, "the peer encrypts no media")
            case control.ChannelOffered(number, request):
                answer = sessions.offered(read_request(request), bool(session.master))
                if isinstance(answer, str):
                    self._count(f"channels_refused.{answer}")
                    session.reject(number, answer, now)
                else:
                    session.accept(number, answer, now)
                    if sessions.bound is not None and number in sessions.pictures():
                        session.limit_rate(number, sessions.bound)
                    self._line.update()
            case control.ChannelAnswered(number, answer):
                if sessions.answered(number, read_answer(answer)):
                    self._line.update()
                else:
                    session.close(number, now)
            case control.ChannelRefused(number, cause):
                self._count(f"channels_denied.{cause}")
                sessions.refused(number, cause)
            case control.ChannelClosed(number, ours):
                if sessions.closed(number, ours):
                    self._line.update()
            case control.RateLimited(number, rate):
                if sessions.limit(number, rate):
                    self._line.update()
            case _:
                pass
        if self._line.slides is not None:
            self._line.slides.heard(event, now)
        self.open_channels(sessions)

    def open_channels(self, sessions: Sessions) -> None:
        """Open what is to be sent and is not open yet, once both sides know each other."""
        if not self._core.control.ready or self._core.over:
            return
        sessions.security.master = bool(self._core.control.master)
        for opening in sessions.openings():
            number = self._core.control.open(opening.request, self._now())
            if number is not None:
                sessions.opened(opening, number)
        if self._line.slides is not None:
            self._line.slides.update(self._now())

    def _change_mode(self, modes: list[Any]) -> None:
        """Send what the peer wants to be sent, if we can (H.245 §B.7): channels of other codecs are opened anew."""
        best, now = None if self._line.sessions is None else self._line.sessions.ask(modes), self._now()
        if best is None or self._line.sessions is None:
            self._core.control.answer_mode(False, now)
            return
        self._core.control.answer_mode(True, now, best)
        for number in self._line.sessions.unasked():
            self._core.control.close(number, now)

    def _told(self, kind: str, name: str, value: Any) -> None:
        """Answer what nobody here does; indications need none."""
        view = self._line.view
        if name == "conferenceIndication" and value[0] == "terminalNumberAssign":
            self._core.control.presentation.label = read_label(value[1])
        if name in ("conferenceRequest", "conferenceCommand") and self._line.chair.take(kind, *value):
            return
        if name == "conferenceRequest" and view is not None:
            answers = view.answer(*value)
            if answers is not None:
                for answer in answers:
                    self._core.control.send(answer)
                return
        if kind in ("request", "command") and name not in ("miscellaneousCommand", "genericCommand"):
            self._count(f"not_done.{name}")
            self._core.control.refuse_function((kind, (name, value)))

    def _renews_key(self, value: Any) -> bool:
        renewed = renew_key(self._core, self._line.sessions, value)
        if renewed is False:
            self._count("bad_media_keys")
        return renewed is not None
