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
}
"""Answers that any route may give; all refusals look the same."""
