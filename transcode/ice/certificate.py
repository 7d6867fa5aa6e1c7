"""The certificate that every DTLS session of this process shows, and the sessions' cipher list.

Peers trust it by the fingerprint in the description and by nothing else (RFC 8122, RFC 8827 §6.5), so it is made at
start, kept in memory only, and replaced before it expires; calls in progress keep the one that they began with.
"""

from __future__ import annotations

import datetime

from aiortc.rtcdtlstransport import RTCCertificate, SRTPProtectionProfile
from OpenSSL import SSL

from transcode.media import Fingerprint

ALGORITHM = "sha-256"
"""The one digest that we announce; every WebRTC peer must know it (RFC 8827 §6.5)."""
RENEW_BEFORE = datetime.timedelta(days=2)
"""A certificate with less time left is not given to new calls; longer than any call lasts."""
CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA"
)
"""Forward secrecy only (RFC 8827 §6.5); the RSA ones are for room systems whose certificate is RSA."""


class Certificate(RTCCertificate):
    """A self-signed ECDSA P-256 certificate with its key."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What a description says of it."""
        for found in self.getFingerprints():
            if found.algorithm == ALGORITHM:
                return Fingerprint(ALGORITHM, found.value)
        raise AssertionError("the library computes no sha-256 digest")

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        # aiortc 1.16 asks its certificate for the context; its own list of ciphers leaves RSA peers out.
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(CIPHERS)
        return context


_current: list[Certificate] = []


def process_certificate() -> Certificate:
    """Return the certificate that this process's new calls share; makes one (about 1 ms) if there is none."""
    now = datetime.datetime.now(tz=datetime.UTC)
    if not _current or _current[0].expires - now < RENEW_BEFORE:
        _current[:] = [Certificate.generateCertificate()]
    return _current[0]
