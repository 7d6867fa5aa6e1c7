"""SIPp as a carrier of two servers: it challenges our registration and calls, says 503, and calls in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sip_fake_house import FakeDesk
from sip_phone import FACTS, settled
from test_sip_sipp import PLAIN, SDP, TAGGED, scenario, send

from gateway.bench.ports import free_port, until_bound
from gateway.reasons import Reason
from sip.adapter import SipAdapter, SipConfig
from sip.events import Transport
from sip.rewriting import Rule
from sip.trunk import Trunk
from transcode.media import Wanted

pytestmark = pytest.mark.interop

REALM = 'realm="carrier.example", nonce="[call_number]cafe", algorithm=MD5, qop="auth"'.replace('"', "&quot;")
VERIFY = "<action><verifyauth assign_to='1' username='4930' password='secret'/></action>"


def challenge(status: int, name: str) -> str:
    """Return the sending of a challenge; entities are no good inside CDATA, so quotes stand as they are."""
    return send(f"SIP/2.0 {status} Prove It\n      {TAGGED}\n      {name}: Digest @REALM@\n      Content-Length: 0")


def carrier(*steps: str) -> str:
    """Return a scenario; `scenario` turns all quotes to double ones, which is right for REALM too."""
    return scenario(*steps).replace("@REALM@", REALM.replace("&quot;", '"'))


OK = f"SIP/2.0 200 OK\n      {TAGGED}\n      Expires: 300\n      Content-Length: 0"
REGISTRAR = carrier(
    "<recv request='REGISTER' optional='true' next='1'/>",
    "<recv request='INVITE'/>",
    send(f"SIP/2.0 503 Full\n      {TAGGED}\n      Content-Length: 0"),
    "<recv request='ACK' next='9'/>",
    "<label id='1'/>",
    challenge(401, "WWW-Authenticate"),
    f"<recv request='REGISTER'>{VERIFY}</recv>",
    "<nop test='1' next='2'/>",
    send(f"SIP/2.0 403 Wrong\n      {TAGGED}\n      Content-Length: 0"),
    "<nop next='9'/>",
    "<label id='2'/>",
    send(OK),
    "<label id='9'/>",
)
ANSWERING = carrier(
    "<recv request='INVITE'/>",
    challenge(407, "Proxy-Authenticate"),
    "<recv request='ACK'/>",
    f"<recv request='INVITE'>{VERIFY}</recv>",
    "<nop test='1' next='2'/>",
    send(f"SIP/2.0 403 Wrong\n      {TAGGED}\n      Content-Length: 0"),
    "<recv request='ACK' next='9'/>",
    "<label id='2'/>",
    send(
        f"SIP/2.0 200 OK\n      {TAGGED}\n"
        f"      Content-Type: application/sdp\n      Content-Length: [len]\n\n      {SDP}"
    ),
    "<recv request='ACK'/>",
    "<recv request='BYE'/>",
    send(f"SIP/2.0 200 OK\n      {PLAIN}\n      Content-Length: 0"),
    "<label id='9'/>",
)
CALLING = scenario(
    send(
        """INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:030555@carrier.example>;tag=[call_number]
      To: <sip:+4930123100@carrier.example>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Max-Forwards: 70
      Contact: <sip:sipp@[local_ip]:[local_port]>
      P-Asserted-Identity: <sip:+4930555@carrier.example>
      Content-Type: application/sdp
      Content-Length: [len]

      """
        + SDP
    ),
    "<recv response='100' optional='true'/>",
    "<recv response='180' optional='true'/>",
    "<recv response='200' rtd='true' rrs='true'/>",
    send(
        """ACK [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:030555@carrier.example>;tag=[call_number]
      To: <sip:+4930123100@carrier.example>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Max-Forwards: 70
      Content-Length: 0"""
    ),
    "<recv request='BYE' timeout='10000'/>",
    send(f"SIP/2.0 200 OK\n      {PLAIN}\n      Content-Length: 0"),
)


class Sipp:
    """SIPp with one scenario, for so many calls."""

    def __init__(self, folder: Path, name: str, text: str, calls: int) -> None:
        self.file = folder / f"{name}.xml"
        self.file.write_text(text)
        self.calls = calls
        self.port = free_port()

    async def begin(self, *target: str) -> None:
        command = ["sipp", *target, "-sf", str(self.file), "-i", "127.0.0.1", "-p", str(self.port), "-nostdin"]
        command += ["-m", str(self.calls), "-timeout", "40", "-timeout_error", "-trace_err"]
        command += ["-deadcall_wait", "0"]  # our un-registration has the Call-ID of the registration
        self.process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.file.parent,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        await until_bound(self.port)

    async def done(self) -> None:
        """Wait for the end, which must be good."""
        _, said = await asyncio.wait_for(self.process.communicate(), 45)
        errors = "".join(file.read_text() for file in self.file.parent.glob(f"{self.file.stem}*errors.log"))
        assert self.process.returncode == 0, f"{said.decode()}\n{errors}"


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[tuple[Sipp, Sipp]]:
    first, second = Sipp(tmp_path, "registrar", REGISTRAR, 3), Sipp(tmp_path, "answering", ANSWERING, 1)
    await first.begin()
    await second.begin()
    yield first, second
    for one in (first, second):
        if one.process.returncode is None:
            one.process.kill()
            await one.process.wait()


async def test_sipp_as_a_carrier_registers_us_and_carries_calls_both_ways(
    servers: tuple[Sipp, Sipp], reactor: Any, desk: FakeDesk, tmp_path: Path
) -> None:
    first, second = servers
    trunk = Trunk(
        "carrier",
        (f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"),
        domain="carrier.example",
        user="4930",
        password="secret",
        register=True,
        options_interval=0,
        rewrite_in=(Rule.of(r"\+4930123(\d+)", r"\1"),),
        rewrite_out=(Rule.of(r"0(\d+)", r"+49\1"),),
    )
    adapter = SipAdapter(SipConfig(address="127.0.0.1", udp=0, tcp=None, trunks=(trunk,)), desk, reactor)
    await adapter.start()
    try:
        async with asyncio.timeout(20):
            while not adapter.trunk_states()[0].registered:
                await asyncio.sleep(0.05)
        assert adapter.trunk_states()[0].seconds <= 300

        await adapter.dial("089555", FACTS, Wanted(video=False), trunk="carrier")  # first says 503, second takes it
        await desk.calls[0].line.hang_up(Reason.NORMAL)
        await second.done()
        await settled(adapter)

        caller = Sipp(tmp_path, "calling", CALLING, 1)
        contact = adapter.trunks.get("carrier").contact_user
        await caller.begin(f"127.0.0.1:{adapter.ports[Transport.UDP]}", "-s", contact)
        call = await desk.call(2, within=20)
        await call.heard("connected", within=20)
        assert (call.facts.called, call.facts.caller) == ("100", "sip:+4930555@carrier.example")
        assert call.facts.trunk == "carrier"
        await call.line.hang_up(Reason.NORMAL)
        await caller.done()
        await settled(adapter)
    finally:
        await adapter.stop()
    await first.done()  # one registration, one 503, one un-registration
