"""Supplementary services: what asks for an answer gets a polite no, what only tells gets none."""

from __future__ import annotations

from typing import Any

import pytest
from call_pair import CallPair

from h323.h450 import NOT_AVAILABLE, UNRECOGNIZED_OPERATION, decline
from h323.messages import Kind, decode, encode
from h323.signalling.events import SupplementaryService

DISCARD = ("discardAnyUnrecognizedInvokePdu", None)
REJECT = ("rejectAnyUnrecognizedInvokePdu", None)


def asked(operation: int, wish: Any = REJECT) -> bytes:
    invoke = ("invoke", {"invokeId": 7, "opcode": ("local", operation), "argument": b"\x00"})
    return encode(Kind.H450, {"interpretationApdu": wish, "serviceApdu": ("rosApdus", [invoke])})


def answered(apdu: bytes) -> Any:
    (answer,) = decline((apdu,))
    return decode(Kind.H450, answer)["serviceApdu"][1]


@pytest.mark.parametrize("operation", [7, 9, 10, 18, 80, 103, 107])
def test_what_asks_hears_that_there_is_no_such_service(operation: int) -> None:
    assert answered(asked(operation)) == [("returnError", {"invokeId": 7, "errcode": ("local", NOT_AVAILABLE)})]


@pytest.mark.parametrize("operation", [0, 11, 21, 101, 102, 105])
def test_what_only_tells_gets_no_answer(operation: int) -> None:
    assert decline((asked(operation),)) == ()


def test_what_nobody_knows_is_rejected_or_discarded_as_the_peer_wishes() -> None:
    assert answered(asked(999)) == [("reject", {"invokeId": 7, "problem": ("invoke", UNRECOGNIZED_OPERATION)})]
    assert decline((asked(999, DISCARD),)) == ()


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x00"])
def test_what_cannot_be_read_gets_no_answer(data: bytes) -> None:
    assert decline((data,)) == ()


def test_results_and_errors_of_the_peer_get_no_answer() -> None:
    result = ("returnError", {"invokeId": 7, "errcode": ("local", 3)})
    assert decline((encode(Kind.H450, {"serviceApdu": ("rosApdus", [result])}),)) == ()


def test_a_transfer_crosses_the_wire_and_so_does_the_no() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    pair.caller.call.facility(None, {"h4501SupplementaryService": [asked(9)]})
    pair.settle()
    (event,) = pair.callee.reported(SupplementaryService)
    pair.callee.call.facility(None, {"h4501SupplementaryService": list(decline(event.apdus))})
    pair.settle()
    (answer,) = pair.caller.reported(SupplementaryService)
    assert decode(Kind.H450, answer.apdus[0])["serviceApdu"][1][0][0] == "returnError"
