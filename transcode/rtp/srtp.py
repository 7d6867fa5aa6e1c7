"""SRTP and SRTCP with keys from signalling (RFC 3711, RFC 4568, RFC 6188, RFC 7714), on libsrtp.

One session has at most one key a direction and any number of SSRCs up to a bound. Each datagram is encrypted or
decrypted as a whole; what cannot be is counted and dropped. The binding offers no name for AES-256 in counter mode,
but the library has it: its cipher policy is written into the policy structure directly, after a check that the
structure is laid out as libsrtp 2 documents it.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict

from pylibsrtp import Error, Policy, Session
from pylibsrtp._binding import ffi

from gateway.reasons import Reason, Refused
from transcode.media import SrtpKey, Suite
from transcode.rtp import rtcp

REPLAY_WINDOW = 1024
"""Packets that one may be late by: as many as wait for retransmission at 4 Mbit/s and half a second's delay."""
MAX_SOURCES = 64
"""SSRCs with a state of their own in one direction; the oldest is forgotten."""
MAX_TAG = 999_999_999
"""RFC 4568 §9.1: a tag has up to nine digits; room systems are known that count from 0."""

_PROFILES = {
    Suite.AES_CM_128_HMAC_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    Suite.AES_CM_128_HMAC_SHA1_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    Suite.AES_256_CM_HMAC_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    Suite.AES_256_CM_HMAC_SHA1_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    Suite.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    Suite.AEAD_AES_256_GCM: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}

# srtp_crypto_policy_t: cipher, its key with salt in octets, authentication, its key, tag length, services (srtp.h)
_LAYOUT = struct.Struct("=6i")
_AES_128, _AES_256, _HMAC_SHA1, _BOTH = 1, 5, 3, 3


def _use_aes_256(policy: Policy) -> None:
    """Turn an AES-128 policy into the AES-256 one with the same authentication. Raises ValueError if it cannot."""
    for part in (policy._policy.rtp, policy._policy.rtcp):
        view = ffi.buffer(ffi.addressof(part))
        if len(view) != _LAYOUT.size:
            raise ValueError("this libsrtp has another policy structure")
        cipher, key, authentication, key2, tag, services = _LAYOUT.unpack(bytes(view))
        if (cipher, key, authentication, key2, services) != (_AES_128, 30, _HMAC_SHA1, 20, _BOTH):
            raise ValueError("this libsrtp has another policy structure")
        view[:] = _LAYOUT.pack(_AES_256, 46, authentication, key2, tag, services)


def _policy(key: SrtpKey, direction: int) -> Policy:
    policy = Policy(ssrc_type=direction, srtp_profile=_PROFILES[key.suite])
    if key.suite in (Suite.AES_256_CM_HMAC_SHA1_80, Suite.AES_256_CM_HMAC_SHA1_32):
        _use_aes_256(policy)
    policy.key = key.key + key.salt
    policy.window_size = REPLAY_WINDOW
    # A plain retransmission is the same packet again, so the same octets: nothing is given away (RFC 3711 §9.1).
    policy.allow_repeat_tx = True
    return policy


def _works(suite: Suite) -> bool:
    try:
        Session(_policy(SrtpKey(1, suite, bytes(suite.key_length), bytes(suite.salt_length)), Policy.SSRC_ANY_INBOUND))
    except (Error, ValueError):
        return False
    return True


SUPPORTED: tuple[Suite, ...] = tuple(
    suite
    for suite in (
        Suite.AEAD_AES_256_GCM,
        Suite.AES_256_CM_HMAC_SHA1_80,
        Suite.AEAD_AES_128_GCM,
        Suite.AES_CM_128_HMAC_SHA1_80,
        Suite.AES_256_CM_HMAC_SHA1_32,
        Suite.AES_CM_128_HMAC_SHA1_32,
    )
    if _works(suite)
)
"""What this build of libsrtp can do, strongest first, the short tags last."""


def make_key(suite: Suite, tag: int = 1) -> SrtpKey:
    """Make a random key for what we send. Raises ValueError if the tag is none of RFC 4568 §9.1."""
    if not 0 <= tag <= MAX_TAG:
        raise ValueError("the tag of a key has one to nine digits")
    return SrtpKey(tag, suite, os.urandom(suite.key_length), os.urandom(suite.salt_length))


def check_key(key: SrtpKey) -> None:
    """Raise Refused if a key has the wrong length or tag, or its suite is not supported."""
    if not 0 <= key.tag <= MAX_TAG:
        raise Refused(Reason.BAD_DESCRIPTION, "the tag of a key has one to nine digits")
    if len(key.key) != key.suite.key_length or len(key.salt) != key.suite.salt_length:
        raise Refused(Reason.BAD_DESCRIPTION, f"a key of {key.suite.value} has the wrong length")
    if key.suite not in SUPPORTED:
        raise Refused(Reason.ENCRYPTION_UNSUPPORTED, key.suite.value)


def _session(key: SrtpKey, direction: int) -> Session:
    check_key(key)
    return Session(_policy(key, direction))


