"""The HTTP API, version 1: prompts for everybody in a room."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from gateway.web.access import BY_API, REFUSALS, ROOMS, InOffice, RoomKey
from gateway.web.shapes import Asked
from transcode.audio.player import MAX_SOUNDS

router = APIRouter(prefix="/api/v1", responses=REFUSALS, tags=["rooms"])


class Announcement(Asked):
    """Prompts by their names in texts.yaml, one after the other; language None is the room's."""

    prompts: list[Annotated[str, Field(max_length=80)]] = Field(min_length=1, max_length=MAX_SOUNDS)
    language: Annotated[str | None, Field(max_length=16)] = None


@router.post("/rooms/{room}/announce", dependencies=ROOMS, status_code=202)
async def announce(office: InOffice, room: RoomKey, asked: Announcement) -> Response:
    """Let everybody in a room hear prompts, behind what is announced already; more than it can keep is left out."""
    desk = office.desk
    await desk.behaviour.announce(desk.room(room), tuple(asked.prompts), asked.language or "", BY_API)
    return Response(status_code=202)
