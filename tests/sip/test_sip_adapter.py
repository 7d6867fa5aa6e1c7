"""SIP calls between real sockets and a house that notes everything."""

from __future__ import annotations

import asyncio

import pytest
from sip_fake_house import FakeCall, FakeDesk
from sip_phone import FACTS, OFFER, Peer, settled

from gateway.calls import CallProtocol, Direction, KeyWay
from gateway.jobs import MAX_JOBS
from gateway.reasons import Reason, Refused
from sip.adapter import SipAdapter

VIDEO = b"m=video 4002 RTP/AVP 34\r\n"


# calls that arrive


async def test_a_call_joins_a_room_and_hangs_up(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    answer = await peer.join()
    call = await desk.call()
    await call.heard("connected")
    assert b"m=audio 40000 RTP/AVP 0 8\r\n" in answer.body
    assert answer.get("server") == "Roombridge"
    peer.request("BYE", extra='Reason: Q.850;cause=16;text="done"\n')
    await peer.response(200)
    await call.heard("ended")
    assert (call.said, call.reason) == (["answer", "connected", "ended"], Reason.NORMAL)
    await settled(adapter)
    assert adapter.stack.sizes()["sessions"] == 0


async def test_a_call_s_facts_are_clean(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    peer.request("INVITE", OFFER, to="100*4711")
    await peer.response(200)
    facts = desk.facts[0]
    assert (facts.called, facts.pin, facts.name, facts.caller) == ("100", "4711", "Ann O", "sip:ann@127.0.0.1")
    assert (facts.protocol, facts.direction, facts.secure, facts.agent) == (
        CallProtocol.SIP,
        Direction.INCOMING,
        False,
        "Peer/1",
    )
    assert facts.source == f"127.0.0.1:{peer.local}"


async def test_a_late_offer_is_answered_in_the_ack(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    answer = await peer.join(b"", OFFER)
    assert b"m=video 40002 RTP/AVP 97 98 99 100 34 31\r\n" in answer.body
    call = await desk.call()
    await call.heard("connected")
    assert call.said == ["offer", "accept", "connected"]
    assert call.remote is not None
    assert [stream.refused for stream in call.remote.streams] == [False, True]
    assert call.remote.streams[0].id == "audio"


async def test_an_ack_without_the_answer_ends_the_call(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join(b"", b"")
    bye = await peer.asked("BYE")
    assert "cause=488" in bye.get("reason")
    assert (await desk.call()).reason is Reason.BAD_DESCRIPTION


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.NO_SUCH_ROOM, 404),
        (Reason.ROOM_FULL, 486),
        (Reason.WRONG_PIN, 403),
        (Reason.ENCRYPTION_NEEDED, 488),
        (Reason.OVERLOAD, 503),
        (Reason.AUTHENTICATION_NEEDED, 403),
    ],
)
async def test_the_house_s_refusal_reaches_the_peer(
    adapter: SipAdapter, desk: FakeDesk, peer: Peer, reason: Reason, status: int
) -> None:
    desk.refuse = Refused(reason, 'why "not"')
    peer.request("INVITE", OFFER)
    answer = await peer.response(status)
    assert answer.all("reason") == [
        f'SIP;cause={status};text="{reason.text}"',
        f'Q.850;cause={reason.meaning.q850};text="{reason.text}"',
    ]
    assert (answer.get("warning") == f"399 roombridge \"{reason.text}: why 'not'\"") == (status == 488)
    assert bool(answer.get("retry-after")) == (status == 503)
    assert adapter.counters()[f"refused_{reason.value}"] == 1
    await settled(adapter)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"v=0\r\nm=audio 4000 RTP/AVP 3\r\n", Reason.NO_COMMON_FORMAT),
        (b"nonsense", Reason.BAD_DESCRIPTION),
    ],
)
async def test_an_offer_that_cannot_be_answered_is_refused_and_the_call_ended(
    adapter: SipAdapter, desk: FakeDesk, peer: Peer, body: bytes, reason: Reason
) -> None:
    peer.request("INVITE", body)
    assert reason.text in (await peer.response(488)).get("warning")
    call = await desk.call()
    await call.heard("ended")
    assert (call.said, call.reason) == (["ended"], reason)


