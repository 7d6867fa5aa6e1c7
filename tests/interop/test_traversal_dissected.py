"""tshark reads what our two sides say to let calls pass a translator, and finds the features in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_h323_dissected import Writer, tshark, tunnelled  # it adds the directories of H.323's tests to the path

from h323 import tpkt
from h323.h460.call import CallTraversal, Role
from h323.h460.incoming import write_arrival, write_indication
from h323.h460.media import MediaWays
from h323.h460.tunnel import write_tunnelled
from h323.messages import Kind, encode
from h323.ras import messages
from h323.session import Place
from h323.signalling.events import Address
from h323.signalling.wire import write_signal
from transcode.media import Multiplex

pytestmark = pytest.mark.interop
CALL = bytes(range(16))


def channels() -> list[bytes]:
    """Return channels and their answers with all that may be said of the way of media."""
    found = []
    place = Place(Address("192.0.2.1", 5000), Address("192.0.2.1", 5001))
    ack: dict[str, Any] = {"forwardLogicalChannelNumber": 1}
    request: dict[str, Any] = {
        **ack,
        "forwardLogicalChannelParameters": {
            "dataType": ("audioData", ("g711Ulaw64k", 20)),
            "multiplexParameters": ("h2250LogicalChannelParameters", {"sessionID": 1}),
        },
    }
    for role in (Role.SERVER, Role.CLIENT):
        for multiplex in (None, Multiplex(2776, 77)):
            traversal = CallTraversal()
            traversal.role, traversal.takes_multiplexed = role, True
            ways = MediaWays(traversal)
            open_ = ("request", ("openLogicalChannel", ways.request(request, place, multiplex)))
            answer = ("response", ("openLogicalChannelAck", ways.answer(ack, place, multiplex)))
            found += [encode(Kind.H245, one) for one in (open_, answer)]
    return found


def test_tshark_reads_all_that_lets_calls_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_h460_calls import GATEKEEPER, HiddenZone, pair, summoned

    capture = Writer()
    seen: Any = HiddenZone.put

    def put(zone: HiddenZone, data: bytes, source: Address, to: Address = GATEKEEPER) -> None:
        capture.add(messages.read(data).name, data, udp=True)
        seen(zone, data, source, to)

    monkeypatch.setattr(HiddenZone, "put", put)
    zone = HiddenZone()
    zone.behind.start()
    summoned(zone)
    assert {"registrationConfirm", "serviceControlIndication", "serviceControlResponse"} <= set(capture.names)
    ras = messages.write("serviceControlResponse", {"requestSeqNum": 1})
    for signal in (write_arrival(CALL), write_tunnelled(ras)):
        capture.add("facility", tpkt.frame(write_signal(signal)), udp=False)
    for octets in (encode(Kind.H245, write_indication(CALL, True)), *channels()):
        capture.add("h245", tunnelled(octets), udp=False)
    for offered in (Role.SERVER, Role.CLIENT):
        for tunnelling in (True, False):
            call = pair(offered, tunnelling)
            call.place()
            call.settle()
            call.connect()
            for end in (call.caller, call.callee):
                for one in end.sent:
                    capture.add(one.kind.name, tpkt.frame(write_signal(one)), udp=False)
    path = tmp_path / "traversal.pcap"
    capture.save(path)
    read = tshark(path, "-Y", "h225", "-T", "fields", "-e", "frame.number")
    assert len(read) == len(capture.packets)
    bad = tshark(path, "-Y", '_ws.malformed || _ws.expert.group == "Malformed"', "-T", "fields", "-e", "frame.number")
    assert [(capture.names[int(n) - 1], capture.packets[int(n) - 1].hex()) for n in bad] == []
    for field in ("h460.18.IncomingCallIndication_element", "h460.19.TraversalParameters_element"):
        assert tshark(path, "-Y", field), field
