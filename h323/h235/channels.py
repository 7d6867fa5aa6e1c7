"""The encryption of one call's logical channels: which ciphers, whose keys (H.235.6 §8.5, §8.6). Pure.

Encryption is decided on once, when both the keys and the peer's capability set are known. Agreed keys and a peer that
secures at least one capability make a call whose channels are all encrypted, in both directions; then nothing clear is
opened or taken.
"""

from __future__ import annotations

from typing import Any

from h323.h235.capabilities import wrap
from h323.h235.security import MediaSecurity
from transcode.media import H235Cipher, H235Key, MediaDescription, SrtpPolicy

Value = dict[str, Any]
Ciphers = tuple[H235Cipher, ...]

DENIED = "securityDenied"
"""Cause of an openLogicalChannelReject for a channel that is not encrypted as it must be."""


class ChannelSecurity:
    """Of one call; `security` is None where media stay clear."""

    def __init__(self) -> None:
        self.security: MediaSecurity | None = None
        self.master = False
        self._peer: dict[int, Ciphers] | None = None
        self._decided: bool | None = None

    @property
    def active(self) -> bool:
        """Whether media are encrypted, as far as it is known."""
        agreed = self.security is not None and self.security.agreed
        if self._decided is None and self._peer is not None and agreed:
            self._decided = any(self._choose(one) is not None for one in self._peer.values())
        return agreed if self._decided is None else self._decided

    @property
    def missing(self) -> bool:
        """Whether encryption is demanded and keys were agreed on, but the peer secures nothing."""
        security = self.security
        return security is not None and security.required and security.agreed and not self.active

    def take(self, peer: dict[int, Ciphers]) -> None:
        """Take the ciphers of the peer's capability set, by entry numbers."""
        self._peer = peer

    def _choose(self, ciphers: Ciphers) -> H235Cipher | None:
        return None if self.security is None else self.security.choose(ciphers)

    def usable(self, entry: int) -> bool:
        """Tell whether a channel may be opened for an entry of the peer's."""
        return not self.active or self.cipher(entry) is not None

    def cipher(self, entry: int) -> H235Cipher | None:
        """Return the cipher for a channel in an entry of the peer's; None for a clear one."""
        return self._choose((self._peer or {}).get(entry, ())) if self.active else None

    def seal(self, request: Value, cipher: H235Cipher, payload_type: int) -> tuple[Value, H235Key | None]:
        """Return the openLogicalChannel of an encrypted channel, and its key if it is ours to make."""
        forward = request["forwardLogicalChannelParameters"]
        sealed = {
            **request,
            "forwardLogicalChannelParameters": {**forward, "dataType": wrap(forward["dataType"], cipher)},
        }
        if not self.master or self.security is None:
            return sealed, None
        key, sync = self.security.make_key(cipher, payload_type)
        return {**sealed, "encryptionSync": sync}, key

    def judge(self, ciphers: Ciphers | None, sync: Value | None, payload_type: int) -> Judged | str:
        """Judge the encryption of a channel that the peer opens; the cause if it is refused."""
        if ciphers is None:
            return DENIED if self.active else Judged()
        cipher = self._choose(ciphers) if self.active else None
        if cipher is None or self.security is None:
            return DENIED
        if self.master:
            key, told = self.security.make_key(cipher, payload_type)
            return Judged(key, told)
        key_told = self.read(sync, cipher)
        return DENIED if key_told is None else Judged(key_told)

    def read(self, sync: Value | None, cipher: H235Cipher) -> H235Key | None:
        """Return the key that the master tells; None if it tells none that can be used."""
        if sync is None or self.security is None:
            return None
        try:
            return self.security.read_key(sync, cipher)
        except ValueError:
            return None

    def renew(self, key: H235Key, payload_type: int) -> tuple[H235Key, Value] | None:
        """Return a new key for a channel and the EncryptionSync that tells it; None if that is not ours to make."""
        if not self.master or self.security is None:
            return None
        return self.security.make_key(key.cipher, payload_type)


class Judged:
    """A channel of the peer's that is taken: its key, and the EncryptionSync of our answer if the key is ours."""

    __slots__ = ("key", "sync")

    def __init__(self, key: H235Key | None = None, sync: Value | None = None) -> None:
        self.key = key
        self.sync = sync


def policy_of(local: MediaDescription) -> SrtpPolicy:
    """Return the house's policy on encryption, as its offer tells it: the same one for every kind of key."""
    transports = [stream.transport for stream in local.streams if not stream.refused]
    keyed = [one for one in transports if one.keys or one.dtls is not None]
    if not keyed:
        return SrtpPolicy.OFF
    return SrtpPolicy.PREFER if all(one.optional for one in keyed) else SrtpPolicy.REQUIRE