async def test_a_description_inside_a_multipart_body_is_found(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    body = (
        b"--b1\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n"
        + OFFER
        + b"\r\n--b1--\r\n"
    )
    peer.request("INVITE", body, 'multipart/mixed;boundary="b1"')
    assert b"m=audio 40000" in (await peer.response(200)).body
    peer.request("BYE")


async def test_a_cancelled_call_ends_once(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    wait = asyncio.Event()

    def slow(call: FakeCall) -> None:
        async def hold() -> None:
            if call.said == ["answer"]:
                await wait.wait()

        call.before = hold

    desk.prepare = slow
    peer.request("INVITE", OFFER)
    call = await desk.call()
    await call.heard("answer")
    peer.request("CANCEL")
    assert {(await peer.next()).status, (await peer.next()).status} == {200, 487}
    wait.set()
    await call.heard("ended")
    assert (call.said, call.reason) == (["answer", "ended"], Reason.CANCELLED)


async def test_hold_resume_and_video_are_negotiated_in_the_call(
    adapter: SipAdapter, desk: FakeDesk, peer: Peer
) -> None:
    await peer.join()
    call = await desk.call()
    for offer, line in (
        (OFFER + b"a=sendonly\r\n", b"a=recvonly\r\n"),
        (OFFER + b"a=inactive\r\n", b"a=inactive\r\n"),
        (OFFER, b"a=sendrecv\r\n"),
        (OFFER + VIDEO, b"m=video 40002 RTP/AVP 34\r\n"),
        (OFFER + VIDEO.replace(b"4002", b"0"), b"m=video 0 RTP/AVP 34\r\n"),
    ):
        peer.request("INVITE", offer)
        assert line in (await peer.response(200)).body
        peer.request("ACK")
    await asyncio.sleep(0.02)
    assert call.said.count("answer") == 6
    assert call.said.count("connected") == 1


async def test_a_re_invite_without_offer_gets_ours(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    peer.request("INVITE")
    answer = await peer.response(200)
    assert b"m=audio" in answer.body
    peer.request("ACK", OFFER)
    call = await desk.call()
    await call.heard("accept")


async def test_an_update_is_answered(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    peer.request("UPDATE", OFFER + b"a=sendonly\r\n")
    assert b"a=recvonly" in (await peer.response(200)).body
    peer.request("UPDATE")
    assert (await peer.response(200)).body == b""


async def test_a_change_that_the_house_refuses_leaves_the_call(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    call = await desk.call()
    await call.heard("connected")
    for method in ("INVITE", "UPDATE"):
        call.error = Refused(Reason.NO_COMMON_FORMAT, "no more")
        peer.request(method, OFFER + VIDEO)
        assert "no more" in (await peer.response(488)).get("warning")
        if method == "INVITE":
            peer.request("ACK")
    peer.request("INVITE", OFFER)
    await peer.response(200)
    peer.request("ACK")
    assert call.reason is None


async def test_a_picture_request_reaches_the_house(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    body = (
        b"<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>"
    )
    peer.request("INFO", body, "application/media_control+xml")
    await peer.response(200)
    call = await desk.call()
    await call.heard("key_frame")


async def test_keys_reach_the_house(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    for body, kind in (
        (b"Signal=5\r\nDuration=250\r\n", "application/dtmf-relay"),
        (b"Signal= 11\r\n", "application/dtmf-relay"),
        (b"*", "application/dtmf"),
    ):
        peer.request("INFO", body, kind)
        await peer.response(200)
    call = await desk.call()
    await call.heard("dtmf", 3)
    assert call.keys == [("5", 250), ("#", 160), ("*", 160)]
    assert set(call.ways) == {KeyWay.INFO}


async def test_infos_that_nobody_knows_are_refused(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    peer.request("INFO", b"x", "text/plain")
    assert "application/dtmf-relay" in (await peer.response(415)).get("accept")
    peer.request("INFO", b"Signal=hello", "application/dtmf-relay")
    await peer.response(400)
    peer.request("INFO")
    await peer.response(200)
    peer.request("INFO", b"x", "text/plain", extra="Info-Package: foo\n")
    await peer.response(469)


async def test_options_tell_what_we_can(adapter: SipAdapter, peer: Peer) -> None:
    peer.request("OPTIONS")
    answer = await peer.response(200)
    assert "INVITE" in answer.get("allow")
    assert "application/sdp" in answer.get("accept")


# the house's side


async def test_the_house_hangs_up_with_a_reason(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    call = await desk.call()
    await call.heard("connected")
    await call.line.hang_up(Reason.HUNG_UP_BY_HOST)
    await call.line.hang_up(Reason.ROOM_CLOSED)
    bye = await peer.asked("BYE")
    assert bye.get("reason") == f'Q.850;cause=16;text="{Reason.HUNG_UP_BY_HOST.text}"'
    await call.heard("ended")
    assert call.reason is Reason.HUNG_UP_BY_HOST
    await settled(adapter)


async def test_the_house_hangs_up_before_it_answers(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    def arm(call: FakeCall) -> None:
        async def gone() -> None:
            await call.line.hang_up(Reason.ROOM_CLOSED)

        call.before = gone

    desk.prepare = arm
    peer.request("INVITE", OFFER)
    await peer.response(410)
    call = await desk.call()
    await call.heard("ended")
    assert (call.said, call.reason) == (["answer", "ended"], Reason.ROOM_CLOSED)


async def test_a_key_frame_is_asked_for_at_most_once_a_second(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    call = await desk.call()
    await call.heard("connected")
    await call.line.request_key_frame("1")
    await call.line.request_key_frame("1")
    info = await peer.asked("INFO")
    assert (info.get("content-type"), b"picture_fast_update" in info.body) == ("application/media_control+xml", True)
    await asyncio.sleep(0.05)
    await call.line.request_key_frame("1")
    assert peer.heard.empty()
    adapter.calls.by_session[next(iter(adapter.calls.by_session))].infos._asked_at -= 2
    await call.line.request_key_frame("1")
    await peer.asked("INFO", 415)
    await asyncio.sleep(0.05)
    adapter.calls.by_session[next(iter(adapter.calls.by_session))].infos._asked_at -= 2
    await call.line.request_key_frame("1")
    await asyncio.sleep(0.05)
    assert peer.heard.empty()


async def test_a_fault_in_the_house_ends_that_call_alone(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    first = await desk.call()
    tag, call_id, cseq = peer.tag, peer.call_id, peer.cseq

    def arm(call: FakeCall) -> None:
        call.error = RuntimeError("bug")

    desk.prepare = arm
    peer.tag = ""
    peer.request("INVITE", OFFER)
    await peer.response(500)
    second = await desk.call(2)
    await second.heard("ended")
    assert second.reason is Reason.INTERNAL
    assert adapter.counters()["internal_errors"] == 1
    peer.tag, peer.call_id, peer.cseq = tag, call_id, cseq
    peer.request("INVITE", OFFER)
    await peer.response(200)
    assert first.reason is None


async def test_a_fault_at_the_desk_is_answered(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    desk.error = RuntimeError("bug")
    peer.request("INVITE", OFFER)
    await peer.response(500)
    await settled(adapter)


async def test_a_fault_while_ending_is_kept_in(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    call = await desk.call()
    await call.heard("connected")
    call.error = RuntimeError("bug")
    peer.request("BYE")
    await peer.response(200)
    await settled(adapter)
    assert adapter.counters()["internal_errors"] == 1


async def test_a_house_that_takes_too_long_ends_the_call(
    adapter: SipAdapter, desk: FakeDesk, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.jobs.JOB_TIME", 0.05)

    def slow(call: FakeCall) -> None:
        async def hold() -> None:
            await asyncio.sleep(5)

        call.before = hold

    desk.prepare = slow
    peer.request("INVITE", OFFER)
    await peer.response(500)
    await settled(adapter)
    assert desk.calls[0].reason is Reason.INTERNAL


async def test_messages_are_counted_by_method_and_class(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    await (await desk.call()).heard("connected")
    await desk.calls[0].line.hang_up(Reason.NORMAL)
    await peer.asked("BYE")
    await settled(adapter)
    counters = adapter.counters()
    names = ("received.INVITE", "received.ACK", "received.2xx", "sent.1xx", "sent.2xx", "sent.BYE")
    assert [counters.get(name) for name in names] == [1, 1, 1, 1, 1, 1]


async def test_jobs_that_pile_up_end_the_call(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    call = await desk.call()
    await call.heard("connected")
    wait = asyncio.Event()

    async def hold() -> None:
        await wait.wait()

    call.before = hold
    for _ in range(MAX_JOBS + 5):
        peer.request("INFO", b"Signal=5", "application/dtmf-relay")
        if (await peer.next()).method == "BYE":
            break
    wait.set()
    call.before = None
    await call.heard("ended")
    assert call.reason is Reason.OVERLOAD
    assert adapter.counters()["jobs_overrun"] == 1


async def test_events_of_a_call_are_told_in_order(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    def slow(call: FakeCall) -> None:
        async def hold() -> None:
            await asyncio.sleep(0.01)

        call.before = hold

    desk.prepare = slow
    await peer.join()
    for key in b"12345":
        peer.request("INFO", b"Signal=%c" % key, "application/dtmf-relay")
    peer.request("BYE")
    call = await desk.call()
    await call.heard("ended")
    assert call.said == ["answer", "connected", *["dtmf"] * 5, "ended"]
    assert "".join(key for key, _ in call.keys) == "12345"


async def test_random_datagrams_move_a_counter_and_nothing_else(
    adapter: SipAdapter, desk: FakeDesk, peer: Peer
) -> None:
    await peer.join()
    for size in range(1, 400):
        peer.transport.sendto(bytes((size * at * 7 + at) % 256 for at in range(size)), ("127.0.0.1", peer.port))
        await asyncio.sleep(0)
    peer.request("INVITE", OFFER)
    answer = await peer.next()
    while answer.status != 200:
        answer = await peer.next()
    assert adapter.counters().get("internal_errors") is None
    assert (await desk.call()).reason is None


async def test_stopping_says_bye_to_all(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    call = await desk.call()
    await call.heard("connected")
    stopping = asyncio.get_running_loop().create_task(adapter.stop())
    bye = await peer.asked("BYE")
    assert "cause=503" in bye.get("reason")
    await asyncio.wait_for(stopping, 2)
    assert call.reason is Reason.SHUTDOWN
    with pytest.raises(Refused):
        await adapter.dial("sip:a@127.0.0.1", FACTS)
