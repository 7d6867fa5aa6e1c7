"""Media encryption of H.323: RTP payloads in AES-CBC with keys from signalling (H.235.6 §9.3).

Each payload is encrypted by itself; header, header extension and RTCP stay clear. The initialization vector is the
packet's sequence number and timestamp, over and over until a block is full. A payload that does not fill its last
block is padded (the header's P bit says so), or its ciphertext is stolen from the block before. We pad, which every
peer takes; both are read.

Nothing authenticates a packet: what was not encrypted with the key comes out as noise, and most of it as bad padding.
"""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.reasons import Reason, Refused
from transcode.media import H235Cipher, H235Key, H235Keys
from transcode.rtp.packet import HEADER_LENGTH

BLOCK = 16
"""Octets of a block of AES."""
KEPT_KEYS = 2
"""Keys of one direction: the one in use, and the one before it while packets with that are still on their way."""
_PADDING = 0x20
_EXTENSION = 0x10


def _initial(packet: bytes) -> bytes:
    """Return the initialization vector of a packet (H.235.6 §9.3.1.1)."""
    sequence = packet[2:8]
    return sequence * 2 + sequence[:4]


def _header_end(packet: bytes) -> int | None:
    """Return where a packet's payload begins; None if that is not inside it."""
    if len(packet) < HEADER_LENGTH or packet[0] >> 6 != 2:
        return None
    end = HEADER_LENGTH + 4 * (packet[0] & 0x0F)
    if packet[0] & _EXTENSION:
        if len(packet) < end + 4:
            return None
        (words,) = struct.unpack_from("!H", packet, end + 2)
        end += 4 + 4 * words
    return end if end <= len(packet) else None


class _Algorithm:
    """One key as the payloads need it."""

    def __init__(self, key: bytes) -> None:
        self._key = algorithms.AES(key)

    def encrypt(self, initial: bytes, clear: bytes) -> bytes:
        """Encrypt whole blocks."""
        worker = Cipher(self._key, modes.CBC(initial)).encryptor()
        return worker.update(clear) + worker.finalize()

    def decrypt(self, initial: bytes, secret: bytes) -> bytes:
        """Decrypt a payload as it came, whole blocks or not; it has a block at least."""
        rest = len(secret) % BLOCK
        if not rest:
            worker = Cipher(self._key, modes.CBC(initial)).decryptor()
            return worker.update(secret) + worker.finalize()
        # The last whole block was encrypted over the end of the payload and zeros; its own ciphertext's head is what
        # stands behind it, and its tail is what the zeros hide.
        head = secret[: -(rest + BLOCK)]
        swapped, stolen = secret[-(rest + BLOCK) : -rest], secret[-rest:]
        worker = Cipher(self._key, modes.ECB()).decryptor()
        mixed = worker.update(swapped) + worker.finalize()
        last = bytes(one ^ other for one, other in zip(stolen, mixed, strict=False))
        return self.decrypt(initial, head + stolen + mixed[rest:]) + last


class H235Session:
    """Encrypts the payloads that are sent and decrypts those that are received on one stream's transport.

    A direction without a key lets nothing through. Until a packet comes whose payload type a newer key goes with, the
    older one holds; other payload types on the same channel (key presses) take the newest.

    Counters: failed (not whole blocks, or bad padding), keyless (no key in that direction), malformed.
    """

    clear_rtcp = True

    def __init__(self, keys: H235Keys) -> None:
        """Raises Refused if a key has the wrong length."""
        self.failed = self.keyless = self.malformed = 0
        self._cipher: H235Cipher | None = None
        self._send: dict[int, tuple[H235Key, _Algorithm]] = {}
        self._receive: dict[int, tuple[H235Key, _Algorithm]] = {}
        self.rekey(keys)

    def rekey(self, keys: H235Keys) -> None:
        """Change keys: what the peer receives is what we send. Raises Refused as the constructor does."""
        check_payload_keys(keys)
        _add(self._send, keys.receive)
        _add(self._receive, keys.send)
        self._cipher = None if keys.receive is None else keys.receive.cipher

    @property
    def suite(self) -> H235Cipher | None:
        """The cipher of what is sent."""
        return self._cipher

    def protect_rtp(self, packet: bytes) -> bytes | None:
        """Encrypt an RTP packet without padding; None if it cannot be sent."""
        algorithm = _key_for(self._send, packet)
        end = _header_end(packet)
        if algorithm is None:
            self.keyless += 1
            return None
        if end is None:
            self.malformed += 1
            return None
        payload = packet[end:]
        short = len(payload) % BLOCK
        header = packet[:end]
        if short or not payload:
            missing = BLOCK - short
            payload += bytes((missing,)) * missing
            header = bytes((header[0] | _PADDING,)) + header[1:]
        return header + algorithm.encrypt(_initial(packet), payload)

    def unprotect_rtp(self, packet: bytes) -> bytes | None:
        """Decrypt an RTP packet; None if it makes no sense."""
        algorithm = _key_for(self._receive, packet)
        end = _header_end(packet)
        if algorithm is None:
            self.keyless += 1
            return None
        if end is None:
            self.malformed += 1
            return None
        secret = packet[end:]
        if not secret:
            return packet  # keeps a way through a NAT open
        padded = packet[0] & _PADDING
        if len(secret) < BLOCK or (padded and len(secret) % BLOCK):
            self.failed += 1
            return None
        clear = algorithm.decrypt(_initial(packet), secret)
        if padded:
            # Some fill the padding with its length, some with zeros, some with noise: the last octet alone counts.
            if not 0 < clear[-1] <= BLOCK:
                self.failed += 1
                return None
            clear = clear[: -clear[-1]]
        return bytes((packet[0] & ~_PADDING,)) + packet[1:end] + clear

    def protect_rtcp(self, packet: bytes) -> bytes | None:
        """Return RTCP as it is: H.235.6 leaves it clear."""
        return packet

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """Return RTCP as it is."""
        return packet

    def counters(self) -> dict[str, int]:
        """Return the counters by name."""
        return {"h235_failed": self.failed, "h235_keyless": self.keyless, "h235_malformed": self.malformed}


def check_payload_keys(keys: H235Keys) -> None:
    """Raise Refused if a key has the wrong length."""
    for key in (keys.receive, keys.send):
        if key is not None and len(key.key) != key.cipher.key_length:
            raise Refused(Reason.BAD_DESCRIPTION, f"a key of {key.cipher.value} has the wrong length")


def _add(known: dict[int, tuple[H235Key, _Algorithm]], key: H235Key | None) -> None:
    """Make a key the newest; None shuts the direction."""
    if key is None:
        known.clear()
        return
    newest = next(reversed(known.values()))[0] if known else None
    if key == newest:
        return
    known.pop(key.payload_type, None)
    known[key.payload_type] = (key, _Algorithm(key.key))
    while len(known) > KEPT_KEYS:
        del known[next(iter(known))]


def _key_for(known: dict[int, tuple[H235Key, _Algorithm]], packet: bytes) -> _Algorithm | None:
    if not known or len(packet) < HEADER_LENGTH:
        return None
    found = known.get(packet[1] & 0x7F) or next(reversed(known.values()))
    return found[1]
