"""DTLS-SRTP (RFC 5764) on aiortc's RTCDtlsTransport; the one file that touches its private parts.

Theory of operation. aiortc's class drives OpenSSL: it reads datagrams from, and writes them to, something with
`_recv`, `_send` and `role`. Here that is `_Pipe`, a bounded queue in front and the ICE agent behind, which carries
DTLS records only: handshake and data channels. SRTP never enters it: once the handshake is done its keys are taken out
and used packet by packet, without a task in between.

Private parts used (aiortc 1.16): RTCDtlsTransport._set_role, _set_state, _setup_srtp, _write_ssl, _ssl, _srtp_profiles,
_role, _state, State.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport, State
from aiortc.rtcicetransport import RTCIceTransport
from OpenSSL import SSL

from transcode.ice.certificate import Certificate
from transcode.media import Dtls, Setup, SrtpKey, Suite

MAX_WAITING = 256
"""DTLS datagrams that wait for the pump: a flight is 3, a data channel's window of 128 KiB is about 110."""
MAX_FLIGHT = 16
"""Reads of READ_SIZE octets that one flight may need; a chain of large certificates fits four times over."""
READ_SIZE = 1500
DATAGRAM = 1200
"""Octets of one DTLS datagram that we send (RFC 8261 §5: below the smallest path MTU in use)."""
RECORD_HEADER = 13


_EXPORTER = b"EXTRACTOR-dtls_srtp"
"""The label under which the keys are exported (RFC 5764 §4.2)."""
_SUITES = {
    b"SRTP_AEAD_AES_256_GCM": Suite.AEAD_AES_256_GCM,
    b"SRTP_AEAD_AES_128_GCM": Suite.AEAD_AES_128_GCM,
    b"SRTP_AES128_CM_SHA1_80": Suite.AES_CM_128_HMAC_SHA1_80,
}
"""The profiles that the library offers, by OpenSSL's names."""


def _key(material: bytes, suite: Suite, side: int) -> SrtpKey:
    """Cut one side's key and salt, 0 the DTLS client's, out of what was exported (RFC 5764 §4.2)."""
    key, salt = suite.key_length, suite.salt_length
    start = 2 * key + side * salt
    return SrtpKey(1, suite, material[side * key : (side + 1) * key], material[start : start + salt])


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
        self._keys: tuple[SrtpKey, SrtpKey] | None = None
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
    def keys(self) -> tuple[SrtpKey, SrtpKey] | None:
        """The keys that send and receive, after the handshake."""
        return self._keys

    def _setup_srtp(self) -> None:
        # In place of the library's: the keys go to the same SRTP sessions that every other transport uses.
        assert self._ssl is not None
        profile = next(
            (each for each in self._srtp_profiles if each.openssl_profile == self._ssl.get_selected_srtp_profile()),
            None,
        )
        if profile is None:
            self._set_state(State.FAILED)
            return
        suite = _SUITES[profile.openssl_profile]
        material = self._ssl.export_keying_material(_EXPORTER, 2 * (suite.key_length + suite.salt_length))
        ours, theirs = (1, 0) if self._role == "server" else (0, 1)
        self._keys = _key(material, suite, ours), _key(material, suite, theirs)

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
