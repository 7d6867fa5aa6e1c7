"""What one call knows of its media encryption: the key agreement, and the media keys that come of it (H.235.6). Pure.

The caller offers half keys in SETUP, the callee answers with one before the call is up. From then on both have the
shared secret; the master makes a key for each channel, whoever opens it, and tells it encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from h323.h235.capabilities import secure
from h323.h235.groups import Group, HalfKey, make_half_key
from h323.h235.keys import read_sync, write_sync
from h323.h235.tokens import read_tokens, write_tokens
from transcode.media import H235Cipher, H235Key

Value = dict[str, Any]


class MediaSecurity:
    """One call's. required says that the call ends where the peer does not encrypt."""

    def __init__(self, rng: Random, required: bool = False) -> None:
        """rng must be one of the system's outside of tests."""
        self.required = required
        self._rng = rng
        self._halves: tuple[HalfKey, ...] = ()
        self._group: Group | None = None
        self._secret = b""

    def __repr__(self) -> str:
        return f"<MediaSecurity {self._group}>"

    # the key agreement

    @property
    def agreed(self) -> bool:
        """Whether both sides have a shared secret."""
        return bool(self._secret)

    @property
    def ciphers(self) -> tuple[H235Cipher, ...]:
        """The ciphers that the shared secret is good for, best first; none before it is there."""
        return self._group.ciphers if self._group is not None and self._secret else ()

    def offer(self) -> list[Value]:
        """Return the tokens of our SETUP."""
        self._halves = tuple(make_half_key(group, self._rng) for group in (Group.DH2048, Group.DH1024))
        return write_tokens(self._halves)

    def take_offer(self, tokens: Any) -> bool:
        """Take the tokens of the caller's SETUP: the strongest group is agreed on. False if there is none."""
        offered = sorted(read_tokens(tokens), key=lambda one: one[0].bits, reverse=True)
        for group, public in offered:
            half = make_half_key(group, self._rng)
            if self._agree(half, public):
                self._halves = (half,)
                return True
        return False

    def answer(self) -> list[Value]:
        """Return the tokens of our CONNECT; none where nothing was agreed on."""
        return write_tokens(self._halves) if self.agreed else []

    def take_answer(self, tokens: Any) -> bool:
        """Take the tokens of the callee's answer, the first time that there are any."""
        if self.agreed:
            return True
        for group, public in read_tokens(tokens):
            half = next((one for one in self._halves if one.group is group), None)
            if half is not None and self._agree(half, public):
                return True
        return False

    def _agree(self, half: HalfKey, public: int) -> bool:
        if public == half.public:
            return False  # our own, sent back
        try:
            self._secret = half.secret(public)
        except ValueError:
            return False
        self._group = half.group
        return True

    # what H.245 says of it

    def dress(self, capabilities: Value) -> Value:
        """Return our capability set as it is to be told: secured if keys were agreed on."""
        return secure(capabilities, self.ciphers) if self.agreed else capabilities

    def choose(self, ciphers: Iterable[H235Cipher]) -> H235Cipher | None:
        """Return the best cipher of those that the peer names."""
        theirs = set(ciphers)
        return next((one for one in self.ciphers if one in theirs), None)

    def make_key(self, cipher: H235Cipher, payload_type: int) -> tuple[H235Key, Value]:
        """Return a new key for a channel, and the EncryptionSync that tells it; for the master."""
        key = H235Key(cipher, self._rng.randbytes(cipher.key_length), payload_type)
        return key, write_sync(key, self._secret)

    def read_key(self, sync: Value, cipher: H235Cipher) -> H235Key:
        """Return the key that the master tells. Raises ValueError."""
        return read_sync(sync, self._secret, cipher)
