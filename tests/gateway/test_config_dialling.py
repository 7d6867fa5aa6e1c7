"""The configuration of where calls go: what is taken, what it becomes, and what is refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from test_desk import facts

from gateway.config import Config
from gateway.config_dialling import dial_plan
from gateway.reasons import Reason, Refused
from gateway.rooms.dial_plan import Refuse, ToCall, ToMenu, ToRoom
from gateway.rooms.outbound import Asker, Role, read_target

TRUNKS = [{"name": "carrier", "servers": ["192.0.2.1"]}]


@pytest.mark.parametrize(
    ("rule", "called", "where"),
    [
        ({"called": r"9(\d\d)", "room": r"47\1"}, "911", ToRoom("4711")),
        ({"called": r"0(\d+)", "call": r"tel:+49\1", "trunk": "carrier"}, "089", ToCall("tel:+4989", "carrier")),
        ({"called": "0", "call": "user:reception"}, "0", ToCall("user:reception")),
        ({"protocol": "sip", "menu": True}, "100", ToMenu()),
        ({"called": "4930", "menu": True, "language": "de"}, "4930", ToMenu("de")),
        ({"source": ["127.0.0.0/8"], "refuse": "busy"}, "100", Refuse(Reason.BUSY)),
        ({"source": "10.0.0.0/8", "refuse": "busy"}, "100", ToRoom("100")),
    ],
)
def test_a_rule_leads_where_it_says(rule: dict[str, Any], called: str, where: object) -> None:
    config = Config(dial_plan=[rule], trunks=TRUNKS)
    assert dial_plan(config.dial_plan).arriving(facts(called), {"100"}.__contains__, lambda _: False) == where


@pytest.mark.parametrize(
    "rule",
    [
        {"called": "1"},
        {"called": "1", "room": "1", "refuse": "busy"},
        {"called": "(a+)+", "room": "1"},
        {"called": "(", "room": "1"},
        {"called": "1", "room": r"\1"},
        {"called": "1", "room": "1", "trunk": "carrier"},
        {"called": "1", "call": "sip:x@y", "trunk": "nobody"},
        {"called": "1", "room": "1", "from_trunk": ["carrier", "nobody"]},
        {"called": "1", "call": "http://x"},
        {"called": "1", "refuse": "mood"},
        {"called": "1", "refuse": "normal"},
        {"direction": "outgoing", "called": "1", "room": "1"},
        {"called": "1", "room": "1", "language": "de"},
        {"called": "1", "menu": True, "language": "../de"},
        {"source": "300.1.1.1", "room": "1"},
        {"caled": "1", "room": "1"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(dial_plan=[rule], trunks=TRUNKS)


@pytest.mark.parametrize(
    "rule",
    [
        {"roles": "caller"},
        {"roles": ["guest", "caller"], "rooms": "100"},
        {"schemes": "tel"},
        {"number": "(a+)+"},
        {"sources": "x"},
        {"roles": []},
        {"trunk": "nobody"},
        {"from_trunks": "nobody"},
        {"max_calls": -1},
    ],
)
def test_an_outbound_rule_that_would_do_nothing_or_too_much_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(outbound={"rules": [rule]}, trunks=TRUNKS)


def test_without_configuration_nothing_outside_is_called() -> None:
    outbound = Config().outbound.outbound()
    for role in Role:
        asker = Asker(role, "100", "ann", "127.0.0.1:5060", "carrier")
        with pytest.raises(Refused):
            outbound.permit(asker, read_target("sip:x@example.com"))


def test_outbound_rules_allow_what_they_say() -> None:
    rule = {"roles": "caller", "accounts": "ann", "number": r"\+49\d+", "trunk": "carrier", "max_calls": 1}
    outbound = Config(outbound={"max_calls": 5, "rules": [rule]}, trunks=TRUNKS).outbound.outbound()
    assert outbound.permit(Asker(Role.CALLER, account="ann"), read_target("tel:+4989")).trunk == "carrier"
    with pytest.raises(Refused):
        outbound.permit(Asker(Role.CALLER, account="bob"), read_target("tel:+4989"))


@pytest.mark.parametrize(
    "policy", [{"url": "ftp://x"}, {"url": "x"}, {"timeout": 0}, {"timeout": 60}, {"on_failure": "hope"}]
)
def test_a_policy_that_cannot_be_asked_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(policy=policy)
