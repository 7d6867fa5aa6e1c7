"""Our requests other than INVITE, in dialogs and outside, and the answers to challenges (RFC 3261 §8.1, §22)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gateway.reasons import Reason
from sip.building import HeaderList
from sip.dialog import Dialog
from sip.digest_client import Attempt, Login
from sip.events import Event, Flow, InfoAnswered, MessageAnswered, RequestAnswered, RequestId, Target
from sip.message import Request, Response
from sip.sessions import Core, Phase, Session
from sip.transaction import OnFailure, OnResponse

Done = Callable[[Response | None, int, float], None]


class Requests:
    """What the calling side sends beside INVITE and what belongs to it."""

    def __init__(self, core: Core) -> None:
        """Work on these tables."""
        self._core = core
        self._layer = core.layer

    def info(self, session: Session, body: bytes, content_type: str, now: float) -> RequestId:
        """Send an INFO (RFC 6086 §4.1, and the older use that names no package)."""
        return self._in_call(session, "INFO", body, content_type, partial(InfoAnswered, session.id), now)

    def message(self, session: Session, body: bytes, content_type: str, now: float) -> RequestId:
        """Send a MESSAGE in a call (RFC 3428 §4)."""

        def answered(number: RequestId, status: int, response: Response | None) -> Event:
            return MessageAnswered(session.id, number, status)

        return self._in_call(session, "MESSAGE", body, content_type, answered, now)

    def _in_call(
        self,
        session: Session,
        method: str,
        body: bytes,
        content_type: str,
        answered: Callable[[RequestId, int, Response | None], Event],
        now: float,
    ) -> RequestId:
        """Send a request within a call; what became of it is told while the call lasts."""
        number = RequestId(self._core.number())

        def done(response: Response | None, status: int, when: float) -> None:
            if session.phase is not Phase.ENDED:
                self._core.emit(answered(number, status, response))

        if session.dialog is not None:
            self._ask(session, session.dialog, method, body, content_type, (), done, now)
        return number

    def request(self, request: Request, way: Flow | Target, now: float, login: Login | None = None) -> RequestId:
        """Send a request outside of any dialog, complete but for Via."""
        number = RequestId(self._core.number())

        def on_response(response: Response, flow: Flow | None, when: float) -> None:
            if response.status >= 200:
                self._core.emit(RequestAnswered(number, response.status, response, flow))

        def on_failure(reason: Reason, when: float) -> None:
            status = 408 if reason is Reason.TIMEOUT else 503
            self._core.emit(RequestAnswered(number, status, None, None))

        self._send(request, (way, None), on_response, on_failure, login, None, now)
        return number

    def _send(
        self,
        request: Request,
        way: tuple[Flow | Target, Target | None],
        on_response: OnResponse,
        on_failure: OnFailure,
        login: Login | None,
        dialog: Dialog | None,
        now: float,
    ) -> None:
        """Send a request other than INVITE, and again with credentials where it is challenged (§22.2)."""
        attempt = attempt_of(login, request)

        def heard(response: Response, flow: Flow | None, when: float) -> None:
            nonlocal request
            again = attempt.answer(request, response) if attempt is not None else None
            if again is None:
                on_response(response, flow, when)
                return
            request = again
            if dialog is not None:  # other requests may have been numbered meanwhile
                dialog.local_cseq += 1
                request.headers.set("CSeq", f"{dialog.local_cseq} {request.method}")
            self._layer.send_request(request, *way, heard, on_failure, when)

        self._layer.send_request(request, *way, heard, on_failure, now)

    def _ask(
        self,
        session: Session,
        dialog: Dialog,
        method: str,
        body: bytes,
        content_type: str,
        headers: HeaderList,
        done: Done,
        now: float,
    ) -> None:
        """Send a request other than INVITE within a call; done hears the one final outcome."""
        self.ask_in(dialog, session.login, method, body, content_type, headers, done, now)

    def ask_in(
        self,
        dialog: Dialog,
        login: Login | None,
        method: str,
        body: bytes,
        content_type: str,
        headers: HeaderList,
        done: Done,
        now: float,
    ) -> None:
        """Send a request other than INVITE within a dialog; done hears the one final outcome."""
        request = self._dialog_request(dialog, method, body, content_type, headers)
        on_response, on_failure = _final(dialog, method, done)
        self._send(request, dialog.way(), on_response, on_failure, login, dialog, now)

    def _dialog_request(
        self, dialog: Dialog, method: str, body: bytes, content_type: str, headers: HeaderList
    ) -> Request:
        request = dialog.request(method)
        request.headers.extend(headers)
        request.headers.add("User-Agent", self._core.config.user_agent)
        request.body = body
        if body:
            request.headers.add("Content-Type", content_type)
        return request


def attempt_of(login: Login | None, request: Request) -> Attempt | None:
    """Return what answers challenges of a request, and put on it what is asked for anyway."""
    if login is None:
        return None
    attempt = Attempt(login)
    attempt.begin(request)
    return attempt


def _final(dialog: Dialog, method: str, done: Done) -> tuple[OnResponse, OnFailure]:
    def on_response(response: Response, flow: Flow | None, now: float) -> None:
        if response.status >= 200:
            if method == "UPDATE" and response.status < 300:
                dialog.refresh(response, flow)
            done(response, response.status, now)

    def on_failure(reason: Reason, now: float) -> None:
        done(None, 408 if reason is Reason.TIMEOUT else 503, now)

    return on_response, on_failure


def ignore_response(response: Response, flow: Flow | None, now: float) -> None:
    """Hear a response that changes nothing."""


def ignore_failure(reason: Reason, now: float) -> None:
    """Hear of a failure that changes nothing."""
