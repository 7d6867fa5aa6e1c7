"""Far-end camera control of one peer: payloads and time in, payloads and actions out (H.281 over H.224). Sans-IO.

A move is started, kept alive and stopped. We keep ours alive until we are told to stop it, or for `LONGEST`; a move of
the peer's that it does not keep alive is stopped for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from transcode.media import CameraAct, CameraAction
from transcode.payload import h224, h281, q922

KEEP_ALIVE = 0.4
"""Seconds between two signs of life of a move: half of what it holds for (H.281 §5.2)."""
LONGEST = 20.0
"""Seconds that a move of ours goes on at most: a camera is at its end by then."""
MAX_WAITING = 16
"""Payloads that wait to be sent."""


class CameraControl:
    """Of one peer. plain: frames go as they are (H.323 Annex Q), and not as bits of HDLC."""

    def __init__(self, plain: bool = False) -> None:
        self.plain = plain
        self.malformed = 0
        self.peer_controls: bool | None = None
        """Whether the peer's camera can be controlled; None before it has told."""
        self.presets = 0
        self._out: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._ours: CameraAction | None = None
        self._ours_until = 0.0
        self._alive = 0.0
        self._theirs: CameraAction | None = None
        self._theirs_until = 0.0
        self._hold = h281.HOLD

    def start(self) -> None:
        """Tell the peer what we have."""
        self._send(h224.client_list((h224.CAMERA,)))
        self._send(h224.capabilities(h224.CAMERA, h281.capabilities()))

    def take(self) -> list[bytes]:
        """Return the payloads to send."""
        waiting = list(self._out)
        self._out.clear()
        return waiting

    def _send(self, message: h224.Message) -> None:
        frame = h224.write(message)
        self._out.append(frame if self.plain else q922.write_hdlc(frame))

    def _ask(self, action: CameraAction) -> None:
        self._send(h224.Message(h224.CAMERA, h281.write(action)))

    def command(self, action: CameraAction, now: float) -> None:
        """Ask something of the peer's camera; now in seconds. A stop ends whatever move is going on."""
        moving = self._ours
        if moving is not None:
            self._ours = None
            self._ask(replace(moving, act=CameraAct.STOP))
        if action.act is CameraAct.START and action.moves:
            self._ours, self._ours_until, self._alive = action, now + LONGEST, now + KEEP_ALIVE
            self._ask(action)
        elif action.act not in h281.MOVES:
            self._ask(action)

    def receive(self, payload: bytes, now: float) -> list[CameraAction]:
        """Take a payload; return what the peer asks of our camera: starts, stops, and acts with a number."""
        frames = q922.read(payload)
        if not frames:
            self.malformed += 1
        actions: list[CameraAction] = []
        for frame in frames:
            try:
                message = h224.read(frame)
                if message.client == h224.MANAGEMENT:
                    self._managed(h224.read_management(message.data))
                elif message.client == h224.CAMERA:
                    actions += self._asked(*h281.read(message.data), now)
            except ValueError:
                self.malformed += 1
        return actions

    def _managed(self, said: h224.Managed) -> None:
        match said:
            case h224.ClientList(clients):
                self.peer_controls = h224.CAMERA in clients
            case h224.Capabilities(h224.CAMERA, data):
                self.peer_controls, self.presets = True, h281.read_presets(data)
            case h224.Asked(True):
                self._send(h224.capabilities(h224.CAMERA, h281.capabilities()))
            case h224.Asked():
                self._send(h224.client_list((h224.CAMERA,)))
            case _:
                pass

    def _asked(self, action: CameraAction, hold: float, now: float) -> list[CameraAction]:
        if action.act not in h281.MOVES:
            return [action]
        same = self._theirs is not None and replace(self._theirs, act=action.act) == action
        if action.act is CameraAct.CONTINUE:
            if same:
                self._theirs_until = now + self._hold
            return []
        if action.act is CameraAct.START and same:
            self._theirs_until = now + hold
            return []
        found = self._stopped() if action.act is CameraAct.START or same else []
        if action.act is CameraAct.START and action.moves:
            self._theirs, self._hold, self._theirs_until = action, hold, now + hold
            found.append(action)
        return found

    def _stopped(self) -> list[CameraAction]:
        moving, self._theirs = self._theirs, None
        return [] if moving is None else [replace(moving, act=CameraAct.STOP)]

    def tick(self, now: float) -> list[CameraAction]:
        """Keep our move alive; stop a move of the peer's whose time is over."""
        if self._ours is not None and now >= self._ours_until:
            self.command(replace(self._ours, act=CameraAct.STOP), now)
        elif self._ours is not None and now >= self._alive:
            self._alive = now + KEEP_ALIVE
            self._ask(replace(self._ours, act=CameraAct.CONTINUE))
        return self._stopped() if self._theirs is not None and now >= self._theirs_until else []
