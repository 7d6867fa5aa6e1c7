"""Calls that we place to SIPp, which loses, doubles, forks, redirects and crosses messages by scenarios of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sip_fake_house import FakeCall, FakeDesk
from sip_phone import FACTS, settled
from test_sip_sipp import PLAIN, SDP, TAGGED, scenario, send, sipp

from gateway.reasons import Reason, Refused
from sip.adapter import SipAdapter, SipConfig
from sip.config import StackConfig
from transcode.media import Wanted

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]

OWN = ("-nr",)
"""SIPp repeats nothing by itself and takes nothing for a repetition."""
WITH_SDP = f"Content-Type: application/sdp\n      Content-Length: [len]\n\n      {SDP}"
INVITED = (
    "<recv request='INVITE' rrs='true'><action><ereg regexp='.*' search_in='hdr' header='From:' assign_to='9'/>"
    "<ereg regexp='.*' search_in='hdr' header='To:' assign_to='8'/>"
    "<ereg regexp='.*' search_in='hdr' header='Via:' assign_to='7'/></action></recv><Reference variables='7,8,9'/>"
)
ANSWER = send(f"SIP/2.0 200 OK\n      {TAGGED}\n      {WITH_SDP}")
AGAIN = send(
    "SIP/2.0 200 OK\n      Via: [$7]\n      From: [$9]\n      To: [$8];tag=[call_number]\n      [last_Call-ID:]\n"
    f"      CSeq: 1 INVITE\n      Contact: <sip:sipp@[local_ip]:[local_port]>\n      {WITH_SDP}"
)
"""The answer to the first INVITE once more, after other messages have come."""
REANSWER = send(f"SIP/2.0 200 OK\n      {PLAIN}\n      {WITH_SDP}")
OK = send(f"SIP/2.0 200 OK\n      {PLAIN}\n      Content-Length: 0")
ACKED = "<recv request='ACK'/>"
ENDED = ["<recv request='BYE'/>", OK]


def asks(method: str, number: int, body: str = WITH_SDP) -> str:
    """Send a request of the called side's own within the dialog."""
    return send(
        f"{method} [next_url] SIP/2.0\n"
        f"      Via: SIP/2.0/UDP [local_ip]:[local_port];branch=z9hG4bK-[pid]-{number}{method}\n"
        "      From: [$8];tag=[call_number]\n      To: [$9]\n      [last_Call-ID:]\n"
        f"      CSeq: {number} {method}\n      Max-Forwards: 70\n"
        f"      Contact: <sip:sipp@[local_ip]:[local_port]>\n      {body}"
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


class Called:
    """SIPp as the one that we call, and our call to it."""

    def __init__(self, adapter: SipAdapter, desk: FakeDesk, place: Path) -> None:
        self.adapter, self.desk, self.place = adapter, desk, place

    async def begin(self, *steps: str) -> asyncio.Task[Any]:
        """Start SIPp and dial it; return the dialling."""
        self.process, port = await sipp(scenario(*steps), self.place, *OWN)
        return asyncio.create_task(self.adapter.dial(f"sip:sipp@127.0.0.1:{port}", FACTS, Wanted(video=False)))

    async def up(self, *steps: str) -> FakeCall:
        """Start SIPp and dial it; return the call that is up."""
        await asyncio.wait_for(await self.begin(*steps), 20)
        return self.desk.calls[-1]

    async def finish(self) -> None:
        """Wait until SIPp has seen all that its scenario says, and nothing of the call is left here."""
        _, said = await asyncio.wait_for(self.process.communicate(), 30)
        errors = "".join(file.read_text(errors="replace") for file in self.place.glob("*errors*.log"))
        assert self.process.returncode == 0, said.decode()[-2000:] + errors[-3000:]
        await settled(self.adapter)
        sizes = self.adapter.stack.sizes()
        assert (sizes["dialogs"], sizes["questions"]) == (0, 0), sizes


@pytest.fixture
def called(adapter: SipAdapter, desk: FakeDesk, tmp_path: Path) -> Called:
    return Called(adapter, desk, tmp_path)


async def test_an_ack_that_was_lost_is_sent_again(called: Called) -> None:
    call = await called.up(INVITED, ANSWER, ACKED, AGAIN, ACKED, *ENDED)
    await asyncio.sleep(0.3)
    await call.line.hang_up(Reason.NORMAL)
    await called.finish()
    assert call.said.count("accept") == 1


async def test_a_bye_is_sent_again_until_it_is_answered(called: Called) -> None:
    call = await called.up(INVITED, ANSWER, ACKED, "<recv request='BYE'/>", *ENDED)
    await call.line.hang_up(Reason.NORMAL)
    await called.finish()


async def test_an_invite_is_sent_again_until_it_is_answered(called: Called) -> None:
    call = await called.up("<recv request='INVITE'/>", "<recv request='INVITE'/>", INVITED, ANSWER, ACKED, *ENDED)
    await call.line.hang_up(Reason.NORMAL)
    await called.finish()


async def test_of_two_who_answer_one_is_kept_and_the_other_hung_up(called: Called) -> None:
    call = await called.up(
        INVITED,
        ANSWER,
        ACKED,
        AGAIN.replace("tag=[call_number]", "tag=fork"),
        ACKED,
        "<recv request='BYE'><action><ereg regexp='tag=fork' search_in='hdr' header='To:' check_it='true' "
        "assign_to='1'/></action></recv><Reference variables='1'/>",
        OK,
        *ENDED,
    )
    await asyncio.sleep(0.3)
    assert call.reason is None
    await call.line.hang_up(Reason.NORMAL)
    await called.finish()


async def test_a_prack_that_was_lost_is_sent_again_and_an_early_update_is_answered(called: Called) -> None:
    call = await called.up(
        INVITED,
        send(f"SIP/2.0 183 Early\n      {TAGGED}\n      Require: 100rel\n      RSeq: 41\n      {WITH_SDP}"),
        "<recv request='PRACK'/>",
        "<recv request='PRACK'/>",
        OK,
        asks("UPDATE", 1),
        "<recv response='200'/>",
        AGAIN.replace(WITH_SDP, "Content-Length: 0"),
        ACKED,
        *ENDED,
    )
    await call.heard("connected")
    assert [what for what in call.said if what in ("offer", "accept", "answer")] == ["offer", "accept", "answer"]
    await call.line.hang_up(Reason.NORMAL)
    await called.finish()


async def test_glare_at_their_side_is_tried_again(called: Called) -> None:
    pending = send(f"SIP/2.0 491 Request Pending\n      {PLAIN}\n      Content-Length: 0")
    call = await called.up(
        INVITED,
        ANSWER,
        ACKED,
        "<recv request='INVITE'/>",
        pending,
        ACKED,
        asks("INVITE", 1),
        "<recv response='100' optional='true'/>",
        "<recv response='200'/>",
        asks("ACK", 1, "Content-Length: 0"),
        "<recv request='INVITE'/>",
        REANSWER,
        ACKED,
        *ENDED,
    )
    await call.line.renegotiate(Wanted(video=False))
    await call.heard("accept", 2, within=15)
    assert "answer" in call.said
    await call.line.hang_up(Reason.NORMAL)
    await called.finish()


async def test_glare_at_our_side_gets_491(called: Called) -> None:
    call = await called.up(
        INVITED,
        ANSWER,
        ACKED,
        "<recv request='INVITE'/>",
        asks("INVITE", 1),
        "<recv response='100' optional='true'/>",
        "<recv response='491'/>",
        asks("ACK", 1, "Content-Length: 0").replace("1ACK", "1INVITE"),
        asks("BYE", 2, "Content-Length: 0"),
        "<recv response='200'/>",
    )
    await call.line.renegotiate(Wanted(video=False))
    await called.finish()
    assert call.reason is Reason.NORMAL
    assert "answer" not in call.said


@pytest.fixture
async def briefly(
    reactor: Any, desk: FakeDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Called]:
    """Give a called side whose sessions last for a few seconds."""
    monkeypatch.setattr("sip.refresh.MIN_SE", 6)
    monkeypatch.setattr("sip.adapter.StackConfig", partial(StackConfig, session_expires=4, min_se=2))
    made = SipAdapter(SipConfig(address="127.0.0.1", udp=0, tcp=None), desk, reactor)
    await made.start()
    yield Called(made, desk, tmp_path)
    await made.stop()


def timed(refresher: str) -> str:
    """Return the answer to an INVITE that agrees to a session timer."""
    agreed = f"Supported: timer\n      Require: timer\n      Session-Expires: 4;refresher={refresher}\n"
    return ANSWER.replace("Content-Type", f"{agreed}      Content-Type")


async def test_a_session_is_refreshed_by_us(briefly: Called) -> None:
    agreed = "Require: timer\n      Session-Expires: 4;refresher=uac"
    refreshed = send(f"SIP/2.0 200 OK\n      {PLAIN}\n      {agreed}\n      Content-Length: 0")
    update = (
        "<recv request='UPDATE'><action><ereg regexp='4;refresher=uac' search_in='hdr' header='Session-Expires:' "
        "check_it='true' assign_to='1'/></action></recv><Reference variables='1'/>"
    )
    call = await briefly.up(INVITED, timed("uac"), ACKED, update, refreshed, update, refreshed, *ENDED)
    async with asyncio.timeout(40):
        while briefly.adapter.counters().get("sent.UPDATE", 0) < 2:
            await asyncio.sleep(0.05)
    assert call.reason is None
    await call.line.hang_up(Reason.NORMAL)
    await briefly.finish()


async def test_a_session_that_is_not_refreshed_expires(briefly: Called) -> None:
    call = await briefly.up(INVITED, timed("uas"), ACKED, *ENDED)
    await briefly.finish()
    assert call.reason is Reason.TIMEOUT


async def test_a_redirection_is_followed(called: Called, adapter: SipAdapter, desk: FakeDesk, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    there, port = await sipp(scenario(INVITED, ANSWER, ACKED, *ENDED), tmp_path / "there", *OWN)
    moved = send(f"SIP/2.0 302 Moved Temporarily\n      {TAGGED}\n      Content-Length: 0")
    moved = moved.replace("<sip:sipp@[local_ip]:[local_port]>", f"<sip:elsewhere@127.0.0.1:{port}>")
    call = await called.up(INVITED, moved, ACKED)
    await call.line.hang_up(Reason.NORMAL)
    await called.finish()
    _, said = await asyncio.wait_for(there.communicate(), 20)
    assert there.returncode == 0, said


@pytest.mark.parametrize(
    ("status", "header"),
    [
        ("401 Unauthorized", "WWW-Authenticate: Digest realm='x', nonce='y'"),
        ("407 Proxy Authentication Required", "Proxy-Authenticate: Digest realm='x', nonce='y', algorithm=MD5"),
    ],
)
async def test_a_challenge_that_nobody_can_answer_ends_the_call(called: Called, status: str, header: str) -> None:
    challenge = send(f"SIP/2.0 {status}\n      {TAGGED}\n      {header}\n      Content-Length: 0")
    dialling = await called.begin(INVITED, challenge, ACKED)
    with pytest.raises(Refused) as refused:
        await asyncio.wait_for(dialling, 20)
    await called.finish()
    assert called.desk.calls[0].reason is refused.value.reason
