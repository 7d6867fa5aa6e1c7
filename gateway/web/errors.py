"""How refusals are told over HTTP: one shape for all, {"reason": ..., "message": ...}."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gateway.reasons import Reason, Refused
from gateway.store.store import StoreError
from gateway.web.office import Office

log = structlog.get_logger()

MAX_FAULTS = 5
"""Faults of one request that are told."""

_FROM_SIP = {
    200: 409,
    480: 504,
    482: 409,
    486: 409,
    487: 409,
    488: 422,
    491: 409,
    513: 413,
    603: 409,
}
"""SIP statuses that mean something else in HTTP, or nothing (RFC 9110 §15); all others are the same there."""

_FROM_HTTP = {
    401: Reason.AUTHENTICATION_NEEDED,
    403: Reason.NOT_ALLOWED,
    408: Reason.TIMEOUT,
    413: Reason.MESSAGE_TOO_LARGE,
    500: Reason.INTERNAL,
    501: Reason.UNSUPPORTED,
    503: Reason.OVERLOAD,
}


class CalleeRefused(Refused):
    """The one who was called refused, or could not be reached: not the fault of who asked for the call."""


def status_of(reason: Reason) -> int:
    """Return the HTTP status that goes with a reason."""
    return _FROM_SIP.get(reason.meaning.sip, reason.meaning.sip)


def problem(office: Office, reason: Reason, message: str, status: int | None = None) -> JSONResponse:
    """Return the answer that tells of a refusal, and count it."""
    office.refused(reason.value)
    status = status or status_of(reason)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"reason": reason.value, "message": message}, status, headers)


def tell_errors(app: FastAPI) -> None:
    """Make every error of this application be told in that shape."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return problem(request.app.state.office, error.reason, str(error))

    @app.exception_handler(CalleeRefused)
    async def callee_refused(request: Request, error: CalleeRefused) -> JSONResponse:
        status = status_of(error.reason)
        # That the callee wants credentials must not read as if the token were wrong, nor its fault as one of ours.
        status = {401: 409, 403: 409, 500: 502}.get(status, status)
        return problem(request.app.state.office, error.reason, str(error), status)

    @app.exception_handler(StoreError)
    async def store_failed(request: Request, error: StoreError) -> JSONResponse:
        log.error("storage_failed", error=str(error))
        return problem(request.app.state.office, Reason.INTERNAL, "The database cannot be used", 503)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            f"{'.'.join(str(part)[:64] for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()[:MAX_FAULTS]
        ]
        request.app.state.office.bad_input("request")
        return problem(request.app.state.office, Reason.BAD_REQUEST, "; ".join(faults))

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> JSONResponse:
        # It is logged by the outermost shell, which it goes on to.
        return problem(request.app.state.office, Reason.INTERNAL, Reason.INTERNAL.text)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        reason = _FROM_HTTP.get(error.status_code, Reason.BAD_REQUEST)
        text = "There is nothing at this address" if error.status_code == 404 else reason.text
        answer = problem(request.app.state.office, reason, text, error.status_code)
        for name, value in (error.headers or {}).items():
            answer.headers[name] = value
        return answer
