"""Media keys on their way from the master to the slave: EncryptionSync of H.245 (H.235.6 §8.6). Pure.

The key of a channel is encrypted with the shared secret's last octets, in the cipher that it is made for.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from h323.messages import DecodeError, Kind, decode, encode
from transcode.media import H235Cipher, H235Key

Value = dict[str, Any]

OBJECTS = {H235Cipher.AES_128_CBC: "2.16.840.1.101.3.4.1.2", H235Cipher.AES_256_CBC: "2.16.840.1.101.3.4.1.42"}
"""Object identifiers of the ciphers (NIST's arc)."""
CIPHERS = {name: cipher for cipher, name in OBJECTS.items()}
_BLOCK = 16


def _cipher(secret: bytes, cipher: H235Cipher, initial: bytes) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(secret[-cipher.key_length :]), modes.CBC(initial))


def write_sync(key: H235Key, secret: bytes) -> Value:
    """Return the EncryptionSync that tells a key."""
    worker = _cipher(secret, key.cipher, bytes(_BLOCK)).encryptor()
    material = {
        "algorithmOID": OBJECTS[key.cipher],
        "paramS": {},
        "encryptedSessionKey": worker.update(key.key) + worker.finalize(),
    }
    told = encode(Kind.H235_KEY, ("secureSharedSecret", material), trimmed=True)
    return {"synchFlag": key.payload_type, "h235Key": told}


def read_sync(sync: Value, secret: bytes, cipher: H235Cipher) -> H235Key:
    """Return the key that an EncryptionSync tells for a channel with this cipher. Raises ValueError."""
    try:
        name, material = decode(Kind.H235_KEY, bytes(sync["h235Key"]))
    except DecodeError as error:
        raise ValueError(f"the media key cannot be read: {error}") from None
    if name != "secureSharedSecret":
        raise ValueError("the media key is not carried by the shared secret")
    hidden = material.get("encryptedSessionKey")
    if material.get("algorithmOID", OBJECTS[cipher]) != OBJECTS[cipher]:
        raise ValueError("the media key is one of another cipher")
    if hidden is None or len(hidden) != cipher.key_length:
        raise ValueError("the media key has the wrong length")
    initial = material["paramS"].get("iv16") or bytes(_BLOCK)
    worker = _cipher(secret, cipher, initial).decryptor()
    return H235Key(cipher, worker.update(hidden) + worker.finalize(), sync["synchFlag"] & 0x7F)
