"""What the API's routes ask for: the office, and a token that may do what the route does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from gateway.web.office import Office
from gateway.web.shapes import Problem

BY_API = "the API"
"""Who did something, in events, where the API was asked to."""

_bearer = HTTPBearer(auto_error=False, description="A token of the configuration, or the one printed at first start.")


def _office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


def _need(scope: str) -> Callable[..., None]:
    def check(
        request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
    ) -> None:
        _office(request).keyring.check(given.credentials if given is not None else None, scope)

    return check


InOffice = Annotated[Office, Depends(_office)]
RoomKey = Annotated[str, Path(max_length=128)]
SomebodyKey = Annotated[str, Path(max_length=64)]

READ = [Depends(_need("read"))]
ROOMS = [Depends(_need("rooms"))]
CALLS = [Depends(_need("calls"))]

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request makes no sense"},
    401: {"model": Problem, "description": "No token, or one that is not known"},
    403: {"model": Problem, "description": "The token may not do this"},
    404: {"model": Problem, "description": "There is no such room, participant or call"},
    408: {"model": Problem, "description": "It took too long"},
    409: {"model": Problem, "description": "It does not go together with how things stand"},
    413: {"model": Problem, "description": "The request, or a text in it, is too long"},
    500: {"model": Problem, "description": "Something went wrong inside the service"},
    503: {
        "model": Problem,
        "description": "The service is at its limit or shutting down, or its database fails",
    },
}
"""Answers that any route may give; all refusals look the same."""

UNSUPPORTED: dict[int | str, dict[str, Any]] = {
    501: {"model": Problem, "description": "This gateway, or the participant's device, cannot do that"},
}
"""The answer of routes that ask for what not everybody can."""

PEERS: dict[int | str, dict[str, Any]] = {
    **UNSUPPORTED,
    410: {"model": Problem, "description": "The room was closed meanwhile"},
    422: {"model": Problem, "description": "The other side and this gateway have no media in common"},
    502: {"model": Problem, "description": "The other side failed"},
    504: {"model": Problem, "description": "The other side does not answer, or cannot be reached"},
}
"""Further answers of routes that wait for what somebody outside says."""
