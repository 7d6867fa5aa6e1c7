"""What carries packets: the seam between RTP sessions and sockets, with or without ICE and encryption."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

PacketHandler = Callable[[bytes, float], None]
"""Takes one decrypted packet and its arrival in seconds of the loop's monotonic clock."""


class PacketTransport(Protocol):
    """A path for one stream's (or one bundle's) RTP and RTCP; plain, SDES-SRTP or ICE with DTLS-SRTP.

    Packets that cannot be sent yet are dropped and counted. on_rtp and on_rtcp are set by the owner before packets
    are let in.
    """

    on_rtp: PacketHandler
    on_rtcp: PacketHandler

    def send_rtp(self, packet: bytes) -> None:
        """Send one RTP packet in clear; it is encrypted on the way if keys are there."""

    def send_rtcp(self, packet: bytes) -> None:
        """Send one compound RTCP packet."""

    def close(self) -> None:
        """Give the sockets back; nothing is delivered afterwards."""
