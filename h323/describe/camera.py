"""Camera control as H.245 names it: H.224 in HDLC frames, or in plain ones (H.323 Annex Q). Pure."""

from __future__ import annotations

from typing import Any

from transcode.media import Codec, Format

Value = dict[str, Any]

ANNEX_Q = "0.0.8.224.1.0"
"""Object identifier of H.224 without HDLC (H.323 Annex Q)."""
RATE = 64
"""Bit rate in hundreds of bit/s: what H.281 asks for."""
PAYLOAD_TYPE = 100
"""A dynamic payload type for where none was said; others are seen to use it."""
FRAMINGS = ("hdlc", "plain")
"""The parameter of our format that tells the two apart; HDLC is the one that all speak."""


def write_camera(framing: str) -> Value:
    """Return the DataApplicationCapability of a framing."""
    application: Any = ("h224", ("hdlcFrameTunnelling", None))
    if framing == "plain":
        application = ("genericDataCapability", {"capabilityIdentifier": ("standard", ANNEX_Q)})
    return {"application": application, "maxBitRate": RATE}


def read_camera(value: Value) -> Format | None:
    """Return the format of a DataApplicationCapability; None if it is about something else."""
    name, inner = value["application"]
    if name == "h224" and inner[0] == "hdlcFrameTunnelling":
        return _format("hdlc")
    if name == "genericDataCapability" and inner["capabilityIdentifier"] == ("standard", ANNEX_Q):
        return _format("plain")
    return None


def _format(framing: str) -> Format:
    return Format(Codec.H224, PAYLOAD_TYPE, 8000, parameters=(("framing", framing),))
