"""Waiting music for browsers: they have no media of ours before they are in, so that their page plays the file."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from gateway.web.office import Office
from transcode.audio.sounds import find_file

MUSIC = "music/waiting"
"""The sound that telephones hear, and browsers too."""
TYPES = {".ogg": "audio/ogg", ".opus": "audio/ogg", ".wav": "audio/wav"}
"""Content types of what a sound may be."""

router = APIRouter(include_in_schema=False)


@router.api_route("/sounds/waiting", methods=["GET", "HEAD"])
async def waiting_music(request: Request) -> Response:
    """Return the music, or parts of it (RFC 9110 §14), as browsers ask for what they play."""
    office: Office = request.app.state.office
    path = find_file(office.sounds, MUSIC)
    if path is None:
        return Response("There is no music.\n", 404, media_type="text/plain")
    return FileResponse(path, media_type=TYPES[path.suffix], headers={"Cache-Control": "no-cache"})
