"""Gateway calls through the whole control plane: phones on real sockets, the adapter, the desk; media are made up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sip_fake_house import our_answer, our_offer
from sip_registering_phone import ANSWER, Phone

from gateway.calls import CallProtocol
from gateway.config import Config
from gateway.dialling import HouseDialler, set_up
from gateway.reasons import Reason
from gateway.rooms.desk import FrontDesk, HouseRules
from gateway.rooms.model import RoomSettings
from sip.accounts import Account
from sip.adapter import SipAdapter, SipConfig
from sip.events import (
    Answered,
    Ended,
    InfoReceived,
    InviteReceived,
    Provisional,
    ReferAnswered,
    ReferProgress,
    ReinviteAnswered,
    Rejected,
    SessionId,
    Transport,
)
from sip.gate import Policy
from transcode.media import Abilities, LegId, MediaDescription, RoomId, ViewPlan, Wanted

ACCOUNTS = (Account("ann", "secret", display_name="Ann"), Account("bob", "secret"), Account("cleo", "secret"))


class PaperPlane:
    """A media plane that describes everything and carries nothing."""

    def __init__(self) -> None:
        self.pressed: list[tuple[LegId, str]] = []
        self.remote: dict[LegId, MediaDescription] = {}
        self.plans: dict[RoomId, ViewPlan] = {}
        self.wanted: dict[LegId, Wanted] = {}
        self.open_legs: set[LegId] = set()
        self.takes_keys = True

    async def open(self, leg: LegId, room: RoomId, abilities: Abilities) -> None:
        self.open_legs.add(leg)

    async def offer(self, leg: LegId, wanted: Wanted) -> MediaDescription:
        self.wanted[leg] = wanted
        return our_offer(wanted.audio, wanted.video, "127.0.0.1")

    async def answer(self, leg: LegId, remote: MediaDescription) -> MediaDescription:
        self.remote[leg] = remote
        return our_answer(remote, "127.0.0.1")

    async def accept(self, leg: LegId, remote: MediaDescription) -> None:
        self.remote[leg] = remote

    async def direct(self, room: RoomId, plan: ViewPlan) -> None:
        self.plans[room] = plan

    async def press(self, leg: LegId, digit: str, duration: int, by_tone: bool = False) -> bool:
        self.pressed.append((leg, digit))
        return self.takes_keys

    async def move(self, leg: LegId, room: RoomId) -> None:
        assert leg in self.open_legs

    async def close(self, leg: LegId, reason: Reason) -> None:
        self.open_legs.discard(leg)


class House:
    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.plane = PaperPlane()
        self.desk = FrontDesk(self.plane, HouseRules(Abilities()))  # type: ignore[arg-type]
        self.desk.open_room(RoomSettings(RoomId("100"), "Everyone"))
        self.phones: list[Phone] = []
        self.sip: SipAdapter

    async def start(self, authenticate: Policy = Policy.OFF, **config: Any) -> None:
        options = SipConfig(
            address="127.0.0.1", udp=0, tcp=0, accounts=ACCOUNTS, authenticate=authenticate, domain="house.example"
        )
        board = self.desk.switchboard
        self.sip = SipAdapter(options, self.desk, self.reactor, referrals=board)
        board.dialler = HouseDialler(self.sip)
        set_up(self.desk, Config(**config), [account.user for account in ACCOUNTS])
        await self.sip.start()

    async def phone(self, user: str, register: bool = True, kind: Transport = Transport.UDP) -> Phone:
        made = Phone(kind, self.sip.ports[kind], user, "secret", "127.0.0.1")
        await made.open()
        self.phones.append(made)
        if register:
            assert (await made.register()).status == 200
        return made

    async def empty(self) -> None:
        """Wait until nothing is left of any call."""
        async with asyncio.timeout(5):
            while self.desk.calls or self.desk.switchboard.bridges or self.plane.open_legs:
                await asyncio.sleep(0.01)
        assert not self.desk.switchboard.outbound.calls


Open = Callable[..., Awaitable[House]]


@pytest.fixture
async def house(reactor: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("sip.adapter.STOP_TIME", 0.1)
    made = House(reactor)
    yield made
    await made.sip.stop()
    for phone in made.phones:
        phone.close()


def call(phone: Phone, called: str, body: bytes = ANSWER) -> SessionId:
    session = phone.stack.invite(
        phone.flow,
        f"sip:{called}@127.0.0.1:{phone.port}",
        f'"{phone.user.title()}" <sip:{phone.user}@house.example>',
        phone.now(),
        body,
        login=phone.login,
    )
    phone.pump()
    return session


def do(phone: Phone, action: Callable[..., Any], *arguments: Any) -> Any:
    done = action(*arguments, phone.now())
    phone.pump()
    return done


async def test_a_registered_user_is_called_by_another_and_either_may_hang_up(house: House) -> None:
    await house.start()
    ann, bob = await house.phone("ann"), await house.phone("bob", kind=Transport.TCP)
    for who in ("caller", "called"):
        bob.answers = None
        mine = call(ann, "bob")
        invite = await bob.wait(InviteReceived, 1 if who == "caller" else 2)
        assert str(invite.request.from_.uri) == "sip:ann@house.example"
        assert invite.request.from_.shown == "Ann"
        assert invite.request.max_forwards == 69
        assert b"m=video" not in invite.request.body
        do(bob, bob.stack.ringing, invite.session)
        ringing = await ann.wait(Provisional)
        assert ringing.response.status == 180
        bob.stack.accept(invite.session, ANSWER, bob.now())
        bob.pump()
        await ann.wait(Answered, 1 if who == "caller" else 2)
        (bridge,) = house.desk.switchboard.bridges.values()
        async with asyncio.timeout(5):
            while len(bridge.room.participants) < 2:
                await asyncio.sleep(0.01)
        assert {one.facts.protocol for one in bridge.room.participants} == {CallProtocol.SIP}
        if who == "caller":
            do(ann, ann.stack.hang_up, mine, Reason.NORMAL)
            assert (await bob.wait(Ended, 1)).reason is Reason.NORMAL
        else:
            do(bob, bob.stack.hang_up, invite.session, Reason.NORMAL)
            assert (await ann.wait(Ended, 2)).reason is Reason.NORMAL
        ann.events = [event for event in ann.events if not isinstance(event, Provisional)]
        await house.empty()


@pytest.mark.parametrize("status", [486, 603, 480])
async def test_why_the_called_one_does_not_answer_reaches_the_caller(house: House, status: int) -> None:
    await house.start()
    ann, bob = await house.phone("ann"), await house.phone("bob")
    bob.answers = status
    call(ann, "bob")
    assert (await ann.wait(Rejected)).status == status
    await house.empty()


async def test_a_user_who_is_not_registered_cannot_be_reached(house: House) -> None:
    await house.start()
    ann = await house.phone("ann")
    call(ann, "bob")
    assert (await ann.wait(Rejected)).status == 480
    await house.empty()


async def test_a_caller_who_cancels_ends_the_ringing_at_the_other(house: House) -> None:
    await house.start()
    ann, bob = await house.phone("ann"), await house.phone("bob")
    bob.answers = None
    mine = call(ann, "bob")
    invite = await bob.wait(InviteReceived)
    do(bob, bob.stack.ringing, invite.session)
    await ann.wait(Provisional)
    do(ann, ann.stack.hang_up, mine, Reason.CANCELLED)
    assert (await bob.wait(Ended)).reason is Reason.CANCELLED
    await house.empty()


async def put_through(house: House, ann: Phone, bob: Phone) -> tuple[SessionId, SessionId]:
    mine = call(ann, "bob")
    await ann.wait(Answered)
    invite = await bob.wait(InviteReceived)
    async with asyncio.timeout(5):
        while sum(one.inside for one in house.desk.calls.values()) < 2:
            await asyncio.sleep(0.01)
    return mine, invite.session


async def test_keys_and_hold_work_in_a_call_that_is_put_through(house: House) -> None:
    await house.start()
    ann, bob = await house.phone("ann"), await house.phone("bob")
    mine, theirs = await put_through(house, ann, bob)
    caller, called = house.desk.calls.values()
    do(ann, ann.stack.info, mine, "application/dtmf-relay", b"Signal=7\r\nDuration=100\r\n")
    async with asyncio.timeout(5):
        while not house.plane.pressed:
            await asyncio.sleep(0.01)
    assert house.plane.pressed == [(called.leg, "7")]
    house.plane.takes_keys = False
    do(bob, bob.stack.info, theirs, "application/dtmf", b"3")
    async with asyncio.timeout(5):
        while (caller.leg, "3") not in house.plane.pressed:
            await asyncio.sleep(0.01)
    do(ann, ann.stack.info, mine, "application/dtmf-relay", b"Signal=8\r\nDuration=100\r\n")
    info = await bob.wait(InfoReceived)
    assert info.request.body == b"Signal=8\r\nDuration=100\r\n"
    held = ANSWER.replace(b"o=- 1 1", b"o=- 1 2") + b"a=sendonly\r\n"
    do(ann, ann.stack.reinvite, mine, held)
    answered = await ann.wait(ReinviteAnswered)
    assert b"a=recvonly" in answered.response.body
    assert house.plane.remote[caller.leg].streams[0].receive == ()
    do(ann, ann.stack.hang_up, mine, Reason.NORMAL)
    await bob.wait(Ended)
    await house.empty()


async def test_who_transfers_leaves_and_the_other_two_stay(house: House) -> None:
    await house.start()
    ann, bob, cleo = [await house.phone(user) for user in ("ann", "bob", "cleo")]
    mine, bobs = await put_through(house, ann, bob)
    do(bob, lambda now: bob.stack.refer(bobs, "sip:cleo@house.example", now))
    assert (await bob.wait(ReferAnswered)).status == 202
    invite = await cleo.wait(InviteReceived)
    assert invite.request.headers.get("Referred-By")
    async with asyncio.timeout(5):
        while not (bob.events and isinstance(bob.events[-1], ReferProgress) and bob.events[-1].status == 200):
            await asyncio.sleep(0.01)
    do(bob, bob.stack.hang_up, bobs, Reason.NORMAL)
    await bob.wait(Ended)
    await asyncio.sleep(0.1)
    assert not [event for event in ann.events if isinstance(event, Ended)]
    assert len(house.desk.calls) == 2
    do(cleo, cleo.stack.hang_up, invite.session, Reason.NORMAL)
    assert (await ann.wait(Ended)).reason is Reason.NORMAL
    await house.empty()
    assert mine


async def test_who_is_in_two_calls_puts_the_other_two_together(house: House) -> None:
    await house.start()
    ann, bob, cleo = [await house.phone(user) for user in ("ann", "bob", "cleo")]
    _, bobs = await put_through(house, ann, bob)
    second = call(bob, "cleo")
    await bob.wait(Answered)
    invite = await cleo.wait(InviteReceived)
    async with asyncio.timeout(5):
        while sum(one.inside for one in house.desk.calls.values()) < 4:
            await asyncio.sleep(0.01)
    named = bob.stack.replaces(second)
    assert named is not None
    do(bob, lambda now: bob.stack.refer(bobs, f"<sip:cleo@house.example?Replaces={named.escaped()}>", now))
    assert (await bob.wait(ReferAnswered)).status == 202
    async with asyncio.timeout(5):
        while not any(isinstance(event, ReferProgress) and event.status == 200 for event in bob.events):
            await asyncio.sleep(0.01)
    do(bob, bob.stack.hang_up, bobs, Reason.NORMAL)
    await bob.wait(Ended, 2)
    await asyncio.sleep(0.1)
    (bridge,) = house.desk.switchboard.bridges.values()
    assert {one.name for one in bridge.room.participants} == {"Ann", "cleo"}
    assert len(house.desk.calls) == 2
    do(cleo, cleo.stack.hang_up, invite.session, Reason.NORMAL)
    await ann.wait(Ended)
    await house.empty()


async def test_a_user_is_known_by_the_address_here_and_by_the_contact_that_it_registered(house: House) -> None:
    await house.start()
    bob = await house.phone("bob")
    for known in ("sip:bob@house.example", f"sip:bob@127.0.0.1:{bob.port}", f"sip:bob@127.0.0.1:{bob.local}"):
        assert house.sip.user_of(known) == "bob"
    for other in (f"sip:cleo@127.0.0.1:{bob.local}", "sip:bob@elsewhere.example", "sip:bob@127.0.0.1:9", "tel:+49123"):
        assert house.sip.user_of(other) is None


async def test_nobody_transfers_to_the_outside_without_a_rule(house: House) -> None:
    await house.start()
    ann, bob = await house.phone("ann"), await house.phone("bob")
    _, bobs = await put_through(house, ann, bob)
    for target in ("sip:0900123@carrier.example", "sip:100@house.example"):
        do(bob, lambda now, target=target: bob.stack.refer(bobs, target, now))
    assert (await bob.wait(ReferAnswered, 2)).status == 403
    assert house.desk.switchboard.outbound.refused[Reason.NOT_ALLOWED] == 2


async def test_an_account_calls_outside_where_a_rule_says_so_and_a_stranger_does_not(house: House) -> None:
    outside = Phone(Transport.UDP, 9, "carrier", "", "127.0.0.1")
    await outside.open()
    house.phones.append(outside)
    await house.start(
        Policy.REGISTERED,
        dial_plan=[{"called": r"0([1-9]\d+)", "call": rf"sip:\1@127.0.0.1:{outside.local}"}],
        outbound={"rules": [{"roles": "caller", "accounts": "ann", "number": r"89\d+"}]},
    )
    outside.port = house.sip.ports[Transport.UDP]
    ann, bob = await house.phone("ann"), await house.phone("bob")
    stranger = await house.phone("stranger", register=False)
    for phone in (bob, stranger):
        call(phone, "089123")
        assert (await phone.wait(Rejected)).status == 403
    call(ann, "0900123")
    assert (await ann.wait(Rejected)).status == 403
    assert not outside.events
    mine = call(ann, "089123")
    await ann.wait(Answered)
    invite = await outside.wait(InviteReceived)
    assert invite.request.uri.name == "89123"
    assert house.desk.switchboard.outbound.calls == 1
    do(ann, ann.stack.hang_up, mine, Reason.NORMAL)
    await outside.wait(Ended)
    await house.empty()
