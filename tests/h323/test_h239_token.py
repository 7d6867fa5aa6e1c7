"""The presentation token between two ends, in every order, and against a captured call."""

from __future__ import annotations

import random
from typing import Any

import pytest
from h245_pair import Pair, Side
from h323_samples import encodings

from h323.h245.events import RateReleaseAsked, TokenAnswered, TokenAsked, TokenReleased, Told
from h323.h245.parameters import read_numbers
from h323.h245.presentation import MESSAGE, TOKEN_TIME, Presentation, State
from h323.messages import Kind, decode, encode


def generic(side: Side) -> list[tuple[str, int]]:
    """What a side sent of H.239: kind and number."""
    return [(body[0], body[1]["subMessageIdentifier"]) for _, body in side.sent if body[0].startswith("generic")]


def answers(side: Side) -> list[bool]:
    return [event.granted for event in side.reported(TokenAnswered)]


def test_who_asks_gets_the_token_says_so_and_gives_it_back() -> None:
    pair = Pair()
    pair.a.control.presentation.ask(103, pair.now)
    pair.settle()
    assert pair.b.reported(TokenAsked) == [TokenAsked(0, 103)]
    assert pair.b.control.presentation.answer(True, pair.now)
    pair.settle()
    assert answers(pair.a) == [True]
    assert (pair.a.control.presentation.state, pair.b.control.presentation.state) == (State.OURS, State.PEERS)
    pair.a.control.presentation.give_back(pair.now)
    pair.settle()
    assert len(pair.b.reported(TokenReleased)) == 1
    assert generic(pair.a) == [("genericRequest", 3), ("genericIndication", 6), ("genericCommand", 5)]
    assert generic(pair.b) == [("genericResponse", 4)]
    assert {side.control.presentation.state for side in (pair.a, pair.b)} == {State.FREE}


def test_a_refused_one_has_no_token_and_the_owner_keeps_it() -> None:
    pair = Pair()
    pair.a.control.presentation.take(7, pair.now)
    pair.settle()
    pair.b.control.presentation.ask(9, pair.now)
    pair.settle()
    pair.a.control.presentation.answer(False, pair.now)
    pair.settle()
    assert answers(pair.b) == [False]
    assert pair.a.control.presentation.state is State.OURS
    (reply,) = [body[1] for _, body in pair.a.sent if body[0] == "genericResponse"]
    assert read_numbers(reply["messageContent"]) == {127: 1, 44: 0, 42: 9}


def both_ask(pair: Pair, numbers: dict[Side, list[int]]) -> None:
    """Let both ask before either hears of it, with these symmetry breaking numbers."""
    for side, given in numbers.items():
        presentation: Any = side.control.presentation
        presentation._rng = random.Random()
        presentation._rng.randint = lambda _low, _high, given=given: given.pop(0)
        presentation.ask(1, pair.now)


def test_of_two_who_ask_at_once_the_larger_number_wins() -> None:
    pair = Pair()
    both_ask(pair, {pair.a: [5], pair.b: [9]})
    pair.settle()
    assert pair.a.reported(TokenAsked)
    assert not pair.b.reported(TokenAsked)
    pair.a.control.presentation.answer(True, pair.now)
    pair.settle()
    assert (answers(pair.a), answers(pair.b)) == ([False], [True])
    assert (pair.a.control.presentation.state, pair.b.control.presentation.state) == (State.PEERS, State.OURS)


def test_equal_numbers_are_drawn_again() -> None:
    pair = Pair()
    both_ask(pair, {pair.a: [5, 3], pair.b: [5, 100]})
    pair.settle()
    pair.a.control.presentation.answer(True, pair.now)
    pair.settle()
    assert generic(pair.a).count(("genericRequest", 3)) == 2
    assert (answers(pair.a), answers(pair.b)) == ([False], [True])


def test_numbers_that_are_equal_for_ever_end() -> None:
    pair = Pair()
    both_ask(pair, {pair.a: [5] * 20, pair.b: [5] * 20})
    pair.settle()
    assert answers(pair.a) == answers(pair.b) == [False]


def test_a_peer_that_never_answers_counts_as_one_that_refuses() -> None:
    pair = Pair()
    pair.a.control.presentation.ask(1, pair.now)
    pair.a.drain()
    pair.wait(TOKEN_TIME + 0.1)
    assert answers(pair.a) == [False]
    assert pair.a.control.census()["timers"] == 0


