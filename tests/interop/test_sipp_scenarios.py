"""Calls by SIPp that go wrong on the way, race, or ask for much: both sides end in agreement and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from peers.scenario import (
    TRYING,
    answer,
    asked,
    closing,
    expect,
    label,
    maybe,
    opening,
    pause,
    play,
    request,
    sdp,
)

from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

ROOM_SETTINGS = {"media": {"process": False, "srtp": "off"}}
INVITE = request("INVITE", 1, sdp(), tag=False)

# name: (the steps, how the gateway's record of the call ends; None where no call was let in)
SCENARIOS: dict[str, tuple[list[str], str | None]] = {
    "a 200 is lost and comes again": (
        [INVITE, TRYING, expect(200), expect(200), request("ACK", 1), *closing(2)],
        "normal",
    ),
    "an ACK comes twice": ([*opening(), request("ACK", 1), pause(100), *closing(2)], "normal"),
    "the answer to BYE is lost": ([*opening(), *closing(2), *closing(2)], "normal"),
    "a BYE comes again in a new transaction": (
        [*opening(), *closing(2), request("BYE", 3), expect(481)],
        "normal",
    ),
    "an INVITE comes twice": (
        [INVITE, TRYING, expect(200), INVITE, expect(200), request("ACK", 1), *closing(2)],
        "normal",
    ),
    "an INVITE comes by two ways": (
        [
            INVITE,
            TRYING,
            expect(200),
            request("INVITE", 1, sdp(), branch="other", tag=False),
            expect(482),
            request("ACK", 1, branch="other", tag=False),
            INVITE,
            expect(200),
            request("ACK", 1),
            pause(100),
            *closing(2),
        ],
        "normal",
    ),
    "a CANCEL comes after the 200": (
        [INVITE, TRYING, expect(200), request("CANCEL", 1, branch="1INVITE", tag=False), expect(200, cseq="1 CANCEL"),
         request("ACK", 1), pause(100), *closing(2)],
        "normal",
    ),
    "a CANCEL of nothing": ([request("CANCEL", 1, tag=False), expect(481)], None),
    "a re-INVITE comes before the ACK": (
        [
            INVITE,
            TRYING,
            expect(200),
            request("INVITE", 2, sdp(8, version=2)),
            TRYING,
            expect(200, "RTP/AVP 8", cseq="2 INVITE"),
            request("ACK", 2),
            request("ACK", 1),
            pause(100),
            *closing(3),
        ],
        "normal",
    ),
    "a re-INVITE comes before the ACK that holds the answer": (
        [
            request("INVITE", 1, tag=False),
            TRYING,
            expect(200),
            request("INVITE", 2, sdp(8, version=2)),
            TRYING,
            expect(491),
            request("ACK", 2, branch="2INVITE"),
            request("ACK", 1, sdp() + "\nm=video 0 RTP/AVP 34"),
            pause(100),
            *closing(3),
        ],
        "normal",
    ),
    "a BYE comes in place of the ACK to a re-INVITE": (
        [*opening(), request("INVITE", 2, sdp(8, version=2)), TRYING, expect(200), *closing(3)],
        "normal",
    ),
    "the offer comes late and its answer in the ACK": (
        [
            request("INVITE", 1, tag=False),
            TRYING,
            expect(200, "m=audio [1-9][0-9]* RTP/AVP", "m=video"),
            request("ACK", 1, sdp() + "\nm=video 0 RTP/AVP 34"),
            pause(200),
            *closing(2),
        ],
        "normal",
    ),
    "hold by sendonly, inactive and no address, and back": (
        [
            *opening(),
            request("INVITE", 2, sdp(0, "sendonly", version=2)),
            TRYING,
            expect(200, "a=recvonly", cseq="2 INVITE"),
            request("ACK", 2),
            request("INVITE", 3, sdp(0, "inactive", version=3)),
            TRYING,
            expect(200, "a=inactive", cseq="3 INVITE"),
            request("ACK", 3),
            request("INVITE", 4, sdp(0, "sendrecv", "0.0.0.0", 4)),
            TRYING,
            expect(200, "m=audio [1-9][0-9]* RTP/AVP 0", cseq="4 INVITE"),
            request("ACK", 4),
            request("INVITE", 5, sdp(0, version=5)),
            TRYING,
            expect(200, "m=audio [1-9]", cseq="5 INVITE"),
            request("ACK", 5),
            *closing(6),
        ],
        "normal",
    ),
    "the codec changes": (
        [
            *opening(),
            request("INVITE", 2, sdp(8, version=2)),
            TRYING,
            expect(200, "m=audio [1-9][0-9]* RTP/AVP 8"),
            request("ACK", 2),
            request("UPDATE", 3, sdp(0, version=3)),
            expect(200, "m=audio [1-9][0-9]* RTP/AVP 0", cseq="3 UPDATE"),
            *closing(4),
        ],
        "normal",
    ),
    "a re-INVITE that cannot be taken leaves the call as it was": (
        [
            *opening(),
            request("INVITE", 2, sdp(77, version=2)),
            TRYING,
            expect(488),
            request("ACK", 2, branch="2INVITE"),
            request("UPDATE", 3, sdp(0, version=3)),
            expect(200, "m=audio [1-9]"),
            *closing(4),
        ],
        "normal",
    ),
    "a session timer is agreed on and refreshed by the caller": (
        [
            *opening(extra="Supported: timer\nSession-Expires: 90;refresher=uac"),
            request("UPDATE", 2, extra="Supported: timer\nSession-Expires: 90;refresher=uac"),
            expect(200, "Session-Expires: 90;refresher=uac", cseq="2 UPDATE"),
            *closing(3),
        ],
        "normal",
    ),
    "too short a session interval": (
        [
            request("INVITE", 1, sdp(), tag=False, extra="Supported: timer\nSession-Expires: 30"),
            TRYING,
            expect(422, "Min-SE: 90"),
            request("ACK", 1, branch="1INVITE"),
        ],
        None,
    ),
    "a request out of order": ([*opening(), request("INFO", 1), expect(500), *closing(2)], "normal"),
    "the last hop": ([*opening(forwards=0), *closing(2)], "normal"),
    "an extension that nobody knows": (
        [
            request("INVITE", 1, sdp(), tag=False, extra="Require: telepathy"),
            TRYING,
            expect(420, "Unsupported: telepathy"),
            request("ACK", 1, branch="1INVITE"),
        ],
        None,
    ),
    "a body that nobody knows": (
        [
            request("INVITE", 1, "hello", tag=False, kind="text/poem"),
            TRYING,
            expect(415, "Accept: application/sdp"),
            request("ACK", 1, branch="1INVITE"),
        ],
        None,
    ),
    "a body that is no description": (
        [
            request("INVITE", 1, "v=0\nm=audio x y z", tag=False),
            TRYING,
            maybe(400, 1),
            expect(488),
            label(1),
            request("ACK", 1, branch="1INVITE"),
        ],
        None,
    ),
    "a body shorter than is said": (
        [request("INVITE", 1, sdp(), tag=False, length="9999"), TRYING, expect(400)],
        None,
    ),
    "a request that came round to us again": (
        [
            INVITE,
            TRYING,
            expect(200),
            request("INVITE", 1, sdp(), branch="round", tag=False, via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKround"),
            expect(482),
            request("ACK", 1, branch="round", tag=False),
            INVITE,
            expect(200),
            request("ACK", 1),
            pause(100),
            *closing(2),
        ],
        "normal",
    ),
    "a route that makes no sense": (
        [
            request("INVITE", 1, sdp(), tag=False, extra="Record-Route: <sip:proxy.example;lr>, <<sip:x"),
            TRYING,
            expect(400),
            request("ACK", 1, branch="1INVITE", tag=False),
        ],
        None,
    ),
    "a header that is too long": (
        [request("INVITE", 1, sdp(), tag=False, extra="Subject: " + 9_000 * "x"), TRYING, expect(400)],
        None,
    ),
    "a large description in fragments of a datagram": (
        [*opening(sdp() + "\n" + "\n".join(f"a=x-{at}:{500 * 'y'}" for at in range(20))), pause(100), *closing(2)],
        "normal",
    ),
    "a method that nobody knows": ([request("DANCE", 1, tag=False), maybe(405, 1), expect(501), label(1)], None),
    "a call that nobody has": ([request("BYE", 1, uri="sip:100@[remote_ip]:[remote_port]"), expect(481)], None),
}  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for all scenarios: what one leaves behind the next would stumble over."""
    started = GatewayProcess(tmp_path_factory.mktemp("gateway"), ROOM_SETTINGS)
    await started.start()
    yield started
    ran, status = started.running, await started.stop()
    assert ran, started.output[-4000:]
    assert status == 0, started.output[-4000:]
    assert "Traceback" not in started.output, started.output[-4000:]


