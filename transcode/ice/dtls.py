"""DTLS-SRTP (RFC 5764) on aiortc's RTCDtlsTransport; the one file that touches its private parts.

Theory of operation. aiortc's class drives OpenSSL: it reads datagrams from, and writes them to, something with
`_recv`, `_send` and `role`. Here that is `_Pipe`, a bounded queue in front and the ICE agent behind, which carries
DTLS records only: handshake and data channels. SRTP never enters it; once the handshake is done its two pylibsrtp
sessions are taken out and used directly, packet by packet, without a task in between.

Private parts used (aiortc 1.16): RTCDtlsTransport._set_role, _set_state, _write_ssl, _ssl, _rx_srtp, _tx_srtp, _state,
_task, State.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport, State
from aiortc.rtcicetransport import RTCIceTransport
from OpenSSL import SSL

from transcode.ice.certificate import Certificate
from transcode.media import Dtls, Setup

MAX_WAITING = 256
"""DTLS datagrams that wait for the pump: a flight is 3, a data channel's window of 128 KiB is about 110."""
MAX_FLIGHT = 16
"""Reads of READ_SIZE octets that one flight may need; a chain of large certificates fits four times over."""
READ_SIZE = 1500
DATAGRAM = 1200
"""Octets of one DTLS datagram that we send (RFC 8261 §5: below the smallest path MTU in use)."""
RECORD_HEADER = 13


def split_flight(flight: bytes) -> list[bytes]:
    """Cut a run of DTLS 1.2 records (RFC 6347 §4.1) into datagrams of whole records, DATAGRAM octets where they fit."""
    datagrams: list[bytes] = []
    start = end = 0
    while end < len(flight):
        length = len(flight) - end
        if 20 <= flight[end] <= 25 and length >= RECORD_HEADER:
            length = min(length, RECORD_HEADER + int.from_bytes(flight[end + 11 : end + 13], "big"))
        if end > start and end + length - start > DATAGRAM:
            datagrams.append(flight[start:end])
            start = end
        end += length
    if end > start:
        datagrams.append(flight[start:end])
    return datagrams


class _Pipe:
    """What aiortc's DTLS class takes for an ICE transport."""

    def __init__(self, controlling: bool, send: Callable[[bytes], bool]) -> None:
        self.role = "controlling" if controlling else "controlled"
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)
        self._hand_over = send

    async def _recv(self) -> bytes:
        return await self.waiting.get()

    async def _send(self, data: bytes) -> None:
        if not self._hand_over(data):
            raise ConnectionError("no pair is selected")


class DtlsSession(RTCDtlsTransport):
    """One DTLS association over a validated path.

    send hands a datagram to the path; on_closed is called once when an established association was closed by the
    peer.
    """

    def __init__(self, controlling: bool, certificate: Certificate, send: Callable[[bytes], bool]) -> None:
        self._pipe = _Pipe(controlling, send)
        self.on_closed: Callable[[], None] | None = None
        super().__init__(cast(RTCIceTransport, self._pipe), [certificate])

    def take(self, data: bytes) -> bool:
        """Queue one datagram with DTLS records; False if it had to be dropped."""
        try:
            self._pipe.waiting.put_nowait(data)
        except asyncio.QueueFull:
            return False
        return True

    async def handshake(self, remote: Dtls, setup: Setup) -> bool:
        """Agree on keys with the peer of these fingerprints; setup is our own role. False if that failed."""
        self._set_role("client" if setup is Setup.ACTIVE else "server")
        fingerprints = [RTCDtlsFingerprint(each.algorithm, each.value) for each in remote.fingerprints]
        await self.start(RTCDtlsParameters(fingerprints=fingerprints))
        return bool(self._state == State.CONNECTED)

    @property
    def srtp(self) -> tuple[Any, Any]:
        """The pylibsrtp sessions that send and receive, after the handshake."""
        return self._tx_srtp, self._rx_srtp

    @property
    def profile(self) -> str:
        """The SRTP profile that was agreed on, as OpenSSL names it."""
        return bytes(self._ssl.get_selected_srtp_profile()).decode() if self._ssl is not None else ""

    async def _write_ssl(self) -> None:
        # The library reads the BIO once, 1500 octets, wherever that cuts; a long flight needs whole records.
        if self._ssl is None:
            return
        written = []
        for _ in range(MAX_FLIGHT):
            try:
                part = self._ssl.bio_read(READ_SIZE)
            except SSL.Error:
                break
            written.append(part)
        for datagram in split_flight(b"".join(written)):
            await self._pipe._send(datagram)

    def _set_state(self, state: State) -> None:
        was = self._state
        super()._set_state(state)
        if state == State.CLOSED and was == State.CONNECTED and self.on_closed is not None:
            self.on_closed()