def test_an_mcu_that_takes_the_token_for_another_is_heard() -> None:
    pair = Pair()
    pair.b.control.presentation.ask(9, pair.now)
    pair.settle()
    pair.a.control.presentation.answer(True, pair.now)
    pair.settle()
    pair.a.control.presentation.take(4, pair.now)
    pair.settle()
    assert pair.a.control.presentation.state is State.OURS
    pair.b.control.presentation.give_back(pair.now)  # late: it has it no more
    pair.settle()
    assert pair.a.control.presentation.state is State.OURS


def test_a_lifted_limit_is_granted_and_told_and_others_messages_are_not_ours() -> None:
    pair = Pair()
    content = [
        {"parameterIdentifier": ("standard", 42), "parameterValue": ("unsignedMin", 9)},
        {"parameterIdentifier": ("standard", 41), "parameterValue": ("unsignedMin", 7_680)},
    ]
    asked = {"messageIdentifier": MESSAGE, "subMessageIdentifier": 1, "messageContent": content}
    pair.a.control.receive(("request", ("genericRequest", asked)), pair.now)
    pair.settle()
    assert pair.a.reported(RateReleaseAsked) == [RateReleaseAsked(9, 768_000)]
    assert generic(pair.a) == [("genericResponse", 2)]
    other = {"messageIdentifier": ("standard", "0.0.8.460.1"), "subMessageIdentifier": 3, "messageContent": []}
    pair.a.control.receive(("request", ("genericRequest", other)), pair.now)
    pair.settle()
    assert [told.name for told in pair.a.reported(Told)] == ["genericRequest"]


@pytest.mark.parametrize("count", [2_000])
def test_in_any_order_both_ends_agree_and_nothing_is_left(count: int) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(count):
        pair = Pair(seed=rng.randrange(1 << 30))
        sides = (pair.a, pair.b)
        for _ in range(rng.randrange(1, 14)):
            side = rng.choice(sides)
            token: Presentation = side.control.presentation
            match rng.randrange(6):
                case 0:
                    token.ask(rng.randrange(1, 9), pair.now)
                case 1:
                    token.give_back(pair.now)
                case 2 | 3:
                    token.answer(rng.random() < 0.6, pair.now)
                case _:
                    pair.deliver(side)
        pair.settle()
        for _ in range(6):  # whoever still decides says yes; whoever still asks is answered
            for side in sides:
                side.control.presentation.answer(True, pair.now)
            pair.settle()
        states = [side.control.presentation.state for side in sides]
        assert sorted(one.name for one in states) in (["FREE", "FREE"], ["OURS", "PEERS"]), (seed, states)
        pair.wait(TOKEN_TIME + 1)
        assert all(side.control.census()["timers"] == 0 for side in sides)


def test_the_captured_presentation_is_understood_and_answered_as_its_peer_did() -> None:
    """The called side of the capture plays again: what it is sent comes from there, what it says is compared."""
    own = [octets for where, kind, octets in encodings() if where.startswith("e1-") and kind is Kind.H245]
    said = [decode(Kind.H245, octets) for octets in own]
    messages = [(kind, body) for kind, body in said if body[0].startswith("generic")]
    assert [body[1]["subMessageIdentifier"] for _, body in messages] == [3, 4, 6, 5]
    pair = Pair()
    asked, answered, indicated, released = messages
    pair.a.control.receive(asked, pair.now)
    pair.a.drain()
    assert pair.a.reported(TokenAsked) == [TokenAsked(0, 103)]
    pair.a.control.presentation.answer(True, pair.now)
    pair.a.drain()
    assert encode(Kind.H245, pair.a.sent[-1]) == encode(Kind.H245, answered)
    pair.a.control.receive(indicated, pair.now)
    assert pair.a.control.presentation.state is State.PEERS
    pair.a.control.receive(released, pair.now)
    pair.a.drain()
    assert len(pair.a.reported(TokenReleased)) == 1

    other = pair.b.control.presentation  # and the calling side
    other._rng.randint = lambda *_: 6  # type: ignore[method-assign]
    other.ask(103, pair.now)
    pair.b.control.receive(answered, pair.now)
    other.give_back(pair.now)
    pair.b.drain()
    assert [encode(Kind.H245, one) for one in pair.b.sent] == [
        encode(Kind.H245, one) for one in (asked, indicated, released)
    ]
