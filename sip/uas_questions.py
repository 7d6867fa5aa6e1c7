"""Requests of peers that are answered from above: they wait for it here, and no longer than 30 seconds."""

from __future__ import annotations

from functools import partial

from sip.building import HeaderList, abilities, make_response
from sip.events import (
    Event,
    Flow,
    InfoReceived,
    OptionsReceived,
    PrackReceived,
    RequestId,
    RequestReceived,
    SessionId,
    UpdateReceived,
)
from sip.message import Request
from sip.sessions import ANSWER_TIME, Core, Question, Session
from sip.uac import UserAgentClient


class Questions:
    """The requests that wait."""

    def __init__(self, core: Core, client: UserAgentClient) -> None:
        """Work on these tables."""
        self._core = core
        self._layer = core.layer
        self._client = client

    def _question(self, session: Session | None, request: Request, flow: Flow, now: float) -> None:
        core = self._core
        number = RequestId(core.number())
        server = self._layer.open_server(request, flow)
        timer = core.timers.start(now + ANSWER_TIME, partial(self._never_answered, number))
        core.questions[number] = Question(request, server, session.id if session else None, timer)
        if session is not None and request.method in ("UPDATE", "PRACK"):
            session.asked = number
        core.emit(_event(session.id if session else None, number, request, flow))

    def _never_answered(self, number: RequestId, now: float) -> None:
        self._layer.counts["unanswered"] += 1
        self.respond(number, 500, now)

    def respond(
        self,
        number: RequestId,
        status: int,
        now: float,
        body: bytes = b"",
        content_type: str = "",
        phrase: str = "",
        headers: HeaderList = (),
    ) -> bool:
        """Answer a question; provisional answers leave it open."""
        question = self._core.questions.get(number)
        if question is None:
            return False
        request = question.request
        session = self._core.sessions.get(question.session) if question.session is not None else None
        extra: list[tuple[str, str]] = []
        if request.method == "OPTIONS" and status < 300:
            extra = [*abilities(self._core.config), ("Accept", ", ".join(self._core.config.accept))]
        elif request.method == "UPDATE" and 200 <= status < 300 and session is not None:
            found = self._core.dialogs.get(dialog_key(request))
            extra = [("Contact", found[1].contact)] if found is not None else []
            extra += [*abilities(self._core.config), *self._client.timers.answers(session, request, now)]
        if session is not None and body and 200 <= status < 300 and session.asked == number:
            session.said = (body, content_type)
        extra += [*headers, ("Server", self._core.config.user_agent)]
        response = make_response(
            request,
            status,
            tag=self._layer.token() if status > 100 else "",
            phrase=phrase,
            headers=extra,
            body=body,
            content_type=content_type,
        )
        if status >= 200:
            del self._core.questions[number]
            question.timer.stop()
            if session is not None and session.asked == number:
                session.asked = None
        self._layer.answer(question.server, response, now)
        return True


def dialog_key(request: Request) -> tuple[str, str, str]:
    """Return what the dialog of a peer's request is found by."""
    return (request.call_id, request.to.tag, request.from_.tag)


def _event(session: SessionId | None, number: RequestId, request: Request, flow: Flow) -> Event:
    if session is not None and request.method == "UPDATE":
        return UpdateReceived(session, number, request)
    if session is not None and request.method == "PRACK":
        return PrackReceived(session, number, request)
    if session is not None and request.method == "INFO":
        return InfoReceived(session, number, request)
    if request.method == "OPTIONS":
        return OptionsReceived(session, number, request, flow)
    return RequestReceived(session, number, request, flow)
