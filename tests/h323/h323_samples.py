"""The messages of captured calls in samples/: whole, and those that they carry inside."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from h323 import q931
from h323.messages import Kind, decode

SAMPLES = Path(__file__).parent / "samples"


@cache
def frames() -> tuple[tuple[str, str, bytes], ...]:
    """Where it stands, Q931, H245 or RAS, and the octets of each message as it was on the wire (without TPKT)."""
    found = []
    for path in sorted(SAMPLES.glob("*.txt")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if line and not line.startswith("#"):
                kind, octets = line.split()
                found.append((f"{path.stem}:{number}", kind, bytes.fromhex(octets)))
    return tuple(found)


@cache
def encodings() -> tuple[tuple[str, Kind, bytes], ...]:
    """Where it stands, kind and octets of each PER encoding: those inside other messages too."""
    found: list[tuple[str, Kind, bytes]] = []
    for where, kind, octets in frames():
        if kind != "Q931":
            found.append((where, Kind[kind], octets))
            continue
        encoded = q931.parse(octets).user_user
        assert encoded is not None
        found.append((where, Kind.H225, encoded))
        pdu = decode(Kind.H225, encoded)["h323-uu-pdu"]
        found += [(where, Kind.H245, inner) for inner in pdu.get("h245Control", ())]
        body = pdu["h323-message-body"][1] or {}
        found += [(where, Kind.FAST_START, inner) for inner in body.get("fastStart", ())]
        found += [(where, Kind.H245, inner) for inner in body.get("parallelH245Control", ())]
    return tuple(found)
