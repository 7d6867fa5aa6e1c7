"""Calls to and from SIPp by scenarios of our own: reliable 18x and PRACK, session timers, 422."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sip_fake_house import FakeDesk
from sip_phone import FACTS, settled

from gateway.bench.ports import free_port, until_bound
from gateway.reasons import Reason
from sip.adapter import SipAdapter, SipConfig
from transcode.media import Wanted

pytestmark = pytest.mark.interop

SDP = """v=0
      o=sipp 1 1 IN IP4 127.0.0.1
      s=-
      c=IN IP4 127.0.0.1
      t=0 0
      m=audio 6000 RTP/AVP 0
      a=rtpmap:0 PCMU/8000"""
COMMON = """[last_Via:]
      [last_From:]
      [last_To:]{tag}
      [last_Call-ID:]
      [last_CSeq:]
      Contact: <sip:sipp@[local_ip]:[local_port]>
      Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE"""
TAGGED = COMMON.replace("{tag}", ";tag=[call_number]")
PLAIN = COMMON.replace("{tag}", "")


def send(text: str) -> str:
    return f"<send><![CDATA[\n\n      {text}\n\n    ]]></send>"


def scenario(*steps: str) -> str:
    """Return a scenario; SIPp reads attributes in double quotes only."""
    head = "<?xml version='1.0' encoding='ISO-8859-1' ?>\n<scenario name='ours'>\n"
    return (head + "\n".join(steps) + "\n</scenario>\n").replace("'", '"')


RELIABLE = scenario(
    "<recv request='INVITE'/>",
    send(
        f"SIP/2.0 183 Early\n      {TAGGED}\n      Require: 100rel\n      RSeq: 41\n"
        f"      Content-Type: application/sdp\n      Content-Length: [len]\n\n      {SDP}"
    ),
    "<recv request='PRACK'/>",
    send(f"SIP/2.0 200 OK\n      {PLAIN}\n      Content-Length: 0"),
    "<pause milliseconds='300'/>",
)
ANSWERING_422 = scenario(
    "<recv request='INVITE'/>",
    send(f"SIP/2.0 422 Session Interval Too Small\n      {TAGGED}\n      Min-SE: 2400\n      Content-Length: 0"),
    "<recv request='ACK'/>",
    "<recv request='INVITE'><action><ereg regexp='2400' search_in='hdr' header='Session-Expires:' check_it='true' "
    "assign_to='1'/></action></recv>",
    "<Reference variables='1'/>",
    send(
        f"SIP/2.0 200 OK\n      {TAGGED}\n      Supported: timer\n      Require: timer\n"
        f"      Session-Expires: 2400;refresher=uac\n"
        f"      Content-Type: application/sdp\n      Content-Length: [len]\n\n      {SDP}"
    ),
    "<recv request='ACK'/>",
    "<recv request='BYE'/>",
    send(f"SIP/2.0 200 OK\n      {PLAIN}\n      Content-Length: 0"),
)


@pytest.fixture
async def adapter(reactor: Any, desk: FakeDesk) -> AsyncIterator[SipAdapter]:
    made = SipAdapter(SipConfig(address="127.0.0.1", udp=0, tcp=None), desk, reactor)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


async def sipp(text: str, folder: Path, *options: str) -> tuple[asyncio.subprocess.Process, int]:
    """Start SIPp as a called side for one call; return it and its port."""
    file = folder / "scenario.xml"
    file.write_text(text)
    port = free_port()
    command = ["sipp", "-sf", str(file), "-i", "127.0.0.1", "-p", str(port), "-m", "1", "-nostdin", "-timeout", "20"]
    command += [*options, "-trace_err"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    await until_bound(port)
    return process, port


async def test_sipp_has_its_reliable_183_acknowledged(adapter: SipAdapter, desk: FakeDesk, tmp_path: Path) -> None:
    process, port = await sipp(RELIABLE, tmp_path)
    dialling = asyncio.create_task(adapter.dial(f"sip:sipp@127.0.0.1:{port}", FACTS, Wanted(video=False)))
    await (await desk.call()).heard("accept")
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, said
    assert adapter.counters()["sent.PRACK"] == 1
    dialling.cancel()
    await asyncio.gather(dialling, return_exceptions=True)


async def test_sipp_raises_the_session_interval(adapter: SipAdapter, desk: FakeDesk, tmp_path: Path) -> None:
    process, port = await sipp(ANSWERING_422, tmp_path)
    call = await adapter.dial(f"sip:sipp@127.0.0.1:{port}", FACTS, Wanted(video=False))
    await desk.calls[0].line.hang_up(Reason.NORMAL)
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, said
    assert call is desk.calls[0]
    await settled(adapter)
