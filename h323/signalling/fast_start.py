"""Fast start within call signalling: what was proposed, and what it was answered with (H.323 §8.1.7). Pure."""

from __future__ import annotations

from h323.signalling import messages
from h323.signalling.control_way import ControlCodec
from h323.signalling.events import Value


class FastStart:
    """Of one call; each side has one half of it to do."""

    def __init__(self, codec: ControlCodec) -> None:
        self._codec = codec
        self._chosen: tuple[Value, ...] | None = None
        """What we answer with; None as long as nobody decided."""
        self._proposed = False
        self._answered = False

    def propose(self, channels: tuple[Value, ...]) -> list[bytes]:
        """Return what our SETUP proposes, encoded."""
        self._proposed = bool(channels)
        return [self._codec.encode_channel(one) for one in channels]

    def writable(self, channel: Value) -> bool:
        """Whether a channel of the peer's can be repeated in an answer: it may hold parts of a later version."""
        try:
            self._codec.encode_channel(channel)
        except ValueError:
            return False
        return True

    def choose(self, channels: tuple[Value, ...] | None) -> None:
        """Answer with these, if nothing was decided before; () refuses them all."""
        if channels is not None and self._chosen is None:
            self._chosen = channels

    def answer(self, body: Value, final: bool) -> Value:
        """Put our answer to what was proposed into a message; the last one refuses what was not taken."""
        if self._answered:
            return body
        if self._chosen:
            body["fastStart"] = [self._codec.encode_channel(one) for one in self._chosen]
            self._answered = True
        elif final:
            body["fastConnectRefused"] = None
            self._answered = True
        return body

    def hear(self, body: Value, final: bool) -> tuple[Value, ...] | None:
        """Return what the peer took of our proposals, () if nothing; None if it has not answered, or did before."""
        if not self._proposed:
            return None
        taken = messages.read_channels(body.get("fastStart") or (), self._codec)
        if not (taken or final or "fastConnectRefused" in body):
            return None
        self._proposed = False
        return taken
