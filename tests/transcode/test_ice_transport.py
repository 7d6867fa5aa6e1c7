"""Two transports against each other on loopback: ICE, DTLS-SRTP, and what strangers send."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import uvloop
from aioice.ice import CandidatePair

from gateway.reasons import Reason, Refused
from transcode.ice import path
from transcode.ice import transport as module
from transcode.ice.transport import IceState, IceTransport
from transcode.media import Candidate, Dtls, Fingerprint, Ice, Setup
from transcode.rtp.packet import pack

MakeTransport = Callable[..., IceTransport]

RTCP = bytes.fromhex("80c90001 12345678")  # an empty receiver report of SSRC 0x12345678


@pytest.fixture
async def make() -> AsyncIterator[MakeTransport]:
    made: list[IceTransport] = []

    def build(controlling: bool, address: str = "127.0.0.1", **more: Any) -> IceTransport:
        made.append(IceTransport(controlling, [address], **more))
        return made[-1]

    yield build
    for each in made:
        each.close()
    for each in made:
        await each.closed()


async def connect(one: IceTransport, other: IceTransport) -> None:
    """Exchange parameters as an offer and an answer would, and wait for both."""
    ice_one, ice_other = await one.gather(), await other.gather()
    await other.start(ice_one, one.dtls(Setup.ACTPASS), Setup.ACTIVE)
    await one.start(ice_other, other.dtls(Setup.ACTIVE), Setup.PASSIVE)
    async with asyncio.timeout(10):
        await asyncio.gather(one.wait(), other.wait())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_packets_pass_both_ways(make: MakeTransport, address: str) -> None:
    one, other = make(True, address), make(False, address)
    got: list[tuple[str, bytes]] = []
    one.on_rtp = lambda data, _: got.append(("one rtp", data))
    one.on_rtcp = lambda data, _: got.append(("one rtcp", data))
    other.on_rtp = lambda data, _: got.append(("other rtp", data))
    other.on_rtcp = lambda data, _: got.append(("other rtcp", data))
    await connect(one, other)
    assert (one.state, other.state) == (IceState.CONNECTED, IceState.CONNECTED)
    assert one.encrypted == other.encrypted != ""
    packet = pack(111, 1, 960, 0x1234, b"opus")
    one.send_rtp(packet)
    one.send_rtcp(RTCP)
    other.send_rtp(packet)
    other.send_rtcp(RTCP)
    await until(lambda: len(got) == 4)
    assert sorted(got) == [("one rtcp", RTCP), ("one rtp", packet), ("other rtcp", RTCP), ("other rtp", packet)]


async def test_states_are_told_in_order(make: MakeTransport) -> None:
    one, other = make(True), make(False)
    told: list[tuple[IceState, Reason | None]] = []
    one.on_state = lambda state, reason: told.append((state, reason))
    await connect(one, other)
    assert told == [
        (each, None) for each in (IceState.GATHERED, IceState.CHECKING, IceState.KEYING, IceState.CONNECTED)
    ]


async def test_packets_before_the_keys_are_dropped_and_counted(make: MakeTransport) -> None:
    one = make(True)
    one.send_rtp(pack(0, 1, 160, 1, b"x"))
    await one.gather()
    one.send_rtcp(RTCP)
    assert one.counters()["not_ready"] == 2


async def test_a_wrong_fingerprint_fails_with_dtls_failed(make: MakeTransport) -> None:
    one, other = make(True), make(False)
    told: list[tuple[IceState, Reason | None]] = []
    one.on_state = lambda state, reason: told.append((state, reason))
    ice_one, ice_other = await one.gather(), await other.gather()
    wrong = Dtls(Setup.ACTIVE, (Fingerprint("sha-256", ":".join(["00"] * 32)),))
    await other.start(ice_one, one.dtls(Setup.ACTPASS), Setup.ACTIVE)
    await one.start(ice_other, wrong, Setup.PASSIVE)
    async with asyncio.timeout(5):
        assert await one.wait() is IceState.FAILED
    assert told[-1] == (IceState.FAILED, Reason.DTLS_FAILED)
    one.send_rtp(pack(0, 1, 160, 1, b"x"))
    assert one.counters()["not_ready"] == 1


async def test_a_fingerprint_of_an_unknown_digest_alone_fails(make: MakeTransport) -> None:
    one, other = make(True), make(False)
    ice_one, ice_other = await one.gather(), await other.gather()
    await other.start(ice_one, one.dtls(Setup.ACTPASS), Setup.ACTIVE)
    await one.start(ice_other, Dtls(Setup.ACTIVE, (Fingerprint("md5", "00"),)), Setup.PASSIVE)
    async with asyncio.timeout(5):
        assert await one.wait() is IceState.FAILED
    assert one.reason is Reason.DTLS_FAILED


async def test_no_peer_fails_with_ice_failed(make: MakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "ICE_TIME", 0.2)
    one = make(False)
    await one.gather()
    await one.start(Ice("user", "p" * 22), Dtls(Setup.ACTPASS, (Fingerprint("sha-256", "00"),)), Setup.ACTIVE)
    async with asyncio.timeout(5):
        assert await one.wait() is IceState.FAILED
    assert one.reason is Reason.ICE_FAILED


async def test_wrong_ice_passwords_never_connect(make: MakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "ICE_TIME", 0.4)
    one, other = make(True), make(False)
    ice_one, ice_other = await one.gather(), await other.gather()
    await other.start(replace(ice_one, password="x" * 22), one.dtls(Setup.ACTPASS), Setup.ACTIVE)
    await one.start(replace(ice_other, password="x" * 22), other.dtls(Setup.ACTIVE), Setup.PASSIVE)
    async with asyncio.timeout(5):
        assert await asyncio.gather(one.wait(), other.wait()) == [IceState.FAILED, IceState.FAILED]
    assert (one.reason, other.reason) == (Reason.ICE_FAILED, Reason.ICE_FAILED)


async def test_a_silent_handshake_fails_with_dtls_failed(make: MakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DTLS_TIME", 0.2)
    one, other = make(True), make(False)
    ice_one, ice_other = await one.gather(), await other.gather()
    # Both wait for the other's ClientHello.
    await other.start(ice_one, one.dtls(Setup.ACTPASS), Setup.PASSIVE)
    await one.start(ice_other, other.dtls(Setup.ACTIVE), Setup.PASSIVE)
    async with asyncio.timeout(5):
        assert await one.wait() is IceState.FAILED
    assert one.reason is Reason.DTLS_FAILED


async def test_candidates_that_come_later_are_enough(make: MakeTransport) -> None:
    one, other = make(True), make(False)
    ice_one, ice_other = await one.gather(), await other.gather()
    await other.start(replace(ice_one, candidates=()), one.dtls(Setup.ACTPASS), Setup.ACTIVE)
    await one.start(replace(ice_other, candidates=()), other.dtls(Setup.ACTIVE), Setup.PASSIVE)
    await asyncio.sleep(0.05)
    assert one.state is IceState.CHECKING
    one.add_candidate(ice_other.candidates[0])
    one.add_candidate(None)
    async with asyncio.timeout(5):
        assert await asyncio.gather(one.wait(), other.wait()) == [IceState.CONNECTED, IceState.CONNECTED]


async def test_a_peer_that_hides_its_addresses_reaches_us_by_its_own_checks(make: MakeTransport) -> None:
    one, other = make(True), make(False)
    ice_one, ice_other = await one.gather(), await other.gather()
    hidden = replace(ice_one.candidates[0], address="8f7a5b0c-1111-4222-8333-444455556666.local")
    await other.start(replace(ice_one, candidates=(hidden,), complete=True), one.dtls(Setup.ACTPASS), Setup.ACTIVE)
    other.add_candidate(None)
    await one.start(ice_other, other.dtls(Setup.ACTIVE), Setup.PASSIVE)
    async with asyncio.timeout(5):
        assert await other.wait() is IceState.CONNECTED
    assert other.counters()["hidden_candidates"] == 1


async def test_candidates_that_cannot_be_used_are_counted_and_bounded(make: MakeTransport) -> None:
    one = make(False)
    await one.gather()
    good = Candidate("1", 1, "udp", 1, "192.0.2.1", 5000, "host")
    for bad in (
        replace(good, component=2),
        replace(good, protocol="tcp", tcp_type="active"),
        replace(good, address="224.0.0.1"),
        replace(good, address="0.0.0.0"),
        replace(good, address="host.example"),
        replace(good, port=0),
        replace(good, port=70000),
    ):
        one.add_candidate(bad)
    assert one.counters()["unusable_candidates"] == 7
    for number in range(200):
        one.add_candidate(replace(good, port=5000 + number))
    assert one.counters()["surplus_candidates"] == 200 - 64


async def test_descriptions_that_cannot_be_right_are_refused(make: MakeTransport) -> None:
    one = make(False)
    ice, dtls = await one.gather(), one.dtls(Setup.ACTPASS)
    for remote_ice, remote_dtls, setup in (
        (ice, dtls, Setup.ACTPASS),
        (ice, one.dtls(Setup.ACTIVE), Setup.ACTIVE),
        (ice, Dtls(Setup.ACTPASS, ()), Setup.ACTIVE),
        (Ice("u", "p" * 22), dtls, Setup.ACTIVE),
        (Ice("user", "short"), dtls, Setup.ACTIVE),
    ):
        with pytest.raises(Refused) as refused:
            await one.start(remote_ice, remote_dtls, setup)
        assert refused.value.reason is Reason.BAD_DESCRIPTION
    assert one.state is IceState.GATHERED


async def test_no_address_to_bind_is_refused_with_no_ports() -> None:
    one = IceTransport(True, ["192.0.2.77"])
    with pytest.raises(Refused) as refused:
        await one.gather()
    assert refused.value.reason is Reason.NO_PORTS
    await one.closed()


async def test_ports_come_from_the_range_and_a_full_range_is_refused(make: MakeTransport) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ice = await make(True, ports=(port, port)).gather()
    assert ice.candidates[0].port == port
    with pytest.raises(Refused):
        await make(True, ports=(port, port)).gather()


async def test_a_public_address_is_told_as_a_mapped_candidate(make: MakeTransport) -> None:
    ice = await make(True, public_address="203.0.113.9").gather()
    host, mapped = ice.candidates
    assert (mapped.type, mapped.address, mapped.port) == ("srflx", "203.0.113.9", host.port)
    assert (mapped.related_address, mapped.related_port) == (host.address, host.port)
    assert mapped.priority < host.priority


async def test_new_credentials_are_a_restart(make: MakeTransport) -> None:
    one, other = make(True), make(False)
    await connect(one, other)
    ice = await other.gather()
    assert not one.is_restart(ice)
    assert one.is_restart(replace(ice, user="abcd"))


async def test_the_peers_close_is_told_as_a_normal_end(make: MakeTransport) -> None:
    one, other = make(True), make(False)
    told: list[tuple[IceState, Reason | None]] = []
    await connect(one, other)
    one.on_state = lambda state, reason: told.append((state, reason))
    other.close()
    await until(lambda: told != [])
    assert told == [(IceState.CLOSED, Reason.NORMAL)]


async def test_lost_consent_fails_with_ice_failed(make: MakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr("aioice.ice.CONSENT_FAILURES", 1)
    one, other = make(True), make(False)
    await connect(one, other)
    for protocol in other._path._current._protocols:
        protocol.transport.close()  # the peer is gone without a word
    async with asyncio.timeout(5):
        while one.state is IceState.CONNECTED:
            one._changed.clear()
            await one._changed.wait()
    assert (one.state, one.reason) == (IceState.FAILED, Reason.ICE_FAILED)
    assert (other.state, other.reason) == (IceState.FAILED, Reason.ICE_FAILED)


async def test_nothing_is_delivered_after_close(make: MakeTransport) -> None:
    one, other = make(True), make(False)
    await connect(one, other)
    got: list[bytes] = []
    one.on_rtp = lambda data, _: got.append(data)
    one.close()
    other.send_rtp(pack(0, 1, 160, 1, b"x"))
    await one.closed()
    await asyncio.sleep(0.02)
    assert got == []
    one.close()


@pytest.mark.parametrize("moment", ["new", "gathered", "checking"])
async def test_it_can_be_closed_at_any_moment(make: MakeTransport, moment: str) -> None:
    one = make(True)
    if moment != "new":
        await one.gather()
    if moment == "checking":
        await one.start(Ice("user", "p" * 22), Dtls(Setup.ACTIVE, (Fingerprint("sha-256", "00"),)), Setup.PASSIVE)
        await asyncio.sleep(0.03)
    one.close()
    async with asyncio.timeout(2):
        await one.closed()
    assert one.state is IceState.CLOSED


async def test_a_handler_that_raises_leaves_the_socket_open(
    make: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make(True), make(False)
    await connect(one, other)
    got: list[bytes] = []

    def handle(data: bytes, _: float) -> None:
        got.append(data)
        raise RuntimeError("a fault in a handler")

    one.on_rtp = handle
    other.send_rtp(pack(0, 1, 160, 1, b"x"))
    other.send_rtp(pack(0, 2, 320, 1, b"y"))
    await until(lambda: len(got) == 2)
    assert one.counters()["handler_errors"] == 2


async def test_a_pair_that_the_peer_nominates_later_is_followed() -> None:
    one, other = IceTransport(True, ["127.0.0.1", "127.0.0.2"]), IceTransport(False, ["127.0.0.1"])
    try:
        await connect(one, other)
        near, far = one._path._current, other._path._current
        await until(lambda: near.selected is not None and other.remote_address == near.selected.local_addr)
        first = near.selected
        assert first is not None
        second = CandidatePair(
            next(each for each in near._protocols if each is not first.protocol), first.remote_candidate
        )
        # What the library leaves behind when its first run ends: a check in progress that was cancelled.
        known = next(each for each in far._remote_candidates if (each.host, each.port) == second.local_addr)
        left = far._find_pair(far._protocols[0], known) or CandidatePair(far._protocols[0], known)
        left.state = CandidatePair.State.IN_PROGRESS
        left.task = asyncio.create_task(asyncio.sleep(10))
        left.task.cancel()
        if left not in far._check_list:
            far._check_list.append(left)
        await asyncio.sleep(0)
        assert near.remote_password is not None
        key = near.remote_password.encode()
        await second.protocol.request(near.build_request(second, nominate=True), second.remote_addr, integrity_key=key)
        await until(lambda: other.remote_address == second.local_addr)
        got: list[bytes] = []
        one.on_rtp = lambda data, _: got.append(data)
        other.send_rtp(pack(0, 1, 160, 1, b"by the new way"))
        await until(lambda: got != [])
    finally:
        one.close()
        other.close()
        await asyncio.gather(one.closed(), other.closed())


async def restart(one: IceTransport, other: IceTransport) -> None:
    """Let the first one restart ICE, as a browser's offer would."""
    fresh = await one._path.restart(other._local_ice or Ice("", ""))
    assert other.is_restart(fresh)
    answer = await other.restart(fresh)
    one._path._next.remote_username, one._path._next.remote_password = answer.user, answer.password
    for candidate in answer.candidates:
        one._path.add(candidate)


