"""tshark reads what we write in H.323: every kind of message, with values of all sorts, without a malformed mark."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.reasons import Reason
from h323 import q931, tpkt
from h323.asn1 import load
from h323.describe.capabilities import read_capabilities, write_capabilities
from h323.messages import Kind, encode
from h323.per import compile_modules
from h323.per.constructed import Choice
from h323.per.scalars import Unused
from h323.sessions import Sessions
from h323.signalling.events import SetupFacts

sys.path += [str(Path(__file__).parents[1] / name) for name in ("h323", "sip")]
from call_pair import CallPair
from h323_values import Values
from sip_fake_house import our_offer
from test_h323_call import WAYS

pytestmark = pytest.mark.interop
SPEC = compile_modules(load())
EACH = 6
"""Random values of each kind of message."""

INNER = frozenset(
    {
        "fastStart",
        "h245Control",
        "parallelH245Control",
        "h4501SupplementaryService",
        "tunnelledSignallingMessage",
        "cryptoSignedToken",
        "cryptoEPCert",
        "cryptoGKCert",
        "cryptoFastStart",
        "certProtectedKey",
        "h235Key",
        "encryptionSync",
        "encryptionUpdate",
        "encryptionUpdateCommand",
        "returnedFunction",
    }
)
"""Octets that are messages themselves, which tshark reads too: random ones are none."""
MISREAD = frozenset({"profileInfo"})
"""Of a ClearToken: tshark 4.0.17 misreads the unbounded BMPString of its element where that begins in the last bit of
an octet, behind paramS without members. pycrate reads it as it was written."""


def alternatives(type_: Any) -> list[str]:
    assert isinstance(type_, Choice)
    return [m.name for m in [*type_.root, *(type_.additions or [])] if not isinstance(m.type, Unused)]


class Writer:
    """Packets of a capture, each in a flow of its own."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.names: list[str] = []

    def add(self, name: str, payload: bytes, udp: bool) -> None:
        source = 50_000  # a port that belongs to no other protocol; the address tells the flows apart
        if udp:
            segment = struct.pack(">HHHH", source, 1719, 8 + len(payload), 0) + payload
        else:
            segment = struct.pack(">HHIIBBHHH", source, 1720, 1, 1, 5 << 4, 0x18, 65_535, 0, 0) + payload
        total = 20 + len(segment)
        addresses = bytes((10, 0)) + struct.pack(">H", len(self.packets)) + bytes((10, 1, 0, 1))
        head = struct.pack(">BBHHHBBH", 0x45, 0, total, 0, 0, 64, 17 if udp else 6, 0) + addresses
        self.packets.append(head + segment)
        self.names.append(name)

    def save(self, path: Path) -> None:
        head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 101)  # packets begin with their IP header
        records = [struct.pack("<IIII", n, 0, len(p), len(p)) + p for n, p in enumerate(self.packets)]
        path.write_bytes(head + b"".join(records))


def signal(kind: q931.Type, value: Any) -> bytes:
    return tpkt.frame(q931.build(q931.Message(kind, 1, elements=(q931.user_user(encode(Kind.H225, value)),))))


def tunnelled(octets: bytes) -> bytes:
    pdu = {"h323-message-body": ("empty", None), "h245Tunnelling": True, "h245Control": [octets]}
    return signal(q931.Type.FACILITY, {"h323-uu-pdu": pdu})


def fill(capture: Writer, values: Values) -> None:
    """Put every kind of message into the capture."""
    for name in alternatives(SPEC.type("H323-MESSAGES", "H323-UU-PDU").root[0].type):  # type: ignore[attr-defined]
        body_type = next(
            m.type for m in _members("H323-MESSAGES", "H323-UU-PDU", "h323-message-body") if m.name == name
        )
        for _ in range(EACH):
            pdu = values.value(SPEC.type("H323-MESSAGES", "H323-UU-PDU"))
            pdu["h323-message-body"] = (name, values.value(body_type))
            capture.add(name, signal(q931.Type.FACILITY, {"h323-uu-pdu": pdu}), udp=False)
    for member in _members("H225-RAS", "RasMessage"):
        for _ in range(EACH):
            value = (member.name, values.value(member.type))
            capture.add(member.name, encode(Kind.RAS, value), udp=True)
    for direction in ("request", "response", "command", "indication"):
        for member in _members("MULTIMEDIA-SYSTEM-CONTROL", f"{direction.capitalize()}Message"):
            if isinstance(member.type, Unused):
                continue
            for _ in range(EACH):
                value = (direction, (member.name, values.value(member.type)))
                capture.add(member.name, tunnelled(encode(Kind.H245, value)), udp=False)
    for _ in range(EACH * 5):
        channel = encode(Kind.FAST_START, values.value(SPEC.type(*Kind.FAST_START.value)))
        setup = values.value(SPEC.type("H323-MESSAGES", "Setup-UUIE"))
        setup.update({"callIdentifier": {"guid": bytes(16)}, "fastStart": [channel]})
        pdu = {"h323-message-body": ("setup", setup), "h245Tunnelling": False}
        capture.add("fastStart", signal(q931.Type.SETUP, {"h323-uu-pdu": pdu}), udp=False)


