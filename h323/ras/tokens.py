"""Proofs of a password in RAS messages (H.235): made, found, and compared. Pure; who may, says `guard`.

Four kinds are known:

- H.235.1 procedure I: HMAC-SHA1-96 over the whole message, under SHA-1 of the password. It alone protects the message
  itself, and serves in both directions.
- CAT: MD5 over a random octet, the password and the time, in a ClearToken.
- MD5: cryptoEPPwdHash, MD5 over a ClearToken that holds name, password and time.
- the password itself, in a ClearToken.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

from h323.messages import EncodeError, Kind, encode
from h323.signalling.aliases import read_alias, write_alias

WHOLE = "0.0.8.235.0.2.1"
"""H.235.1, "A": all fields of the message are hashed."""
TOKEN = "0.0.8.235.0.2.5"
"""H.235.1, "T": the ClearToken of the hash."""
HMAC = "0.0.8.235.0.2.6"
"""H.235.1, "U": HMAC-SHA1-96."""
CAT = "1.2.840.113548.10.1.2.1"
MD5 = "1.2.840.113549.2.5"
HASH_BITS = 96
HASH_OCTETS = 12
MAX_PLACES = 4
"""Places in a message where the octets of the hash may stand by chance; the right one is among the first."""
MAX_PASSWORD = 128
MAX_NAME = 128
_WHOLE = re.compile(r"0\.0\.8\.235\.0\.[1-4]\.1")
_TOKEN = re.compile(r"0\.0\.8\.235\.0\.[1-4]\.5")
_HMAC = re.compile(r"0\.0\.8\.235\.0\.[1-4]\.6")

Value = dict[str, Any]


class Scheme(Enum):
    """How a password is proved; the value is the name in logs, strongest first."""

    HMAC = "h235.1"
    CAT = "cat"
    MD5 = "md5"
    CLEAR = "password"


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that a message carries, not checked yet.

    name is whose password it is said to be, or the endpoint identifier that stands for that one. time is in seconds
    since 1970, 0 where the kind has none; random tells two proofs of one second apart.
    """

    scheme: Scheme
    name: str
    time: int = 0
    random: int = 0
    receiver: str = ""
    secret: bytes = b""

    def fits(self, password: str, data: bytes) -> bool:
        """Tell whether this proves a password; data is the message as it came. It takes as long for a wrong one."""
        match self.scheme:
            case Scheme.HMAC:
                return _fits_message(data, self.secret, key_of(password))
            case Scheme.CAT:
                return hmac.compare_digest(cat_digest(password, self.time, self.random), self.secret)
            case Scheme.MD5:
                return hmac.compare_digest(md5_digest(self.name, password, self.time), self.secret)
            case Scheme.CLEAR:
                return hmac.compare_digest(password.encode(), self.secret)


def key_of(password: str) -> bytes:
    """Return the key that H.235.1 makes of a password (SHA-1)."""
    return hashlib.sha1(password.encode()).digest()


def cat_digest(password: str, time: int, random: int) -> bytes:
    """Return CAT's challenge: MD5 of the low octet of random, the password, and the time as four octets."""
    said = bytes((random & 0xFF,)) + password.encode() + (time & 0xFFFF_FFFF).to_bytes(4, "big")
    return hashlib.md5(said, usedforsecurity=False).digest()


def md5_digest(name: str, password: str, time: int) -> bytes:
    """Return the hash of a cryptoEPPwdHash, of strings that end in NUL as all stacks write them; empty if it cannot."""
    token: Value = {"tokenOID": "0.0", "password": password + "\0", "generalID": name + "\0"}
    if time:
        token["timeStamp"] = time
    try:
        encoded = encode(Kind.CLEAR_TOKEN, token)
    except EncodeError:
        return b""
    return hashlib.md5(encoded, usedforsecurity=False).digest()


# reading


def find_proof(body: Value) -> Proof | None:
    """Return the strongest proof that a message carries."""
    found = [_hashed(token) for token in body.get("cryptoTokens") or ()]
    found += [_clear(token) for token in body.get("tokens") or ()]
    strength = list(Scheme)
    return min((one for one in found if one is not None), key=lambda one: strength.index(one.scheme), default=None)


