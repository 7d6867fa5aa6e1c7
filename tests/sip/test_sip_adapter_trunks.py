"""Trunks over real sockets: registration, health, calls both ways, failover, limits, and what strangers do not get."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import structlog
from sip_carrier import Carrier, open_carrier
from sip_fake_house import FakeDesk
from sip_phone import FACTS, OFFER, Peer, settled
from structlog.testing import capture_logs

from gateway.calls import CallFacts
from gateway.reasons import Reason, Refused
from sip.adapter import SipAdapter, SipConfig
from sip.events import Transport
from sip.rewriting import Rule
from sip.trunk import Trunk
from transcode.media import SrtpPolicy, Wanted

AUDIO = Wanted(video=False)
ANSWER = OFFER
Start = Callable[..., Awaitable[SipAdapter]]


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    made = await open_carrier()
    yield made
    made.transport.close()


@pytest.fixture
async def second() -> AsyncIterator[Carrier]:
    made = await open_carrier()
    yield made
    made.transport.close()


@pytest.fixture
async def start(reactor: Any, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr("sip.adapter.STOP_TIME", 0.1)
    running: list[SipAdapter] = []

    async def start(*carriers: Carrier, **facts: Any) -> SipAdapter:
        servers = facts.pop("servers", None) or tuple(f"127.0.0.1:{one.local}" for one in carriers)
        trunk = Trunk("carrier", servers, **{"options_interval": 0.0, "domain": "carrier.example", **facts})
        adapter = SipAdapter(SipConfig(address="127.0.0.1", udp=0, tcp=None, trunks=(trunk,)), desk, reactor)
        await adapter.start()
        running.append(adapter)
        for one in carriers:
            one.port = adapter.ports[Transport.UDP]
        return adapter

    yield start
    for one in running:
        await one.stop()


REGISTERS = {"register": True, "user": "4930", "password": "secret"}


async def registered(adapter: SipAdapter, carrier: Carrier) -> None:
    await carrier.until(lambda: adapter.trunk_states()[0].registration == "registered")


async def test_it_registers_with_a_password_and_un_registers_at_the_end(start: Start, carrier: Carrier) -> None:
    carrier.more = ["Expires: 600"]
    adapter = await start(carrier, **REGISTERS)
    await registered(adapter, carrier)
    first, proved = carrier.registers
    assert first.start == "REGISTER sip:carrier.example SIP/2.0"
    assert first.get("to") == "<sip:4930@carrier.example>"
    assert 'username="4930"' in proved.get("authorization")
    assert "secret" not in proved.get("authorization")
    (info,) = adapter.trunk_states()
    assert (info.state, info.registered, info.calls) == ("up", True, 0)
    assert 590 <= info.seconds <= 600
    await adapter.stop()
    await carrier.until(lambda: carrier.registers[-1].get("contact").endswith("expires=0"))
    assert carrier.registers[-1].get("call-id") == proved.get("call-id")


async def test_a_refused_registration_is_told_with_its_reason(start: Start, carrier: Carrier) -> None:
    carrier.accepts = 403
    adapter = await start(carrier, **REGISTERS)
    await carrier.until(lambda: adapter.trunk_states()[0].state == "down")
    (info,) = adapter.trunk_states()
    assert info.why == "not registered: 403 Because"
    assert (info.registration, info.registered) == ("waiting", False)
    assert adapter.counters()["trunk_registrations_failed"] == 1


async def test_registration_goes_to_the_next_server_where_one_says_503(
    start: Start, carrier: Carrier, second: Carrier
) -> None:
    carrier.accepts = 503
    adapter = await start(carrier, second, **REGISTERS)
    await registered(adapter, second)
    assert adapter.trunk_states()[0].server == f"127.0.0.1:{second.local}"


async def test_a_registration_that_is_too_brief_is_lengthened(start: Start, carrier: Carrier) -> None:
    carrier.shortest = 1_800
    adapter = await start(carrier, **REGISTERS, expires=60)
    await registered(adapter, carrier)
    assert carrier.registers[-1].get("contact").endswith("expires=1800")


async def test_signs_of_life_are_asked_for_and_each_change_is_one_line(
    start: Start, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip.trunk_health.DOWN_INTERVAL", 0.1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    with capture_logs() as logs:
        adapter = await start(carrier, options_interval=0.1)
        await carrier.until(lambda: adapter.trunk_states()[0].state == "up")
        carrier.alive = 503
        await carrier.until(lambda: adapter.trunk_states()[0].state == "down")
        assert adapter.trunk_states()[0].why == "503 Because"
        carrier.alive = 404  # even a refusal shows life
        await carrier.until(lambda: adapter.trunk_states()[0].state == "up")
    told = [(one["state"], one["why"]) for one in logs if one["event"] == "sip_trunk_state"]
    assert told == [("up", ""), ("down", "503 Because"), ("up", "")]


def invite(peer: Peer, to: str, *lines: str) -> None:
    peer.tag = ""
    peer.request("INVITE", OFFER, to=to, extra="".join(f"{line}\n" for line in lines))


async def arrived(desk: FakeDesk, number: int = 1) -> CallFacts:
    async with asyncio.timeout(5):
        while len(desk.facts) < number:
            await asyncio.sleep(0.005)
    return desk.facts[number - 1]


async def test_a_call_of_the_trunk_carries_what_the_trunk_proves(
    start: Start, carrier: Carrier, desk: FakeDesk
) -> None:
    await start(
        carrier,
        sources=(ip_network("127.0.0.1/32"),),
        srtp=SrtpPolicy.REQUIRE,
        rewrite_in=(Rule.of(r"\+4930123(\d+)", r"\1"),),
        rewrite_caller_in=(Rule.of(r"0(\d+)", r"+49\1"),),
    )
    invite(
        carrier,
        "+4930123100",
        'P-Asserted-Identity: "Ann Lee" <sip:030555@carrier.example>',
        "Diversion: <sip:030777@carrier.example>;reason=no-answer",
    )
    await carrier.response(200)
    facts = await arrived(desk)
    assert (facts.called, facts.caller, facts.name) == ("100", "sip:+4930555@carrier.example", "Ann Lee")
    assert (facts.trunk, facts.srtp, facts.diverted_from) == ("carrier", SrtpPolicy.REQUIRE, "+4930777")


async def test_who_wishes_privacy_is_told_to_nobody(start: Start, carrier: Carrier, desk: FakeDesk) -> None:
    await start(carrier, sources=(ip_network("127.0.0.1/32"),))
    invite(carrier, "100", "P-Asserted-Identity: <tel:+4930555>", "Privacy: id")
    await carrier.response(200)
    facts = await arrived(desk)
    assert facts.name == "Anonymous"
    assert "30555" not in repr(facts)


async def test_a_call_to_the_registered_contact_is_the_trunks_wherever_it_comes_from(
    start: Start, desk: FakeDesk
) -> None:
    carrier = await open_carrier("127.0.0.2")
    peer = await open_carrier()  # its signalling comes from another of the carrier's machines
    adapter = await start(carrier, servers=(f"127.0.0.2:{carrier.local}",), **REGISTERS)
    await carrier.until(lambda: adapter.trunk_states()[0].registered)
    peer.port = adapter.ports[Transport.UDP]
    invite(peer, carrier.contact_user, "P-Called-Party-ID: <sip:100@carrier.example>")
    await peer.response(200)
    facts = await arrived(desk)
    assert (facts.called, facts.trunk) == ("100", "carrier")
    for one in (carrier, peer):
        one.transport.close()


async def test_a_stranger_gets_nothing_of_a_trunk(start: Start, desk: FakeDesk) -> None:
    carrier, stranger = await open_carrier("127.0.0.2"), await open_carrier()
    adapter = await start(
        carrier,
        servers=(f"127.0.0.2:{carrier.local}",),
        rewrite_in=(Rule.of(r"5", "100"),),
        srtp=SrtpPolicy.REQUIRE,
        max_calls=1,
    )
    stranger.port = adapter.ports[Transport.UDP]
    invite(stranger, "5", "P-Asserted-Identity: <sip:boss@carrier.example>", "Diversion: <sip:777@carrier.example>")
    await stranger.response(404)
    facts = await arrived(desk)
    assert (facts.called, facts.caller) == ("5", "sip:ann@127.0.0.1")
    assert (facts.trunk, facts.srtp, facts.diverted_from) == ("", None, "")
    assert adapter.trunk_states()[0].calls == 0
    for one in (carrier, stranger):
        one.transport.close()


async def test_an_untrusted_trunk_is_not_believed(start: Start, carrier: Carrier, desk: FakeDesk) -> None:
    await start(carrier, sources=(ip_network("127.0.0.1/32"),), trusted=False)
    invite(carrier, "100", "P-Asserted-Identity: <sip:boss@carrier.example>", "Diversion: <sip:7@c.example>")
    await carrier.response(200)
    facts = await arrived(desk)
    assert (facts.caller, facts.trunk, facts.diverted_from) == ("sip:ann@127.0.0.1", "carrier", "")


async def test_a_call_goes_out_as_the_trunk_wants_it(start: Start, carrier: Carrier, desk: FakeDesk) -> None:
    adapter = await start(
        carrier,
        user="4930",
        password="secret",
        caller="+4930100",
        from_domain="us.example",
        rewrite_out=(Rule.of(r"0(\d+)", r"+49\1"),),
        srtp=SrtpPolicy.OFF,
    )
    dialling = asyncio.create_task(adapter.dial("tel:089-555", FACTS, AUDIO, "Room", trunk="carrier"))
    first = await carrier.next()
    assert first.start == "INVITE sip:+4989555@carrier.example;user=phone SIP/2.0"
    assert first.get("from").startswith('"Room" <sip:+4930100@us.example>;tag=')
    assert first.get("p-asserted-identity") == '"Room" <sip:+4930100@us.example>'
    challenge = 'Proxy-Authenticate: Digest realm="c", nonce="1", algorithm=MD5, qop="auth"'
    carrier.say(first, 407, challenge)
    assert (await carrier.next()).method == "ACK"
    again = await carrier.next()
    assert 'username="4930"' in again.get("proxy-authorization")
    carrier.reply(again, 200, ANSWER)
    assert (await carrier.next()).method == "ACK"
    await dialling
    (facts,) = desk.facts
    assert (facts.trunk, facts.srtp) == ("carrier", SrtpPolicy.OFF)
    assert adapter.trunk_states()[0].calls == 1
    await desk.calls[0].line.hang_up(Reason.NORMAL)
    await carrier.asked("BYE")
    await settled(adapter)
    assert adapter.trunk_states()[0].calls == 0


async def test_a_private_call_withholds_the_number_and_tells_the_trunk(start: Start, carrier: Carrier) -> None:
    adapter = await start(carrier, caller="+4930100")
    dialling = asyncio.create_task(adapter.dial("110", FACTS, AUDIO, trunk="carrier", caller="+4930200", private=True))
    call = await carrier.next()
    assert call.get("from").startswith('"Anonymous" <sip:anonymous@anonymous.invalid>')
    assert (call.get("privacy"), call.get("p-asserted-identity")) == ("id", "<sip:+4930200@127.0.0.1>")
    carrier.reply(call, 486)
    with pytest.raises(Refused) as refused:
        await dialling
    assert refused.value.reason is Reason.BUSY
    assert adapter.trunk_states()[0].calls == 0


@pytest.mark.parametrize(
    ("sender", "user", "privacy"),
    [("+4930777", "+4930777", ""), ("ann", "+4930100", ""), ("anonymous", "+4930100", "id")],
)
async def test_a_call_passed_on_tells_its_caller_where_that_is_a_number(
    start: Start, carrier: Carrier, sender: str, user: str, privacy: str
) -> None:
    adapter = await start(carrier, caller="+4930100")
    dialling = asyncio.create_task(adapter.dial("110", FACTS, AUDIO, sender=sender, trunk="carrier"))
    call = await carrier.next()
    assert call.get("p-asserted-identity") == f"<sip:{user}@127.0.0.1>"
    assert call.get("privacy") == privacy
    assert ("anonymous.invalid" in call.get("from")) is bool(privacy)
    carrier.reply(call, 486)
    await asyncio.gather(dialling, return_exceptions=True)


async def test_a_call_follows_the_service_route(start: Start, carrier: Carrier) -> None:
    carrier.more = ["Service-Route: <sip:edge.example;lr>"]
    adapter = await start(carrier, **REGISTERS)
    await registered(adapter, carrier)
    dialling = asyncio.create_task(adapter.dial("110", FACTS, AUDIO, trunk="carrier"))
    call = await carrier.next()
    assert call.get("route") == "<sip:edge.example;lr>"
    assert call.get("authorization")  # proved at once, by the challenge to REGISTER
    carrier.reply(call, 486)
    await asyncio.gather(dialling, return_exceptions=True)


async def test_a_call_goes_to_the_second_server_where_the_first_says_503(
    start: Start, carrier: Carrier, second: Carrier
) -> None:
    adapter = await start(carrier, second)
    for _ in range(2):
        dialling = asyncio.create_task(adapter.dial("110", FACTS, AUDIO, trunk="carrier"))
        if not carrier.calls:
            carrier.reply(await carrier.next(), 503)
            carrier.calls = 1  # the next call does not ask it again
        call = await second.next()
        assert call.method == "INVITE"
        second.reply(call, 486)
        assert (await second.next()).method == "ACK"
        await asyncio.gather(dialling, return_exceptions=True)
    assert (await carrier.next()).method == "ACK"
    assert carrier.heard.empty()


async def test_lines_and_pace_bound_calls_both_ways(start: Start, carrier: Carrier, desk: FakeDesk) -> None:
    adapter = await start(carrier, sources=(ip_network("127.0.0.1/32"),), max_calls=1)
    invite(carrier, "100")
    carrier.tag = (await carrier.response(200)).get("to").partition("tag=")[2]
    carrier.request("ACK")
    with pytest.raises(Refused) as refused:
        await adapter.dial("110", FACTS, AUDIO, trunk="carrier")
    assert (refused.value.reason, refused.value.detail) == (Reason.BUSY, "all 1 lines of the trunk are in use")
    other = Peer(carrier.port)
    other.calls = 50  # Call-IDs of its own
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: other, local_addr=("127.0.0.1", 0))
    invite(other, "100")
    busy = await other.response(486)
    assert any("Q.850;cause=17" in value for value in busy.all("reason"))
    other.request("ACK")
    carrier.request("BYE")
    await carrier.response(200)
    await settled(adapter)
    invite(other, "100")
    await other.response(200)
    other.transport.close()


async def test_calls_that_begin_too_fast_are_told_when_to_come_back(start: Start, carrier: Carrier) -> None:
    adapter = await start(carrier, sources=(ip_network("127.0.0.1/32"),), calls_per_second=0.01)
    invite(carrier, "100")
    carrier.tag = (await carrier.response(200)).get("to").partition("tag=")[2]
    carrier.request("ACK")
    invite(carrier, "100")
    refusal = await carrier.response(503)
    assert refusal.get("retry-after") == "30"
    with pytest.raises(Refused) as refused:
        await adapter.dial("110", FACTS, AUDIO, trunk="carrier")
    assert refused.value.reason is Reason.OVERLOAD


@pytest.mark.parametrize(
    ("target", "trunk", "reason"),
    [
        ("110", "none", Reason.UNREACHABLE),
        ("mailto:a@b", "carrier", Reason.UNSUPPORTED),
        ("sip:127.0.0.1", "carrier", Reason.BAD_REQUEST),
        ("1 1", "carrier", Reason.BAD_REQUEST),
        ("tel:", "carrier", Reason.BAD_REQUEST),
    ],
)
async def test_what_cannot_be_dialled_takes_no_line(
    start: Start, carrier: Carrier, target: str, trunk: str, reason: Reason
) -> None:
    adapter = await start(carrier)
    with pytest.raises(Refused) as refused:
        await adapter.dial(target, FACTS, AUDIO, trunk=trunk)
    assert refused.value.reason is reason
    assert adapter.trunk_states()[0].calls == 0


async def test_a_house_that_refuses_gives_the_line_back(start: Start, carrier: Carrier, desk: FakeDesk) -> None:
    adapter = await start(carrier)
    desk.refuse = Refused(Reason.ROOM_FULL)
    with pytest.raises(Refused):
        await adapter.dial("110", FACTS, AUDIO, trunk="carrier")
    assert adapter.trunk_states()[0].calls == 0


async def test_a_trunk_is_known_by_its_certificate_if_its_signer_is(
    reactor: Any, certificate: Path, stranger: Path, desk: FakeDesk
) -> None:
    trunk = Trunk("carrier", ("192.0.2.1",), certificates=("127.0.0.1",), options_interval=0)
    config = SipConfig(
        address="127.0.0.1", udp=0, tcp=None, tls=0, certificate=certificate, authorities=certificate, trunks=(trunk,)
    )
    adapter = SipAdapter(config, desk, reactor)
    await adapter.start()
    try:
        for shown, expected in ((certificate, "carrier"), (stranger, ""), (None, "")):
            desk.facts.clear()
            assert await _call_over_tls(adapter.ports[Transport.TLS], shown, desk) == expected
    finally:
        await adapter.stop()


async def _call_over_tls(port: int, shown: Path | None, desk: FakeDesk) -> str:
    """Call with a certificate, and return the trunk that the call was taken for."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if shown is not None:
        context.load_cert_chain(shown)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    head = (
        "INVITE sip:9@127.0.0.1 SIP/2.0\r\nMax-Forwards: 70\r\n"
        f"Via: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bK{hash(shown)}\r\n"
        f"From: <sip:a@b.c>;tag=1\r\nTo: <sip:9@127.0.0.1>\r\nCall-ID: {shown}\r\nCSeq: 1 INVITE\r\n"
        "Contact: <sip:a@127.0.0.1:9;transport=tls>\r\nContent-Length: 0\r\n\r\n"
    )
    writer.write(head.encode())
    facts = await arrived(desk)
    writer.close()
    return facts.trunk
