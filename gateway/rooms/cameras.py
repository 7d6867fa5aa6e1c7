"""Who moves whose camera: what a terminal asks goes to the one that speaks, whom it sees largest.

A move that began is stopped at the camera where it began, whoever speaks by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.calls import CallId
from transcode.interface import MediaPlane
from transcode.media import CameraAct, CameraAction, LegId

if TYPE_CHECKING:
    from gateway.rooms.call import RoomCall


class Cameras:
    """Of all rooms."""

    def __init__(self, plane: MediaPlane) -> None:
        self._plane = plane
        self._moving: dict[CallId, LegId] = {}

    async def asked(self, call: RoomCall, action: CameraAction) -> None:
        """Pass on what a terminal asks of the far end's camera; nobody with a camera to be moved: nothing happens."""
        if action.act is CameraAct.SWITCHED:
            return
        target = self._moving.pop(call.id, None) if action.act is CameraAct.STOP else call.room.seen_by(call.leg)
        if target is None:
            return
        if action.act is CameraAct.START:
            self._moving[call.id] = target
        await self._plane.camera(target, action)

    def forget(self, call: RoomCall) -> None:
        """A call is over; what it moves stops by itself."""
        self._moving.pop(call.id, None)
