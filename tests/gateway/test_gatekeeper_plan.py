"""What joins the gatekeeper with the house: where it is told that calls lead, who is called by which protocol."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_desk import House, facts

from gateway.calls import CallFacts, CallProtocol, Order
from gateway.config import Config
from gateway.dialling import HouseDialler
from gateway.gatekeeper import GatekeeperPlan, Lines, known_users, ras_config, ras_samples
from gateway.reasons import Reason, Refused
from gateway.rooms.dial_plan import DialPlan, Match, Refuse, Rule, ToCall
from gateway.rooms.pattern import Pattern, Template
from gateway.rooms.policy import NOTHING_SAID
from h323.ras.events import Leads
from transcode.interface import Sample


class FakeSip:
    """SIP with accounts of which some are registered."""

    def __init__(self) -> None:
        self.here = {"ann"}
        self.placed: list[str] = []

    def user_of(self, target: str) -> str | None:
        return None

    def reachable(self, user: str) -> bool:
        return user in self.here

    async def place(self, order: Order, facts: CallFacts) -> Any:
        self.placed.append(order.target)

    def registrations(self) -> tuple[str, ...]:
        return ("sip",)

    def trunk_states(self) -> tuple[str, ...]:
        return ("trunk",)


class FakeH323:
    """H.323 with endpoints that are registered."""

    def __init__(self) -> None:
        self.here = {"bob", "ann"}
        self.placed: list[str] = []
        self.ras = self

    def has(self, alias: str) -> bool:
        return alias in self.here

    def user_of(self, target: str) -> str | None:
        alias = target.removeprefix("h323:")
        return alias if alias in self.here else None

    async def dial(self, target: str, facts: CallFacts, wanted: Any = None, display: str = "") -> Any:
        self.placed.append(target)

    def registrations(self) -> tuple[str, ...]:
        return ("h323",)


class Joined:
    """A house with one room, SIP accounts ann and cleo, and endpoints."""

    def __init__(self) -> None:
        self.house = House()
        self.board = self.house.desk.switchboard
        self.board.is_user = ("ann", "cleo").__contains__
        self.sip, self.h323 = FakeSip(), FakeH323()
        self.dialler = HouseDialler(self.sip)
        self.plan = GatekeeperPlan(self.house.desk, self.dialler, ["ann"])
        self.dialler.h323 = self.h323
        self.board.is_user = known_users(self.board.is_user, self.h323)

    def leads(self, called: str) -> Leads:
        return self.plan.leads(replace(facts(), protocol=CallProtocol.H323, called=called))


@pytest.fixture
def joined() -> Joined:
    return Joined()


@pytest.mark.parametrize(
    ("called", "where"),
    [
        ("100", Leads.HERE),
        ("cleo", Leads.HERE),
        ("bob", Leads.ENDPOINT),
        ("ann", Leads.HERE),  # she is registered by SIP too
        ("nobody", Leads.NOWHERE),
        ("", Leads.NOWHERE),
    ],
)
def test_where_a_call_leads(joined: Joined, called: str, where: Leads) -> None:
    assert joined.leads(called) is where


def test_one_who_is_not_there_by_sip_is_an_endpoint(joined: Joined) -> None:
    joined.sip.here.clear()
    assert joined.leads("ann") is Leads.ENDPOINT


def test_the_dial_plan_decides_before_the_registrations(joined: Joined) -> None:
    joined.board.plan = DialPlan(
        [
            Rule(Match(called=Pattern("bob")), Refuse, reason=Reason.NOT_ALLOWED),
            Rule(Match(called=Pattern("9(.*)")), ToCall, Template("user:bob", Pattern("9(.*)"))),
        ]
    )
    assert joined.leads("bob") is Leads.REFUSED
    assert joined.leads("91") is Leads.HERE  # under another name: the house places it


def test_with_an_external_policy_every_alias_may_lead_here(joined: Joined) -> None:
    class Anything:
        async def decide(self, facts: CallFacts, destination: Any) -> Any:
            return NOTHING_SAID

    joined.board.policy = Anything()
    assert joined.leads("nobody") is Leads.HERE
    assert joined.leads("bob") is Leads.ENDPOINT


def test_names_that_no_endpoint_may_take(joined: Joined) -> None:
    assert [joined.plan.reserved(name) for name in ("100", "cleo", "ann", "bob", "new")] == [
        True,
        True,  # an account that is not good for H.323
        False,  # its password is asked for
        False,
        False,
    ]


async def test_users_are_called_where_they_are(joined: Joined) -> None:
    for user in ("ann", "bob", "cleo"):
        await joined.dialler.dial(Order(f"user:{user}"), facts())
    assert joined.sip.placed == ["user:ann", "user:cleo"]
    assert joined.h323.placed == ["h323:bob"]


async def test_an_endpoint_of_ours_is_not_outside(joined: Joined) -> None:
    assert joined.dialler.user_of("h323:bob") == "bob"
    assert joined.dialler.user_of("h323:stranger") is None
    assert joined.board.is_user("bob")
    assert not joined.board.is_user("stranger")
    joined.dialler.h323 = None
    assert joined.dialler.user_of("h323:bob") is None
    with pytest.raises(Refused):
        await joined.dialler.dial(Order("h323:bob"), facts())


def test_registrations_of_both_protocols_are_told(joined: Joined) -> None:
    lines = Lines(joined.sip, joined.h323)
    assert lines.registrations() == ("sip", "h323")
    assert lines.trunk_states() == ("trunk",)
    assert Lines(joined.sip, None).registrations() == ("sip",)


def test_what_the_gatekeeper_is_told_of_the_configuration() -> None:
    accounts = [
        {"user": "ann", "password": "secret"},
        {"user": "sip", "password": "secret", "protocols": ["sip"]},
        {"user": "hashed", "ha1": {"MD5": "0" * 32}},
    ]
    config = Config(accounts=accounts, h323={"bandwidth": {"call": 768}, "neighbours": ["gk.example"]})  # type: ignore[arg-type]
    told = ras_config(config)
    assert told.accounts == {"ann": "secret"}
    assert "secret" not in repr(told)
    assert (told.call_bandwidth, told.total_bandwidth, told.neighbours) == (768_000, None, ("gk.example",))
    assert (told.gatekeeper, told.authenticate, told.ttl) == ("embedded", "registered", 300)


def test_counts_become_metrics() -> None:
    counts = {
        "ras.admissions.granted": 3,
        "ras.registrations": 2,
        "ras.registrations_added": 5,
        "ras.registrations_refused.duplicateAlias": 1,
        "ras.malformed": 4,
        "ras.received.admissionRequest": 3,
    }
    assert ras_samples(counts) == [
        Sample("h323_admissions_total", (("result", "granted"),), 3),
        Sample("h323_registrations", (), 2),
        Sample("h323_ras_messages_total", (("kind", "registrations_added"),), 5),
        Sample("h323_registrations_refused_total", (("reason", "duplicateAlias"),), 1),
        Sample("bad_input_total", (("what", "malformed"), ("where", "ras")), 4),
        Sample("h323_ras_messages_total", (("kind", "received.admissionRequest"),), 3),
    ]