async def test_an_ice_restart_moves_the_packets_and_keeps_the_keys(make: MakeTransport) -> None:
    one, other = make(True), make(False)
    await connect(one, other)
    told: list[IceState] = []
    other.on_state = lambda state, _: told.append(state)
    before = (one.remote_address, other.remote_address)
    await restart(one, other)
    await until(lambda: one.remote_address != before[0] and other.remote_address != before[1])
    got: list[bytes] = []
    one.on_rtp = other.on_rtp = lambda data, _: got.append(data)
    one.send_rtp(pack(0, 1, 160, 1, b"x"))
    other.send_rtp(pack(0, 1, 160, 2, b"y"))
    await until(lambda: len(got) == 2)
    assert told == []
    await until(lambda: not one._path._retiring and not other._path._retiring)


async def test_packets_go_on_while_a_restart_finds_nothing(
    make: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make(True), make(False)
    await connect(one, other)
    monkeypatch.setattr(path, "ICE_TIME", 0.1)
    for number in range(3):
        await other.restart(Ice(f"new{number}", "p" * 22))
    got: list[bytes] = []
    one.on_rtp = lambda data, _: got.append(data)
    other.send_rtp(pack(0, 1, 160, 1, b"x"))
    await asyncio.sleep(0.3)
    other.send_rtp(pack(0, 2, 320, 1, b"y"))
    await until(lambda: len(got) == 2)
    assert other.state is IceState.CONNECTED
    assert not other._path._retiring
    assert len(other._path._tasks) == 1


async def test_a_restart_of_a_transport_that_ended_is_refused(make: MakeTransport) -> None:
    one = make(True)
    with pytest.raises(ValueError, match="new"):
        await one.restart(Ice("user", "p" * 22))
    one.close()
    with pytest.raises(Refused) as refused:
        await one.restart(Ice("user", "p" * 22))
    assert refused.value.reason is Reason.TRANSPORT_FAILED


async def test_a_lite_peer_is_controlled_by_us(make: MakeTransport) -> None:
    one = make(False)
    await one.gather()
    await one.start(Ice("user", "p" * 22, lite=True), one.dtls(Setup.ACTPASS), Setup.ACTIVE)
    assert one._path._current.ice_controlling


def test_it_runs_on_uvloop() -> None:
    async def talk() -> list[bytes]:
        one, other = IceTransport(True, ["127.0.0.1"]), IceTransport(False, ["127.0.0.1"])
        got: list[bytes] = []
        other.on_rtp = lambda data, _: got.append(data)
        await connect(one, other)
        one.send_rtp(pack(0, 1, 160, 1, b"over uvloop"))
        await until(lambda: got != [])
        one.close()
        other.close()
        await asyncio.gather(one.closed(), other.closed())
        return got

    assert uvloop.run(talk()) == [pack(0, 1, 160, 1, b"over uvloop")]
