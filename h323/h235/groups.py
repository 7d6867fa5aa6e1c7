"""Diffie-Hellman as H.235.6 uses it: the groups by their object identifiers, half keys and the shared secret.

The arithmetic is Python's own: the library that does the rest of our cryptography is giving up groups like these. Each
exponent serves one call and is forgotten, so there is little to be learned from how long it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random

from transcode.media import H235Cipher

EXPONENT_BITS = 256
"""Bits of our private exponents: twice the strength that a group of 2,048 bits has is enough (NIST SP 800-57)."""
GENERATOR = 2

_HEAD = (
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
)
_TAIL_1024 = "49286651ECE65381FFFFFFFFFFFFFFFF"
_TAIL_2048 = (
    "49286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D"
    "670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF"
)


class Group(Enum):
    """A group that we agree on keys in: the second Oakley group (RFC 2409 §6.2), and group 14 (RFC 3526 §3)."""

    DH1024 = "0.0.8.235.0.3.43"
    DH2048 = "0.0.8.235.0.3.45"

    @property
    def bits(self) -> int:
        """Bits of the prime."""
        return 1024 if self is Group.DH1024 else 2048

    @property
    def prime(self) -> int:
        """The modulus."""
        return _PRIMES[self]

    @property
    def ciphers(self) -> tuple[H235Cipher, ...]:
        """What its secret is strong enough for, best first."""
        if self is Group.DH1024:
            return (H235Cipher.AES_128_CBC,)
        return (H235Cipher.AES_256_CBC, H235Cipher.AES_128_CBC)


_PRIMES = {Group.DH1024: int(_HEAD + _TAIL_1024, 16), Group.DH2048: int(_HEAD + _TAIL_2048, 16)}


@dataclass(frozen=True, slots=True)
class HalfKey:
    """Our half of one key agreement."""

    group: Group
    public: int
    _private: int

    def __repr__(self) -> str:
        return f"<HalfKey {self.group.name}>"

    def secret(self, theirs: int) -> bytes:
        """Return the shared secret, as many octets as the prime has. Raises ValueError for a worthless half key."""
        prime = self.group.prime
        if not 1 < theirs < prime - 1:
            raise ValueError("the peer's half key gives the secret away")
        return pow(theirs, self._private, prime).to_bytes(self.group.bits // 8, "big")


def make_half_key(group: Group, rng: Random) -> HalfKey:
    """Make our half of a key agreement; rng must be one of the system's outside of tests."""
    private = rng.getrandbits(EXPONENT_BITS) | 1 << (EXPONENT_BITS - 1)
    return HalfKey(group, pow(GENERATOR, private, group.prime), private)
