"""Dialogs: route sets, targets, numbers, and the ways that messages take."""

from __future__ import annotations

import pytest
from sip_peer import ANSWER, OFFER, Peer

from gateway.reasons import Reason
from sip.dialog import Dialog
from sip.events import Flow, InviteReceived, Target, Transport
from sip.headers import Headers
from sip.message import Request
from sip.parser import parse
from sip.routing import mark_source, reply_way, target_of
from sip.uri import parse_uri
from sip.values import parse_address

UDP = Flow(Transport.UDP, "198.51.100.1", 5060, "198.51.100.7", 5060)


def invite(
    extra: str = "", vias: str = "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1", contact: str = "<sip:p@peer.example>"
):
    data = (
        f"INVITE sip:100@us SIP/2.0\r\nVia: {vias}\r\nFrom: <sip:p@x>;tag=p\r\nTo: <sip:100@us>\r\nCall-ID: d\r\n"
        f"CSeq: 7 INVITE\r\nContact: {contact}\r\n{extra}\r\n"
    )
    read = parse(data.encode())
    assert isinstance(read, Request)
    return read


def dialog(extra: str = "", flow: Flow = UDP, **options: str) -> Dialog:
    return Dialog.of_uas(invite(extra, **options), "us", "<sip:100@198.51.100.1>", flow)


def test_loose_routers_are_listed_and_the_target_stays_the_request_uri() -> None:
    made = dialog("Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n")
    request = made.request("BYE")
    assert request.target == "sip:p@peer.example"
    assert request.headers.all("Route") == ["<sip:p2.example;lr>", "<sip:p1.example;lr>"]
    assert made.way()[0] == Target(Transport.UDP, "p2.example", None)


def test_a_strict_router_gets_its_own_uri_and_the_target_comes_last() -> None:
    made = dialog("Record-Route: <sip:strict.example>, <sip:p1.example;lr>\r\n")
    request = made.request("BYE")
    assert request.target == "sip:strict.example"
    assert request.headers.all("Route") == ["<sip:p1.example;lr>", "<sip:p@peer.example>"]
    assert made.way()[0] == Target(Transport.UDP, "strict.example", None)


def test_the_caller_reverses_the_route_set_of_the_answer() -> None:
    peer = Peer()
    session, sent = peer.place()
    peer.respond(
        sent, 200, body=ANSWER, extra="Record-Route: <sip:a.example;lr>\r\nRecord-Route: <sip:b.example;lr>\r\n"
    )
    ack = peer.only()
    assert ack.headers.all("Route") == ["<sip:b.example;lr>", "<sip:a.example;lr>"]
    assert peer.sends[-1].target == Target(Transport.UDP, "b.example", None)
    assert peer.stack.hang_up(session, Reason.NORMAL, peer.now)


def test_our_answer_copies_record_route() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER, extra="Record-Route: <sip:a.example;lr>\r\nRecord-Route: <sip:b.example;lr>\r\n")
    peer.stack.accept(peer.event(InviteReceived).session, ANSWER, peer.now)
    answer = peer.drain()[-1]
    assert answer.headers.all("Record-Route") == ["<sip:a.example;lr>", "<sip:b.example;lr>"]


def test_numbers_rise_by_one_and_those_of_the_peer_must_rise() -> None:
    made = dialog()
    assert [made.request("INFO").cseq.number for _ in range(3)] == [1, 2, 3]
    assert made.request("ACK", 2).cseq.number == 2
    low, same = invite(), invite()
    low.__dict__["cseq"] = type(low.cseq)(6, "INFO")
    assert not made.in_order(low)
    assert not made.in_order(same)
    same.__dict__["cseq"] = type(low.cseq)(9, "INFO")
    assert made.in_order(same)


@pytest.mark.parametrize(
    ("text", "preferred", "target"),
    [
        ("sip:a@b", None, Target(Transport.UDP, "b", None)),
        ("sip:a@b:5070", Transport.TCP, Target(Transport.TCP, "b", 5070)),
        ("sip:a@b;transport=TCP", None, Target(Transport.TCP, "b", None)),
        ("sip:a@b;transport=tls", Transport.UDP, Target(Transport.TLS, "b", None)),
        ("sip:a@b;transport=sctp", Transport.TCP, Target(Transport.TCP, "b", None)),
        ("sips:a@b", Transport.UDP, Target(Transport.TLS, "b", None)),
        ("sips:a@b;transport=tcp", None, Target(Transport.TLS, "b", None)),
        ("sips:a@b;transport=ws", None, Target(Transport.WSS, "b", None)),
        ("sip:a@b;maddr=192.0.2.9", None, Target(Transport.UDP, "192.0.2.9", None)),
        ("sip:a@[2001:db8::1]", None, Target(Transport.UDP, "2001:db8::1", None)),
    ],
)
def test_a_uri_tells_where_to_send(text: str, preferred: Transport | None, target: Target) -> None:
    assert target_of(parse_uri(text), preferred) == target


