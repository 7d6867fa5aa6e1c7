"""Opus as a generic capability of H.245 (H.245 §B.2.2.8; RFC 6716, RFC 7587). Pure.

No Recommendation names Opus, and nobody has published an identifier for it. H.245 lets anybody name a capability by a
UUID, which needs no register; `IDENTIFIER` is ours, made by chance. Who does not know it passes the entry over, as
H.245 demands of all that is unknown. In RTP it is RFC 7587: 48 kHz, a dynamic payload type, 20 ms a packet.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from transcode.media import Codec, Format

IDENTIFIER = ("uuid", UUID("442090d4-2997-4319-b760-57635538015f").bytes)
"""The capabilityIdentifier; docs/interop.md tells it to others."""
ERROR_CORRECTION = 1
"""Parameter, logical: in-band error correction is of use to the receiver (useinbandfec)."""
RATE_UNIT = 100
"""bit/s in one unit of maxBitRate (H.245 §B.2.2.7)."""
MAX_RATE = 510_000
"""bit/s: the most that Opus has (RFC 6716 §2.1.1)."""
CLOCK_RATE = 48_000
PAYLOAD_TYPE = 96
"""Where a channel does not say its own."""


def write_opus(format: Format) -> dict[str, Any]:
    """Return the GenericCapability of a format: what its owner takes at most, and whether error correction helps."""
    most = format.parameter("maxaveragebitrate")
    rate = int(most) if most.isascii() and most.isdigit() else MAX_RATE
    value: dict[str, Any] = {
        "capabilityIdentifier": IDENTIFIER,
        "maxBitRate": max(1, min(rate, MAX_RATE) // RATE_UNIT),
    }
    if format.parameter("useinbandfec") == "1":
        parameter = {"parameterIdentifier": ("standard", ERROR_CORRECTION), "parameterValue": ("logical", None)}
        value["collapsing"] = [parameter]
    return value


def read_opus(value: dict[str, Any]) -> Format | None:
    """Return the format of a GenericCapability; None if it is about something else."""
    if value["capabilityIdentifier"] != IDENTIFIER:
        return None
    found = []
    rate = value.get("maxBitRate")
    if rate and rate * RATE_UNIT < MAX_RATE:
        found.append(("maxaveragebitrate", str(rate * RATE_UNIT)))
    corrected = ("standard", ERROR_CORRECTION)
    if any(one["parameterIdentifier"] == corrected for one in value.get("collapsing") or ()):
        found.append(("useinbandfec", "1"))
    return Format(Codec.OPUS, PAYLOAD_TYPE, CLOCK_RATE, 2, tuple(found))
