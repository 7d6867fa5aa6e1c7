"""A leg's far-end camera control: what its peer asks of our camera, and what is asked of the peer's."""

from __future__ import annotations

from transcode.camera import CameraControl
from transcode.carrier import Carrier
from transcode.events import CameraAsked, FormatsChanged
from transcode.media import CameraAction, Format, Kind, Role
from transcode.negotiate import Chosen
from transcode.stream import Owner, Stream

AGAIN = 2.0
"""Seconds after which we tell once more what we have: peers are seen that are not there before."""


class CameraStream(Stream):
    """Camera control, both ways (H.281 over H.224 in RTP, H.323 Annex Q)."""

    kind = Kind.CAMERA
    clock_rate = 8000

    def __init__(self, owner: Owner, id: str, carrier: Carrier, shared: bool, role: Role) -> None:
        super().__init__(owner, id, carrier, shared, role)
        self._control = CameraControl()
        self._first = owner.rng.getrandbits(32)
        self._last = -1
        self._again: float | None = None

    @property
    def _send(self) -> Format | None:
        return None if self.chosen is None else self.chosen.send

    def configure(self, chosen: Chosen, bit_rate: int) -> None:
        """See `Stream.configure`."""
        begins = self._send is None and chosen.send is not None
        self._agree(chosen)
        if chosen.send is not None:
            self._control.plain = chosen.send.parameter("framing") == "plain"
        if begins:
            self._control.start()
            self._again = self._clock() + AGAIN

    def take(self, data: bytes, arrival: float) -> None:
        """See `Stream.take`."""
        packet = self.session.receive_rtp(data, arrival)
        if packet is None or self.chosen is None or not self.chosen.receive or not packet.payload:
            return
        self._tell(self._control.receive(packet.payload, arrival))
        self._flush(arrival)

    def command(self, action: CameraAction) -> bool:
        """Ask something of the peer's camera; False if it has none that can be asked."""
        if self._send is None or self._control.peer_controls is False:
            return False
        now = self._clock()
        self._control.command(action, now)
        self._flush(now)
        return True

    def poll(self, now: float) -> None:
        """See `Stream.poll`."""
        super().poll(now)
        if self._again is not None and now >= self._again:
            self._again = None
            self._control.start()
        self._tell(self._control.tick(now))
        self._flush(now)

    def _flush(self, now: float) -> None:
        send = self._send
        for payload in self._control.take():
            if send is None:
                continue
            # Some take two packets of one timestamp for one.
            self._last = max(self._last + 1, round(now * self.clock_rate))
            timestamp = (self._first + self._last) & 0xFFFFFFFF
            self.carrier.send_rtp(self.session.pack(send.payload_type, payload, timestamp, True, now))

    def _tell(self, actions: list[CameraAction]) -> None:
        for action in actions:
            self._emit(CameraAsked(self.leg, action))

    def formats(self) -> FormatsChanged | None:
        """See `Stream.formats`: what is seen of a participant is its sound and picture."""
        return None

    def counters(self) -> dict[str, int]:
        """See `Stream.counters`."""
        return super().counters() | {"malformed_payloads": self._control.malformed}
