"""Errands: what is done beside what goes on, in tasks of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from gateway.reasons import Refused

log = structlog.get_logger()


class Errands:
    """Runs what nobody waits for, and keeps it from being forgotten on the way. len() counts what is under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin something; that media or a peer refuse it is only logged."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _guarded(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Refused as refused:
            log.info(
                "errand_failed",
                what=getattr(work, "__qualname__", ""),
                reason=refused.reason.value,
                detail=refused.detail,
            )