class SrtpSession:
    """Encrypts what is sent and decrypts what is received on one transport.

    A direction without a key lets nothing through. clear_rtcp accepts unencrypted RTCP, as some phones send it beside
    encrypted media, until the first encrypted one has come: nobody falls back after that.

    Counters: failed (not authentic, or not decodable), replayed, unprotected_rtcp (taken in clear), keyless (no key in
    that direction), unsendable (too long or exhausted).
    """

    __slots__ = (
        "_receive",
        "_receive_key",
        "_rtcp_seen",
        "_send",
        "_send_key",
        "_sources",
        "clear_rtcp",
        "failed",
        "keyless",
        "replayed",
        "unprotected_rtcp",
        "unsendable",
    )

    def __init__(self, send: SrtpKey | None, receive: SrtpKey | None, clear_rtcp: bool = False) -> None:
        """Raises Refused if a key has the wrong length or its suite is not supported."""
        self.clear_rtcp = clear_rtcp
        self.failed = self.replayed = self.unprotected_rtcp = self.keyless = self.unsendable = 0
        self._send_key: SrtpKey | None = None
        self._receive_key: SrtpKey | None = None
        self._send: Session | None = None
        self._receive: Session | None = None
        self._rtcp_seen = False
        self._sources: OrderedDict[bytes, None] = OrderedDict()
        self.rekey(send, receive)

    def rekey(self, send: SrtpKey | None, receive: SrtpKey | None) -> None:
        """Change keys; a direction whose key stays the same keeps its counters, which must never go back.

        Raises Refused as the constructor does, and then changes nothing.
        """
        sending, receiving = self._send, self._receive
        if not _same(send, self._send_key):
            sending = None if send is None else _session(send, Policy.SSRC_ANY_OUTBOUND)
        if not _same(receive, self._receive_key):
            receiving = None if receive is None else _session(receive, Policy.SSRC_ANY_INBOUND)
            self._sources.clear()
            self._rtcp_seen = False
        self._send, self._send_key = sending, send
        self._receive, self._receive_key = receiving, receive

    @property
    def suite(self) -> Suite | None:
        """The suite of what is sent."""
        return None if self._send_key is None else self._send_key.suite

    def protect_rtp(self, packet: bytes) -> bytes | None:
        """Encrypt an RTP packet; None if it cannot be sent."""
        if self._send is None:
            self.keyless += 1
            return None
        try:
            return self._send.protect(packet)
        except (Error, ValueError):
            self.unsendable += 1
            return None

    def protect_rtcp(self, packet: bytes) -> bytes | None:
        """Encrypt a compound RTCP packet; None if it cannot be sent."""
        if self._send is None:
            self.keyless += 1
            return None
        try:
            return self._send.protect_rtcp(packet)
        except (Error, ValueError):
            self.unsendable += 1
            return None

    def unprotect_rtp(self, packet: bytes) -> bytes | None:
        """Decrypt an RTP packet; None if it is not authentic or came before."""
        if self._receive is None:
            self.keyless += 1
            return None
        try:
            clear: bytes = self._receive.unprotect(packet)
        except (Error, ValueError) as error:
            self._count(error)
            return None
        if (source := clear[8:12]) not in self._sources:
            self._remember(source)
        return clear

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """Decrypt an RTCP packet; None if it is not authentic or came before."""
        if self._receive is None:
            self.keyless += 1
            return None
        try:
            clear: bytes = self._receive.unprotect_rtcp(packet)
        except (Error, ValueError) as error:
            if self.clear_rtcp and not self._rtcp_seen and _is_clear(packet):
                self.unprotected_rtcp += 1
                return packet
            self._count(error)
            return None
        self._rtcp_seen = True
        if (source := clear[4:8]) not in self._sources:
            self._remember(source)
        return clear

    def _count(self, error: Exception) -> None:
        if "replay" in str(error):
            self.replayed += 1
        else:
            self.failed += 1

    def _remember(self, source: bytes) -> None:
        """Bound the states that libsrtp keeps: it makes one for each authentic SSRC and frees none by itself."""
        self._sources[source] = None
        if len(self._sources) > MAX_SOURCES:
            oldest, _ = self._sources.popitem(last=False)
            assert self._receive is not None
            try:
                self._receive.remove_stream(int.from_bytes(oldest, "big"))
            except Error:
                self.failed += 1

    def counters(self) -> dict[str, int]:
        """Return the counters by name."""
        return {
            "srtp_failed": self.failed,
            "srtp_replayed": self.replayed,
            "srtp_keyless": self.keyless,
            "srtp_unsendable": self.unsendable,
            "srtcp_clear": self.unprotected_rtcp,
        }


def _same(one: SrtpKey | None, other: SrtpKey | None) -> bool:
    """Tell whether two keys encrypt alike; the tag is of no matter."""
    if one is None or other is None:
        return one is other
    return (one.suite, one.key, one.salt) == (other.suite, other.key, other.salt)


def _is_clear(packet: bytes) -> bool:
    try:
        return bool(rtcp.parse(packet))
    except ValueError:
        return False