async def ends(gateway: GatewayProcess) -> dict[str, float]:
    """Return how many calls ended, by reason."""
    metrics = await gateway.metrics()
    found: dict[str, float] = {}
    for (name, labels), value in metrics.values.items():
        if name == "roombridge_calls_total":
            found[dict(labels)["reason"]] = found.get(dict(labels)["reason"], 0.0) + value
    return found


async def nothing_left(gateway: GatewayProcess, within: float = 40.0) -> None:
    """Wait until no call, participant or leg is there."""
    async with asyncio.timeout(within):
        while True:
            metrics = await gateway.metrics()
            left = {name: metrics.total(f"roombridge_{name}") for name in ("calls", "participants", "legs")}
            if not any(left.values()):
                return
            await asyncio.sleep(0.2)


def gained(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return what came on top."""
    return {reason: count - before.get(reason, 0.0) for reason, count in after.items() if count != before.get(reason)}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_both_sides_end_in_agreement(gateway: GatewayProcess, tmp_path: Path, name: str) -> None:
    steps, reason = SCENARIOS[name]
    before = await ends(gateway)
    outcome = await play(steps, tmp_path, gateway.udp)
    assert outcome.status == 0, f"{outcome.text}\n{gateway.output[-2000:]}"
    await nothing_left(gateway)
    if reason is not None:
        assert gained(before, await ends(gateway)) == {reason: 1.0}
    else:
        assert "normal" not in gained(before, await ends(gateway))


async def test_calls_get_through_where_every_fifth_message_is_lost(gateway: GatewayProcess, tmp_path: Path) -> None:
    retrans = '<send retrans="500">'
    steps = [
        request("INVITE", 1, sdp(), tag=False).replace("<send>", retrans),
        TRYING,
        expect(200),
        request("ACK", 1),
        pause(3000),
        request("BYE", 2).replace("<send>", retrans),
        expect(200, cseq="2 BYE"),
    ]
    before = await ends(gateway)
    outcome = await play(steps, tmp_path, gateway.udp, calls=20, options=("-r", "10", "-lost", "20"), seconds=70)
    assert outcome.status == 0, outcome.text
    await nothing_left(gateway, 40)
    assert gained(before, await ends(gateway)) == {"normal": 20.0}


@pytest.mark.parametrize("attempt", range(3))
async def test_a_cancel_and_a_200_that_cross_end_the_call(
    gateway: GatewayProcess, tmp_path: Path, attempt: int
) -> None:
    first = '<recv response="200" rrs="true" next="1" test="1"><action><ereg regexp="CSeq: 1 INVITE" search_in="msg" '
    steps = [
        INVITE,
        expect(100),
        request("CANCEL", 1, branch="1INVITE", tag=False),
        first + 'assign_to="1"/></action></recv><Reference variables="1"/>',
        # The CANCEL was answered first: 487 follows if it won, 200 if it came too late.
        maybe(487, 3),
        expect(200, then="4"),
        label(1),
        expect(200),
        label(4),
        request("ACK", 1),
        request("BYE", 2),
        expect(200, then="5"),
        label(3),
        request("ACK", 1, branch="1INVITE"),
        label(5),
    ]
    outcome = await play(steps, tmp_path, gateway.udp)
    assert outcome.status == 0, outcome.text
    await nothing_left(gateway)


async def _acks(gateway: GatewayProcess) -> float:
    return (await gateway.metrics()).total("roombridge_sip_messages_total", kind="received.ACK")


async def _played_with_hang_up(
    gateway: GatewayProcess, steps: list[str], place: Path, acks: int = 1, port: int = 0, **how: str
) -> None:
    """Play a scenario in which the gateway hangs up, as soon as it has got so many ACKs."""
    before = await _acks(gateway)
    playing = asyncio.create_task(play(steps, place, port or gateway.udp, **how))
    async with asyncio.timeout(60):
        while await _acks(gateway) < before + acks or not await gateway.participants():
            assert not playing.done(), playing.result().text
            await asyncio.sleep(0.1)
    for one in await gateway.participants():
        await gateway.delete(f"/api/v1/rooms/100/participants/{one['id']}")
    outcome = await playing
    assert outcome.status == 0, outcome.text
    await nothing_left(gateway)


@pytest.mark.parametrize(
    ("router", "moved", "bye"),
    [
        ("", "", ["^BYE sip:caller@"]),
        ("", "moved", ["^BYE sip:moved@"]),
        (
            "<sip:proxy@[local_ip]:[local_port];lr>",
            "",
            ["^BYE sip:caller@", "Route: &lt;sip:proxy@"],
        ),
        (
            "<sip:strict@[local_ip]:[local_port]>",
            "",
            ["^BYE sip:strict@", "Route: &lt;sip:caller@"],
        ),
    ],
    ids=["plain", "target refreshed", "loose router", "strict router"],
)
async def test_a_hang_up_goes_where_the_dialog_says(
    gateway: GatewayProcess, tmp_path: Path, router: str, moved: str, bye: list[str]
) -> None:
    refresh = [request("INVITE", 2, sdp(version=2), contact=moved), TRYING, expect(200), request("ACK", 2)]
    routed = f"Record-Route: {router}" if router else ""
    steps = [*opening(extra=routed), *(refresh if moved else []), asked("BYE", *bye), answer("200 OK")]
    await _played_with_hang_up(gateway, steps, tmp_path, acks=2 if moved else 1)


async def test_two_byes_that_cross_are_both_answered(gateway: GatewayProcess, tmp_path: Path) -> None:
    steps = [*opening(), asked("BYE"), answer("200 OK"), request("BYE", 2), maybe(200, 1), expect(481), label(1)]
    await _played_with_hang_up(gateway, steps, tmp_path)


async def test_a_call_over_tcp_goes_as_over_udp(gateway: GatewayProcess, tmp_path: Path) -> None:
    outcome = await play([*opening(), pause(100), *closing(2)], tmp_path, gateway.tcp, transport="tcp", options=())
    assert outcome.status == 0, outcome.text
    await nothing_left(gateway)


@pytest.mark.parametrize("length", ["9", "99999", "1e3"])
async def test_a_connection_whose_messages_cannot_be_told_apart_is_closed_and_costs_nobody_else(
    gateway: GatewayProcess, tmp_path: Path, length: str
) -> None:
    before = await ends(gateway)
    steps = [request("INVITE", 1, sdp(), tag=False, length=length), TRYING, expect(200)]
    outcome = await play(steps, tmp_path, gateway.tcp, transport="tcp", options=())
    assert outcome.status != 0, outcome.text
    assert "normal" not in gained(before, await ends(gateway))
    (tmp_path / "after").mkdir()
    outcome = await play([*opening(), *closing(2)], tmp_path / "after", gateway.tcp, transport="tcp", options=())
    assert outcome.status == 0, outcome.text
    await nothing_left(gateway)


async def test_a_connection_that_is_lost_in_mid_call_costs_the_call_when_no_media_comes(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = GatewayProcess(
        tmp_path_factory.mktemp("own"), {"media": {"process": False, "srtp": "off", "no_media_timeout": 5}}
    )
    await own.start()
    try:
        outcome = await play([*opening(), pause(200)], tmp_path, own.tcp, transport="tcp", options=())
        assert outcome.status == 0, outcome.text
        assert len(await own.participants()) == 1, "a call outlives its connection"
        await nothing_left(own, 30)
        assert await ends(own) == {"no-media": 1.0}
    finally:
        assert await own.stop() == 0
    assert "Traceback" not in own.output


async def test_calls_over_ipv6(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    changes = {"listen": {"address": "::"}, "media": {"process": False, "srtp": "off", "address": "::1"}}
    own = GatewayProcess(tmp_path_factory.mktemp("own"), changes)
    await own.start()
    try:
        steps = [step.replace("IN IP4 [local_ip]", "IN IP6 ::1") for step in opening()]
        steps[2] = expect(200, "c=IN IP6 ::1", "m=audio [1-9]")
        outcome = await play([*steps, pause(100), *closing(2)], tmp_path, own.udp, host="::1")
        assert outcome.status == 0, f"{outcome.text}\n{own.output[-2000:]}"
        await nothing_left(own)
    finally:
        assert await own.stop() == 0
    assert "Traceback" not in own.output
