"""tshark reads what our gatekeeper and our endpoint say to each other, in every exchange, without a malformed mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_h323_dissected import Writer, tshark  # it adds the directory of H.323's tests to the path

from h323.ras import messages
from h323.ras.admissions import STALE
from h323.ras.guard import Policy
from h323.ras.tokens import Scheme
from h323.signalling.events import Address

pytestmark = pytest.mark.interop
SAID = frozenset(
    {
        "gatekeeperRequest",
        "gatekeeperConfirm",
        "gatekeeperReject",
        "registrationRequest",
        "registrationConfirm",
        "registrationReject",
        "unregistrationRequest",
        "unregistrationConfirm",
        "unregistrationReject",
        "admissionRequest",
        "admissionConfirm",
        "admissionReject",
        "bandwidthRequest",
        "bandwidthConfirm",
        "bandwidthReject",
        "disengageRequest",
        "disengageConfirm",
        "disengageReject",
        "locationRequest",
        "locationConfirm",
        "locationReject",
        "infoRequest",
        "infoRequestResponse",
        "infoRequestAck",
        "requestInProgress",
        "unknownMessageResponse",
    }
)
"""What the exchanges below hold; a message that is never sent here would not be looked at."""


def exchanges(capture: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    from ras_zone import GATEKEEPER, NEIGHBOUR, Zone

    seen: Any = Zone.put

    def put(zone: Zone, data: bytes, source: Address, to: Address = GATEKEEPER) -> None:
        capture.add(messages.read(data).name, data, udp=True)
        seen(zone, data, source, to)

    monkeypatch.setattr(Zone, "put", put)
    for scheme in (Scheme.HMAC, Scheme.CAT, Scheme.MD5, None):
        accounts = {"bob": "secret"} if scheme else {}
        zone = Zone(
            accounts, Policy.REGISTERED, neighbours=(NEIGHBOUR,), routed=scheme is None, total_bandwidth=3_000_000
        )
        zone.gatekeepers[NEIGHBOUR] = zone.make(None, Policy.OFF, "Far", neighbours=(GATEKEEPER,))
        zone.station(20, aliases=("carol",), gatekeepers=(NEIGHBOUR,)).start()
        with monkeypatch.context() as patch:
            if scheme not in (Scheme.HMAC, None):
                patch.setattr("h323.ras.endpoint._scheme", lambda body, scheme=scheme: scheme)
            bob = zone.station(
                aliases=("bob", "4711", "bob@x.example"), user="bob", password="secret" if scheme else ""
            )
            bob.core.config = bob.core.config.__class__(
                bob.core.config.gatekeepers, bob.core.config.aliases, ("0",), "bob", "secret" if scheme else ""
            )
            bob.start()
            assert bob.core.registered
            zone.station(12, aliases=("bob",)).start()
            for called in ("100", "carol", "nobody"):
                bob.ask(called, call=called.encode().ljust(16), address=None, caller_address=bob.signalling)
            bob.ask(answers=True)
            for wanted in (1_000_000, 9_000_000):
                bob.calls.change_bandwidth(b"100".ljust(16), wanted, lambda granted: None, zone.now)
            bob.calls.locate(("carol",), lambda address: None, zone.now)
            bob.calls.locate(("100",), lambda address: None, zone.now)
            zone.run()
            zone.wait(400)
            bob.calls.reports.clear()
            zone.wait(STALE * 2)
            bob.calls.leave(b"100".ljust(16), zone.now)
            zone.run()
            if scheme is None:
                nobody = {"endpointIdentifier": "x", "conferenceID": bytes(16), "callReferenceValue": 1}
                nobody |= {"disengageReason": ("normalDrop", None), "callIdentifier": {"guid": bytes(16)}}
                zone.ask("disengageRequest", nobody, bob.address)
                zone.ask("unregistrationRequest", {"callSignalAddress": [], "endpointIdentifier": "x"}, bob.address)
                grq = {"protocolIdentifier": messages.PROTOCOL, "gatekeeperIdentifier": "Other"}
                grq |= {"rasAddress": ("ipAddress", {"ip": bytes(4), "port": 0}), "endpointType": bob.core._type()}
                zone.ask("gatekeeperRequest", grq, bob.address)
                nsm = {"nonStandardIdentifier": ("object", "1.2.3"), "data": b"x"}
                zone.ask("nonStandardMessage", {"nonStandardData": nsm}, bob.address)
            bob.core.stop(zone.now)
            zone.run()
            zone.gatekeeper.stop(zone.now)
            zone.run()


def test_tshark_reads_every_message_of_gatekeeper_and_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = Writer()
    exchanges(capture, monkeypatch)
    assert SAID - set(capture.names) == frozenset()
    path = tmp_path / "ras.pcap"
    capture.save(path)
    read = tshark(path, "-Y", "h225", "-T", "fields", "-e", "frame.number")
    assert len(read) == len(capture.packets)
    bad = tshark(path, "-Y", '_ws.malformed || _ws.expert.group == "Malformed"', "-T", "fields", "-e", "frame.number")
    assert [(capture.names[int(n) - 1], capture.packets[int(n) - 1].hex()) for n in bad] == []