def marked(via: str, flow: Flow) -> Request:
    request = invite(vias=via)
    mark_source(request, flow)
    return request


def test_the_source_is_written_into_the_topmost_via_only() -> None:
    flow = Flow(Transport.UDP, "198.51.100.1", 5060, "203.0.113.5", 40000)
    request = marked("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;rport, SIP/2.0/TCP 10.0.0.2;branch=z9hG4bK0", flow)
    assert request.via.parameters == {"branch": "z9hG4bK1", "rport": "40000", "received": "203.0.113.5"}
    assert request.headers.values("Via")[1] == "SIP/2.0/TCP 10.0.0.2;branch=z9hG4bK0"
    assert len(request.vias) == 2


def test_responses_follow_rport_then_the_sent_by_port_then_the_default() -> None:
    flow = Flow(Transport.UDP, "198.51.100.1", 5060, "198.51.100.7", 40000)
    for via, port in (("198.51.100.7:5080;rport", 40000), ("198.51.100.7:5080", 5080), ("198.51.100.7", 5060)):
        way, fallback = reply_way(marked(f"SIP/2.0/UDP {via};branch=z9hG4bK1", flow), flow)
        assert (way.remote_address, way.remote_port, fallback) == ("198.51.100.7", port, None)


def test_a_peer_behind_a_translator_is_answered_where_it_speaks_from() -> None:
    flow = Flow(Transport.UDP, "8.8.8.1", 5060, "8.8.4.4", 40000)
    assert reply_way(marked("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1", flow), flow) == (flow, None)
    made = dialog(flow=flow, contact="<sip:p@10.0.0.1:5060>")
    assert made.way() == (flow, None)


def test_a_response_over_tcp_goes_back_on_its_connection_or_to_the_sent_by_port() -> None:
    flow = Flow(Transport.TCP, "198.51.100.1", 5060, "198.51.100.7", 40000, 9)
    request = marked("SIP/2.0/TCP phone.example:5070;branch=z9hG4bK1", flow)
    assert reply_way(request, flow) == (flow, Target(Transport.TCP, "198.51.100.7", 5070))
    socket = Flow(Transport.WSS, "198.51.100.1", 443, "198.51.100.7", 40000, 9)
    assert reply_way(request, socket) == (socket, None)


def test_a_request_through_proxies_does_not_take_the_flow_for_the_peers() -> None:
    flow = Flow(Transport.TCP, "198.51.100.1", 5060, "198.51.100.7", 40000, 9)
    vias = "SIP/2.0/TCP 198.51.100.7;branch=z9hG4bK2, SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1"
    assert dialog(flow=flow, vias=vias).way() == (Target(Transport.TCP, "peer.example", None), None)
    routed = dialog("Record-Route: <sip:198.51.100.7;transport=tcp;lr>\r\n", flow=flow, vias=vias)
    assert routed.way()[0] == flow
    elsewhere = dialog("Record-Route: <sip:198.51.100.8;transport=tcp;lr>\r\n", flow=flow, vias=vias)
    assert elsewhere.way()[0] == Target(Transport.TCP, "198.51.100.8", None)


def test_method_and_headers_of_a_contact_stay_out_of_the_request_uri() -> None:
    made = dialog(contact="<sip:p@peer.example;method=INVITE;x=1?subject=hi>")
    assert made.request("BYE").target == "sip:p@peer.example;x=1"


def test_an_answer_without_or_with_a_senseless_contact_leaves_the_target() -> None:
    made = dialog()
    for contact in ("Contact: <nonsense>", "Subject: x"):
        response = parse(
            f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:a@b>\r\nTo: <sip:c@d>\r\n"
            f"Call-ID: d\r\nCSeq: 1 INVITE\r\n{contact}\r\n\r\n".encode()
        )
        made.refresh(response, None)
        assert str(made.remote_target) == "sip:p@peer.example"


def test_ipv6_addresses_stand_in_brackets() -> None:
    peer = Peer()
    flow = Flow(Transport.UDP, "2001:db8::1", 5060, "2001:db8::7", 5060)
    request = Request(
        "OPTIONS", "sip:[2001:db8::1]", Headers([("Via", "SIP/2.0/UDP [2001:db8::9]:5062;branch=z9hG4bK1")])
    )
    mark_source(request, flow)
    assert str(request.via) == "SIP/2.0/UDP [2001:db8::9]:5062;branch=z9hG4bK1;received=2001:db8::7"
    assert str(parse_address("<sip:a@[2001:db8::9]:5062>").uri) == "sip:a@[2001:db8::9]:5062"
    assert peer.settled()