def _members(module: str, name: str, inside: str | None = None) -> list[Any]:
    type_: Any = SPEC.type(module, name)
    if inside:
        type_ = next(m.type for m in type_.root if m.name == inside)
    return [*type_.root, *(type_.additions or [])]


def tshark(path: Path, *arguments: str) -> list[str]:
    command = ["tshark", "-n", "-r", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=240).stdout.splitlines()


@pytest.mark.timeout(300)
def test_tshark_reads_every_kind_of_message(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    capture = Writer()
    fill(capture, Values(random.Random(seed), INNER | MISREAD, tame=True))
    path = tmp_path / "h323.pcap"
    capture.save(path)
    read = tshark(path, "-Y", "h225", "-T", "fields", "-e", "frame.number")
    assert len(read) == len(capture.packets)
    bad = tshark(path, "-Y", '_ws.malformed || _ws.expert.group == "Malformed"', "-T", "fields", "-e", "frame.number")
    assert [(capture.names[int(n) - 1], capture.packets[int(n) - 1].hex()) for n in bad] == []


def test_a_malformed_message_would_be_seen(tmp_path: Path) -> None:
    capture = Writer()
    capture.add("cut", encode(Kind.RAS, ("unregistrationConfirm", {"requestSeqNum": 7}))[:-1], udp=True)
    path = tmp_path / "h323.pcap"
    capture.save(path)
    assert tshark(path, "-Y", '_ws.malformed || _ws.expert.group == "Malformed"')


def whole_call(capture: Writer, name: str, caller: dict[str, Any], callee: dict[str, Any], fast: bool) -> None:
    """Put all messages of one call of ours into the capture, from SETUP to RELEASE COMPLETE."""
    pair = CallPair(caller, callee)
    ways = {pair.caller: pair.caller.way, pair.callee: pair.callee.way}
    seen: list[tuple[str, Any]] = []
    original = CallPair.deliver

    def deliver(self: CallPair, end: Any) -> bool:
        self.drain(end)
        if ways[end]:
            seen.append(ways[end][0])
        return original(self, end)

    pair.deliver = deliver.__get__(pair)  # type: ignore[method-assign]
    local = our_offer()
    pair.caller.call.place(
        SetupFacts(
            caller_aliases=("Ann", "ann@example.org", "4711"),
            called_aliases=("100",),
            called_number="100",
            caller_number="4711",
            display="Ann",
            conference=bytes(16),
            call=bytes(range(16)),
            fast_start=tuple(Sessions(local, "192.0.2.1").proposals(768_000)) if fast else (),
            bandwidth=768_000,
        ),
        write_capabilities(local),
        pair.now,
    )
    pair.settle()
    pair.callee.call.ring(pair.now)
    pair.settle()
    pair.callee.call.connect(write_capabilities(local), pair.now, () if fast else None)
    pair.settle()
    for number, opening in enumerate(_openings(local)):
        pair.caller.call.control.open(opening, pair.now, number + 1)
    pair.caller.call.control.send(("indication", ("userInput", ("signal", {"signalType": "5", "duration": 100}))))
    pair.caller.call.control.ask_key_frame(2)
    pair.caller.call.control.limit_rate(2, 384_000)
    pair.caller.call.flush()
    pair.caller.call.press("5")
    pair.settle()
    pair.caller.call.release(Reason.NORMAL, pair.now)
    pair.settle()
    for kind, data in seen:
        if kind == "signal":
            capture.add(name, tpkt.frame(data), udp=False)
        elif kind == "control":
            capture.add(name, tunnelled(data), udp=False)


def _openings(local: Any) -> list[Any]:
    peer = Sessions(local, "192.0.2.2")
    peer.take_abilities(read_capabilities(write_capabilities(local)))
    return [one.request for one in peer.openings()]


@pytest.mark.timeout(120)
def test_tshark_reads_whole_calls_of_ours_however_they_start(tmp_path: Path) -> None:
    capture = Writer()
    for name, (caller, callee) in WAYS.items():
        for fast in (False, True):
            whole_call(capture, name, caller, callee, fast)
    path = tmp_path / "calls.pcap"
    capture.save(path)
    kinds = set(tshark(path, "-Y", "h225", "-T", "fields", "-e", "h225.h323_message_body"))
    assert len(kinds) >= 6, kinds
    assert len(tshark(path, "-Y", "h245", "-T", "fields", "-e", "frame.number")) > 50
    bad = tshark(path, "-Y", '_ws.malformed || _ws.expert.group == "Malformed"', "-T", "fields", "-e", "frame.number")
    assert [(capture.names[int(n) - 1], capture.packets[int(n) - 1].hex()) for n in bad] == []
