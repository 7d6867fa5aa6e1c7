"""A leg's real-time text: lines from its carrier to the control plane, and what others write back to it."""

from __future__ import annotations

from transcode.carrier import Carrier
from transcode.events import FormatsChanged, Text
from transcode.media import Codec, Format, Kind, Role
from transcode.negotiate import Chosen
from transcode.payload.t140 import DEFAULT_RATE, REPEATS, TextReceiver, TextSender
from transcode.payload.t140_lines import LineMaker
from transcode.stream import Owner, Stream

LINE_END = "\u2028"
"""What ends a line of ours (T.140 §8.1)."""


class TextStream(Stream):
    """Text, both ways (RFC 4103)."""

    kind = Kind.TEXT
    clock_rate = 1000

    def __init__(self, owner: Owner, id: str, carrier: Carrier, shared: bool, role: Role) -> None:
        super().__init__(owner, id, carrier, shared, role)
        self._receiver = TextReceiver()
        self._lines = LineMaker()
        self._sender: TextSender | None = None
        self._generation = 0
        self._first = owner.rng.getrandbits(32)

    def configure(self, chosen: Chosen, bit_rate: int) -> None:
        """See `Stream.configure`."""
        self._agree(chosen)
        self._receiver.set_formats(
            frozenset(one.payload_type for one in chosen.receive if one.codec is Codec.T140),
            frozenset(one.payload_type for one in chosen.receive if one.codec is Codec.RED),
        )
        send = chosen.send
        if send is None:
            self._sender = None
            return
        plain = chosen.plain or send
        red = send.payload_type if send.codec is Codec.RED else None
        said = plain.parameter("cps")
        rate = int(said) if said.isascii() and said.isdigit() and len(said) < 5 else DEFAULT_RATE
        if self._sender is None:
            self._sender = TextSender(plain.payload_type, red, rate, _repeats(send))
        else:
            self._sender.change(plain.payload_type, red, rate, _repeats(send))

    def take(self, data: bytes, arrival: float) -> None:
        """See `Stream.take`."""
        packet = self.session.receive_rtp(data, arrival)
        if packet is None or self.chosen is None or not self.chosen.receive:
            return
        if self.session.generation != self._generation:
            self._generation = self.session.generation
            self._receiver.restart()
        text = self._receiver.take(packet.payload_type, packet.sequence, packet.payload, arrival, packet.marker)
        self._tell(self._lines.take(text, arrival))

    def write(self, text: str) -> bool:
        """Send a line; False if nothing can be sent, or too much waits."""
        return self._sender is not None and self._sender.write(text.replace("\n", LINE_END) + LINE_END)

    def poll(self, now: float) -> None:
        """See `Stream.poll`."""
        super().poll(now)
        self._tell(self._lines.take(self._receiver.poll(now), now))
        self._tell(self._lines.poll(now))
        due = self._sender.poll(now) if self._sender is not None else None
        if due is not None:
            payload_type, payload, marker = due
            timestamp = (self._first + round(now * 1000)) & 0xFFFFFFFF
            self.carrier.send_rtp(self.session.pack(payload_type, payload, timestamp, marker, now))

    def _tell(self, lines: list[str]) -> None:
        for line in lines:
            self._emit(Text(self.leg, line))

    def formats(self) -> FormatsChanged | None:
        """See `Stream.formats`."""
        if self.chosen is None:
            return None
        return FormatsChanged(self.leg, self.id, Kind.TEXT, self._codec_in(), self._codec_out())

    def counters(self) -> dict[str, int]:
        """See `Stream.counters`."""
        return super().counters() | {
            "malformed_payloads": self._receiver.malformed,
            "text_lost": self._receiver.lost,
            "text_recovered": self._receiver.recovered,
        }

    def close(self) -> None:
        """See `Stream.close`; what stood in an unfinished line is told."""
        super().close()
        self._tell(self._lines.finish())


def _repeats(send: Format) -> int:
    """Return the redundant generations that a peer takes: as many as "98/98/98" names beside the primary one."""
    if send.codec is not Codec.RED:
        return 0
    listed = next((name for name, value in send.parameters if "/" in name and not value), "")
    return min(REPEATS, listed.count("/")) if listed else REPEATS
