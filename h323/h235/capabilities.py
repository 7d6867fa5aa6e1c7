"""Encryption in capability sets and data types (H.245 §B.2.2, §B.3; H.235.6 §8.3). Pure.

Each capability for media gets a second entry that names the ciphers it may be encrypted with, and stands beside it in
the same alternative set. The data type of an encrypted channel wraps that of the plain one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from h323.h235.keys import CIPHERS, OBJECTS
from transcode.media import H235Cipher

Value = dict[str, Any]

MEDIA = frozenset(
    {
        "receiveAudioCapability",
        "receiveVideoCapability",
        "receiveDataApplicationCapability",
        "receiveAndTransmitDataApplicationCapability",
    }
)
"""Capabilities of ours that are encrypted."""
OFFSET = 1000
"""A security capability's number is that of its media's and so many more."""
_WRAPPED = ("audioData", "videoData", "data")


def _methods(ciphers: Iterable[H235Cipher]) -> Value:
    return {"encryptionCapability": [("algorithm", OBJECTS[one]) for one in ciphers]}


def read_methods(value: Value) -> tuple[H235Cipher, ...]:
    """Return the ciphers known here of an EncryptionAuthenticationAndIntegrity, in its order."""
    listed = value.get("encryptionCapability") or ()
    return tuple(CIPHERS[text] for kind, text in listed if kind == "algorithm" and text in CIPHERS)


def secure(capabilities: Value, ciphers: tuple[H235Cipher, ...]) -> Value:
    """Return a capability set with all its media secured by these ciphers."""
    table: list[Value] = []
    secured: set[int] = set()
    for one in capabilities.get("capabilityTable") or ():
        table.append(one)
        number = one["capabilityTableEntryNumber"]
        if one.get("capability") is not None and one["capability"][0] in MEDIA:
            secured.add(number)
            said = {"encryptionAuthenticationAndIntegrity": _methods(ciphers), "mediaCapability": number}
            entry = {"capabilityTableEntryNumber": number + OFFSET, "capability": ("h235SecurityCapability", said)}
            table.append(entry)
    if not secured:
        return capabilities
    descriptors = [
        {**one, "simultaneousCapabilities": [_beside(each, secured) for each in one["simultaneousCapabilities"]]}
        for one in capabilities.get("capabilityDescriptors") or ()
    ]
    return {**capabilities, "capabilityTable": table, "capabilityDescriptors": descriptors}


def _beside(alternatives: list[int], secured: set[int]) -> list[int]:
    return [part for one in alternatives for part in ((one, one + OFFSET) if one in secured else (one,))]


def read_security(capabilities: Value) -> dict[int, tuple[H235Cipher, ...]]:
    """Return the ciphers that a peer's capabilities may be encrypted with, by their entry numbers."""
    found = {}
    for one in capabilities.get("capabilityTable") or ():
        capability = one.get("capability")
        if capability is not None and capability[0] == "h235SecurityCapability":
            said = capability[1]
            ciphers = read_methods(said["encryptionAuthenticationAndIntegrity"])
            if ciphers:
                found[said["mediaCapability"]] = ciphers
    return found


def wrap(data_type: tuple[str, Any], cipher: H235Cipher) -> tuple[str, Any]:
    """Return the data type of an encrypted channel."""
    return ("h235Media", {"encryptionAuthenticationAndIntegrity": _methods([cipher]), "mediaType": data_type})


def unwrap(data_type: tuple[str, Any]) -> tuple[tuple[str, Any], tuple[H235Cipher, ...] | None]:
    """Return the plain data type of a channel and the ciphers it may be encrypted with, None if it is not to be."""
    name, inner = data_type
    if name != "h235Media":
        return data_type, None
    media = inner["mediaType"]
    plain = media if media[0] in _WRAPPED else ("nonStandard", None)
    return plain, read_methods(inner["encryptionAuthenticationAndIntegrity"])
