"""One RTP session of a call: its two channels, the peer's addresses, and how it is told to the house. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from h323.describe.capabilities import CLOCK, Entry
from h323.describe.fast_start import Place
from h323.h460.media import MediaWays, SessionWay
from h323.signalling.events import Address
from transcode.media import (
    Codec,
    Format,
    H235Cipher,
    H235Key,
    H235Keys,
    Kind,
    Role,
    StreamDescription,
    Transport,
)
from transcode.payload import h264_profile

Value = dict[str, Any]
Key = tuple[Kind, Role]

DISCARD = 9
"""A port that stands for one not known yet (RFC 863); 0 would end the stream."""
NOBODY = "0.0.0.0"
SOUND_RATE = 64_000
"""bit/s of a call that are sound's: one channel (H.225.0 §7.2.2.1)."""
DYNAMIC = 96
"""Payload type of what we send where the codec has no static one."""


@dataclass(slots=True)
class Half:
    """One direction of a session: its channel and what it carries; open says that it was agreed on.

    cipher is None for a clear channel; key is known once the master has told it. limit is what the peer takes at most
    (flow control), in bit/s.
    """

    number: int
    format: Format
    entry: Entry | None = None
    open: bool = False
    cipher: H235Cipher | None = None
    key: H235Key | None = None
    limit: int | None = None


@dataclass(slots=True)
class Session:
    """One RTP session. media and control are the peer's addresses, as far as they are known; way is H.460.19's."""

    stream: StreamDescription
    number: int
    place: Place
    sending: Half | None = None
    receiving: Half | None = None
    media: Address | None = None
    control: Address | None = None
    asked: Codec | None = None
    """The codec that the peer asked for (requestMode), None for our own choice."""
    tried: set[int] = field(default_factory=set)
    """Entries of the peer's that it refused as channels."""
    way: SessionWay = field(default_factory=SessionWay)

    def describe(
        self, whole: int | None, pressed: tuple[Format, ...], encrypted: bool, ways: MediaWays
    ) -> StreamDescription:
        """Describe the peer as the house's offer is answered.

        whole is the bit/s that the call leaves for the stream, None for no bound, 0 if it is to stop; pressed is
        telephone-event as the peer takes it.
        """
        stream = self.stream
        receive: tuple[Format, ...] = ()
        send: tuple[Format, ...] = ()
        half = self.sending
        if half is not None and half.open and 0 not in (half.limit, whole):
            receive = (half.format, *(replace(one, clock_rate=half.format.clock_rate) for one in pressed))
        if self.receiving is not None:
            send = (self.receiving.format, *self._keys_taken(self.receiving.format.clock_rate))
        entry = half.entry if half is not None else None
        limit = half.limit if half is not None else None
        limits = [one for one in (limit, whole, entry.bandwidth if entry is not None else None) if one]
        return StreamDescription(
            stream.id,
            stream.kind,
            receive,
            send,
            self._transport(encrypted, ways),
            stream.role,
            bandwidth=min(limits) if limits else None,
            packet_time=stream.packet_time,
            separate=True,
        )

    def _keys_taken(self, clock: int) -> tuple[Format, ...]:
        """Return telephone-event as we told it, at the clock of the sound beside it (RFC 4733 §2.1)."""
        keys = [one for one in self.stream.receive if one.codec is Codec.TELEPHONE_EVENT]
        told = next((one for one in keys if one.clock_rate == CLOCK), None)
        return () if told is None else (replace(told, clock_rate=clock),)

    def _transport(self, encrypted: bool, ways: MediaWays) -> Transport:
        traversal = ways.describe(self.way, self.stream.transport.multiplex)
        media, control = self.way.media or self.media, self.way.control or self.control
        if traversal is not None and traversal.hidden:
            media = control = None  # its own addresses mean nothing on this side of the translator
        return Transport(
            NOBODY if media is None else media.host,
            DISCARD if media is None else media.port,
            rtcp_address=None if control is None else control.host,
            rtcp_port=None if control is None else control.port,
            h235=self._keys() if encrypted else None,
            traversal=traversal,
        )

    def _keys(self) -> H235Keys:
        """Return the keys as the peer's side has them."""
        sending, receiving = self.sending, self.receiving
        return H235Keys(
            None if receiving is None else receiving.key, sending.key if sending is not None and sending.open else None
        )

    def fits(self, entry: Entry, format: Format) -> bool:
        """Tell whether an entry of the peer's takes what we send here in a format."""
        kind = (entry.kind, entry.role) == (self.stream.kind, self.stream.role)
        return kind and entry.format.codec is format.codec


def numbered(format: Format, encrypted: bool = False) -> Format:
    """Return a format with the payload type that we send it on.

    Encrypted media never use a static one (H.235.6 §8.5).
    """
    if format.payload_type < DYNAMIC and not encrypted:
        return format
    return Format(format.codec, DYNAMIC, format.clock_rate, format.channels, format.parameters, format.feedback)


def rank(entry: Entry) -> tuple[int, int]:
    """Rank entries of one codec, the best least: larger pictures first, then more bit/s."""
    size = 0
    if entry.format.codec is Codec.H264:
        size = h264_profile.limits(entry.format).frame_macroblocks
    return (-size, -(entry.bandwidth or 0))
