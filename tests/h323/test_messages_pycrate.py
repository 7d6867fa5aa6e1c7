"""pycrate, a second implementation: its modules are built like ours, and its decoder reads what we write.

Its encoder is not asked (it puts an octet too many before additions), nor its decoder about malformed messages (it
may not end).
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from h323_samples import encodings
from h323_values import Values
from pycrate_asn1dir import H225, H235, H245
from sip_fake_house import our_offer

from h323.asn1 import load
from h323.describe import opus
from h323.describe.capabilities import write_capabilities
from h323.h245.capability_exchange import PROTOCOL
from h323.messages import Kind
from h323.per import Specification, compile_modules
from h323.per.constructed import Choice, Sequence, SequenceOf
from h323.per.scalars import (
    BitString,
    Boolean,
    Enumerated,
    Integer,
    Null,
    ObjectIdentifier,
    OctetString,
    Type,
    Unused,
)
from h323.per.strings import BmpString, KnownMultiplier, OctetText

MODULES: dict[str, Any] = load()
SPEC: Specification = compile_modules(MODULES)
THEIRS = {
    **dict.fromkeys(
        ["H225-COMMON", "H225-ENDPOINTS", "H323-MESSAGES", "H225-RAS", "H225-REGISTRATION", "H225-ADMISSION"],
        H225.H323_MESSAGES,
    ),
    **dict.fromkeys(
        ["H245-CAPABILITIES", "H245-MEDIA", "H245-CHANNELS", "H245-MODES", "H245-CONFERENCE"],
        H245.MULTIMEDIA_SYSTEM_CONTROL,
    ),
    "MULTIMEDIA-SYSTEM-CONTROL": H245.MULTIMEDIA_SYSTEM_CONTROL,
    "H235-SECURITY-MESSAGES": H235.H235_SECURITY_MESSAGES,
}
PARAMETERIZED = {"SIGNED", "ENCRYPTED", "HASHED"}
"""Types that have no form of their own there."""

NEWER = {"dhkeyext", "secureChannelExt"}
"""H.235.0 of 2014, which pycrate's H.235 has, but not the one that its H.225.0 uses."""

ODD = {"h262VideoCapability": "videoBadMBsCap"}
"""pycrate's H.245 has lost an extension marker: the Recommendation adds this member with one."""

AVOIDED = frozenset({*NEWER, *ODD})

NAMES = {
    Boolean: {"BOOLEAN"},
    Null: {"NULL"},
    Integer: {"INTEGER"},
    Enumerated: {"ENUMERATED"},
    ObjectIdentifier: {"OBJECT IDENTIFIER"},
    OctetString: {"OCTET STRING", "OPEN_TYPE"},
    BitString: {"BIT STRING"},
    BmpString: {"BMPString"},
    OctetText: {"GeneralString", "UTF8String"},
    KnownMultiplier: {"IA5String", "NumericString", "PrintableString"},
    Sequence: {"SEQUENCE"},
    SequenceOf: {"SEQUENCE OF", "SET OF"},
    Choice: {"CHOICE"},
}


