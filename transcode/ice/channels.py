"""Data channels (RFC 8831) of one bundle on aiortc's RTCSctpTransport; the one file that touches its private parts.

Theory of operation. The association runs inside the DTLS session once that is established. aiortc bounds neither what
it holds for reassembly nor the number of channels, and lets assertions out on messages that break the protocol; so
after each packet the bounds below are checked, and an association that goes past one, or breaks the protocol, is
aborted and counted. Sound and picture go on without it.

Private parts used (aiortc 1.16): RTCSctpTransport._handle_data, _send_chunk, _advertised_rwnd, _data_channels,
_inbound_streams, _sack_misordered.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import structlog
from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import Chunk, RTCSctpCapabilities, RTCSctpTransport
from OpenSSL import SSL

from transcode.ice.dtls import DtlsSession

log = structlog.get_logger()

MAX_MESSAGE = 65536
"""Octets of one message, both ways; what peers assume where nothing is said (RFC 8841 §6.1)."""
MAX_CHANNELS = 16
"""Channels of one peer; a page opens one or two."""
MAX_LABEL = 64
"""Characters of a channel's label."""
MAX_BUFFERED = 256 * 1024
"""Octets that wait to be sent on one channel; four of the largest messages."""
RECEIVE_WINDOW = 256 * 1024
"""Octets held for reassembly, told to the peer as its window (RFC 9260 §3.3.4)."""
MAX_HELD_CHUNKS = 1024
"""Chunks held for reassembly: the window in chunks of a quarter of a packet."""

MessageHandler = Callable[[str, str | bytes], None]
"""Takes one message: the channel's label, and text or octets."""

_PROTOCOL_FAULTS = (AssertionError, ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error)
"""What aiortc lets out on packets that break the protocol."""


class _Association(RTCSctpTransport):
    """An SCTP association that gives up instead of growing."""

    def __init__(self, dtls: DtlsSession, count: Callable[[str], None]) -> None:
        super().__init__(dtls)
        self._advertised_rwnd = RECEIVE_WINDOW
        self._count = count

    async def _handle_data(self, data: bytes) -> None:
        try:
            await super()._handle_data(data)
        except _PROTOCOL_FAULTS:
            self._count("sctp_faults")
            await self.stop()
            return
        held = sum(len(stream.reassembly) for stream in self._inbound_streams.values())
        if (
            self._advertised_rwnd < 0
            or held > MAX_HELD_CHUNKS
            or len(self._sack_misordered) > MAX_HELD_CHUNKS
            or len(self._inbound_streams) > 2 * MAX_CHANNELS
            or len(self._data_channels) > MAX_CHANNELS
        ):
            self._count("sctp_overflow")
            await self.stop()

    async def _send_chunk(self, chunk: Chunk) -> None:
        try:
            await super()._send_chunk(chunk)
        except (ConnectionError, SSL.Error):
            # Its timers send from tasks of their own, where nobody would hear.
            self._count("sctp_unsent")


class DataChannels:
    """The data channels of one transport: messages up as (label, text or octets), and down by label.

    count takes the name of what happened. Channels of one label are one to us: what is sent goes to the latest.
    """

    def __init__(self, dtls: DtlsSession, count: Callable[[str], None]) -> None:
        self.on_message: MessageHandler = _ignore
        self._count = count
        self._open: dict[str, RTCDataChannel] = {}
        self._association = _Association(dtls, count)
        self._association.on("datachannel", self._opened)

    async def start(self, remote_port: int) -> None:
        """Begin the association with the peer's SCTP port; DTLS must be established."""
        await self._association.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE), remote_port)

    async def stop(self) -> None:
        """Abort the association."""
        self.on_message = _ignore
        await self._association.stop()

    def create(self, label: str) -> None:
        """Open a reliable channel of ours; messages can be sent at once and wait until it is open."""
        if len(self._open) < MAX_CHANNELS:
            self._opened(RTCDataChannel(self._association, RTCDataChannelParameters(label=label)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The channels that are there."""
        return tuple(self._open)

    def send(self, label: str, data: str | bytes) -> bool:
        """Send one message; False if there is no such open channel, too much waits, or the message is too large."""
        channel = self._open.get(label)
        size = len(data.encode()) if isinstance(data, str) else len(data)
        if channel is None or channel.readyState != "open" or size > MAX_MESSAGE:
            self._count("data_unsent")
            return False
        if channel.bufferedAmount + size > MAX_BUFFERED:
            self._count("data_overflow")
            return False
        channel.send(data)
        return True

    def _opened(self, channel: RTCDataChannel) -> None:
        label = channel.label[:MAX_LABEL]
        self._open[label] = channel

        def take(data: str | bytes) -> None:
            self._take(label, data)

        def forget() -> None:
            if self._open.get(label) is channel:
                del self._open[label]

        channel.on("message", take)
        channel.on("close", forget)

    def _take(self, label: str, data: str | bytes) -> None:
        if len(data) > MAX_MESSAGE:
            self._count("data_too_large")
            return
        try:
            self.on_message(label, data)
        except Exception:
            # The outermost shell: a fault of ours must not end the peer's association.
            self._count("handler_errors")
            log.exception("data_channel_handler_failed")


def _ignore(_: str, __: str | bytes) -> None:
    """Take a message that nobody waits for."""
