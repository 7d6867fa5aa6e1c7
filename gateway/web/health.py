"""Whether the house lives, whether it takes calls, and its metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from gateway.reasons import Reason, Refused
from gateway.web.office import Office

READY_TIME = 2.0
"""Seconds that the media plane has to give a sign before the house counts as not ready."""

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def alive() -> JSONResponse:
    """Say that the event loop turns."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def ready(request: Request) -> JSONResponse:
    """Say whether calls are taken now: the media plane answers, and nobody shuts the house."""
    office: Office = request.app.state.office
    if office.stopping.is_set():
        return JSONResponse({"status": Reason.SHUTDOWN.value}, 503)
    try:
        async with asyncio.timeout(READY_TIME):
            await office.desk.plane.counters()
    except (Refused, TimeoutError):
        return JSONResponse({"status": "no-media-plane"}, 503)
    return JSONResponse({"status": "ok"})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Return all metrics in Prometheus's text format."""
    office: Office = request.app.state.office
    return Response(await office.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")