class Differences:
    """Walks a type of ours beside pycrate's and gathers what differs."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.seen: set[tuple[int, int]] = set()

    def compare(self, ours: Type, theirs: Any, path: str) -> None:
        if isinstance(ours, Unused) or (id(ours), id(theirs)) in self.seen:
            return
        self.seen.add((id(ours), id(theirs)))
        if theirs.TYPE not in NAMES[type(ours)]:
            self.found.append(f"{path}: {type(ours).__name__}, {theirs.TYPE}")
        elif theirs.TYPE == "OPEN_TYPE":
            return
        elif isinstance(ours, Sequence | Choice):
            self._members(ours, theirs, path)
        elif isinstance(ours, SequenceOf):
            self._same(path, self._size(ours), self._their_range(theirs._const_sz, 0))
            self.compare(ours.element, theirs._cont, f"{path}[]")
        elif isinstance(ours, Integer):
            self._same(path, (ours.low, ours.high, ours.extensible), self._their_range(theirs._const_val, None))
        elif isinstance(ours, Enumerated):
            self._same(path, ours.root, list(theirs._root))
            self._same(path, ours.additions, None if theirs._ext is None else list(theirs._ext))
        elif isinstance(ours, OctetString | BitString | KnownMultiplier | BmpString):
            self._same(path, self._size(ours), self._their_range(theirs._const_sz, 0))

    def _members(self, ours: Sequence | Choice, theirs: Any, path: str) -> None:
        odd = ODD.get(path.rpartition(".")[2])
        root = [m.name for m in ours.root]
        additions = None if ours.additions is None else [m.name for m in ours.additions if m.name not in NEWER]
        their_root = [name for name in theirs._root if name != odd]
        their_additions = [odd] if odd else None if theirs._ext is None else [n for n in theirs._ext if n not in NEWER]
        self._same(path, root, their_root)
        self._same(path, additions, their_additions)
        for member in [*ours.root, *(ours.additions or [])]:
            if member.name in theirs._cont:
                if isinstance(ours, Sequence):
                    self._same(f"{path}.{member.name}", member.optional, bool(theirs._cont[member.name]._opt))
                self.compare(member.type, theirs._cont[member.name], f"{path}.{member.name}")

    def _same(self, path: str, ours: Any, theirs: Any) -> None:
        if ours != theirs:
            self.found.append(f"{path}: {ours}, {theirs}")

    def _size(self, ours: Any) -> tuple[int, int | None, bool]:
        return (ours.size.low, ours.size.high, ours.size.extensible)

    def _their_range(self, constraint: Any, low: int | None) -> tuple[int | None, int | None, bool]:
        if constraint is None:
            return (low, None, False)
        return (constraint.lb, constraint.ub, constraint._ev is not None)


@pytest.mark.parametrize("module", list(THEIRS))
def test_modules_are_built_alike(module: str) -> None:
    differences = Differences()
    compared = 0
    for name in SPEC.names(module):
        theirs = getattr(THEIRS[module], name.replace("-", "_"), None)
        if theirs is None or name in PARAMETERIZED or name == "H262VideoCapability":
            continue
        compared += 1
        differences.compare(SPEC.type(module, name), theirs, name)
    assert differences.found == []
    assert compared >= 5
    assert compared >= len(SPEC.names(module)) - 4


def like_pycrate(type_: Type, value: Any) -> Any:
    """A value of ours as pycrate gives it."""
    if isinstance(type_, Sequence):
        types = {m.name: m.type for m in [*type_.root, *(type_.additions or [])]}
        return {name: like_pycrate(types[name], inner) for name, inner in value.items()}
    if isinstance(type_, SequenceOf):
        return [like_pycrate(type_.element, item) for item in value]
    if isinstance(type_, Choice):
        types = {m.name: m.type for m in [*type_.root, *(type_.additions or [])]}
        return (value[0], like_pycrate(types[value[0]], value[1]))
    if isinstance(type_, Null):
        return 0
    if isinstance(type_, ObjectIdentifier):
        return tuple(map(int, value.split(".")))
    if isinstance(type_, BitString):
        return (int.from_bytes(value[0], "big") >> (-value[1] % 8), value[1])
    return value


def without_open_types(value: Any) -> Any:
    """A value with what pycrate reads inside open types left out: ours are octets there."""
    if isinstance(value, dict):
        return {name: without_open_types(inner) for name, inner in value.items() if name != "toBeSigned"}
    if isinstance(value, list):
        return [without_open_types(item) for item in value]
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return (value[0], without_open_types(value[1]))
    return value


def read(kind: Kind, octets: bytes) -> Any:
    module, name = kind.value
    theirs = getattr(THEIRS[module], name.replace("-", "_"))
    theirs.from_aper(octets)
    return theirs._val


def test_pycrate_reads_the_samples_as_we_do() -> None:
    for where, kind, octets in encodings():
        ours = like_pycrate(SPEC.type(*kind.value), SPEC.decode(*kind.value, octets))
        assert without_open_types(read(kind, octets)) == without_open_types(ours), where


@pytest.mark.parametrize("kind", [Kind.H225, Kind.RAS, Kind.H245, Kind.FAST_START, Kind.CLEAR_TOKEN, Kind.H235_KEY])
def test_pycrate_reads_what_we_write(kind: Kind) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    values = Values(random.Random(seed), AVOIDED)
    type_ = SPEC.type(*kind.value)
    for number in range(60):
        value = values.value(type_)
        octets = SPEC.encode(*kind.value, value, trimmed=number % 2 == 0)
        expected = like_pycrate(type_, value)
        assert without_open_types(read(kind, octets)) == without_open_types(expected), octets.hex()


def test_pycrate_reads_our_own_capability_set_with_opus() -> None:
    capabilities = write_capabilities(our_offer())
    value = (
        "request",
        ("terminalCapabilitySet", {"sequenceNumber": 1, "protocolIdentifier": PROTOCOL, **capabilities}),
    )
    octets = SPEC.encode(*Kind.H245.value, value)
    theirs = without_open_types(read(Kind.H245, octets))
    assert theirs == without_open_types(like_pycrate(SPEC.type(*Kind.H245.value), value))
    table = theirs[1][1]["capabilityTable"]
    sound = [one["capability"][1] for one in table if one["capability"][0] == "receiveAudioCapability"]
    assert sound[0][0] == "genericAudioCapability"
    assert sound[0][1]["capabilityIdentifier"] == opus.IDENTIFIER