def _hashed(token: Any) -> Proof | None:
    kind, value = token
    if kind == "cryptoEPPwdHash" and value["token"]["algorithmOID"] == MD5:
        name = read_alias(value["alias"])
        return Proof(Scheme.MD5, name, value["timeStamp"], 0, "", bytes(value["token"]["hash"][0]))
    if kind != "nestedcryptoToken" or value[0] != "cryptoHashedToken":
        return None
    hashed = value[1]
    named, said = hashed["hashedVals"], hashed["token"]
    octets, bits = said["hash"]
    known = (
        _WHOLE.fullmatch(hashed["tokenOID"])
        and _TOKEN.fullmatch(named["tokenOID"])
        and _HMAC.fullmatch(said["algorithmOID"])
    )
    if not known or bits != HASH_BITS:
        return None
    return Proof(
        Scheme.HMAC,
        _plain(named.get("sendersID")),
        named.get("timeStamp", 0),
        named.get("random", 0),
        _plain(named.get("generalID")),
        bytes(octets),
    )


def _clear(token: Value) -> Proof | None:
    name, time = _plain(token.get("generalID")), token.get("timeStamp", 0)
    if token["tokenOID"] == CAT:
        challenge = token.get("challenge")
        return Proof(Scheme.CAT, name, time, token.get("random", 0), "", bytes(challenge)) if challenge else None
    password = token.get("password")
    if password is None or not name:
        return None
    return Proof(Scheme.CLEAR, name, time, token.get("random", 0), "", _plain(password).encode())


def _plain(text: str | None) -> str:
    """Return a BMPString without the NUL that many stacks put at its end."""
    return (text or "").rstrip("\0")[:MAX_NAME]


def _fits_message(data: bytes, said: bytes, key: bytes) -> bool:
    """Try each place where the hash's octets stand: the message is hashed with zeros there (H.235.1 §7.2)."""
    at, fits = -1, False
    for _ in range(MAX_PLACES):
        at = data.find(said, at + 1)
        if at < 0:
            break
        made = _digest(data[:at] + bytes(HASH_OCTETS) + data[at + HASH_OCTETS :], key)
        fits |= hmac.compare_digest(made, said)
    return fits


def _digest(data: bytes, key: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha1).digest()[:HASH_OCTETS]


# writing


@dataclass(frozen=True, slots=True)
class Signer:
    """Who proves a password. own is the name of who sends; to that of who receives, empty where it is not known."""

    own: str
    password: str
    to: str = ""


def signed(name: str, body: Value, signer: Signer, time: int, rng: Random) -> bytes:
    """Return a message of that name, encoded, with H.235.1 over all of it. Raises EncodeError."""
    while True:
        mark = rng.randbytes(HASH_OCTETS)
        named: Value = {"tokenOID": TOKEN, "timeStamp": time, "random": rng.randrange(1, 1 << 31)}
        if signer.to:
            named["generalID"] = signer.to
        if signer.own:
            named["sendersID"] = signer.own
        hashed = {"algorithmOID": HMAC, "paramS": {}, "hash": (mark, HASH_BITS)}
        token = ("cryptoHashedToken", {"tokenOID": WHOLE, "hashedVals": named, "token": hashed})
        tokens = [*(body.get("cryptoTokens") or ()), ("nestedcryptoToken", token)]
        data = encode(Kind.RAS, (name, {**body, "cryptoTokens": tokens}))
        if data.count(mark) == 1:
            break
    at = data.index(mark)
    empty = data[:at] + bytes(HASH_OCTETS) + data[at + HASH_OCTETS :]
    return data[:at] + _digest(empty, key_of(signer.password)) + data[at + HASH_OCTETS :]


def cat_token(name: str, password: str, time: int, random: int) -> Value:
    """Return a CAT token; random is one octet."""
    return {
        "tokenOID": CAT,
        "timeStamp": time,
        "challenge": cat_digest(password, time, random),
        "random": random,
        "generalID": name + "\0",
    }


def md5_token(name: str, password: str, time: int) -> Any:
    """Return a cryptoEPPwdHash."""
    hashed = {"algorithmOID": MD5, "paramS": {}, "hash": (md5_digest(name, password, time), 128)}
    return ("cryptoEPPwdHash", {"alias": write_alias(name), "timeStamp": time, "token": hashed})
