"""Q.931 messages and what their elements hold."""

from __future__ import annotations

import random

import pytest

from h323 import elements
from h323.elements import BearerCapability, Cause, Number, Progress
from h323.q931 import MAX_ELEMENTS, Element, Message, Q931Error, Type, build, parse, user_user

SETUP = bytes.fromhex(
    "08"  # Q.931
    "02" "2a01"  # call reference 10753, from the caller
    "05"  # SETUP
    "a1"  # sending complete
    "04" "04" "88" "98" "86" "a5"  # bearer capability: unrestricted digital, multirate, 6 x 64 kbit/s, H.221
    "28" "07" "63616c6c657200"  # display "caller", ended with a NUL as some do
    "6c" "06" "11" "80" "34393330"  # calling number: national, E.164, presentation allowed, 4930
    "70" "04" "81" "313030"  # called number: unknown, E.164, 100
    "7e" "0003" "05" "2010"  # user-user of three octets: ASN.1
)  # fmt: skip


def test_a_setup_is_read() -> None:
    message = parse(SETUP)
    assert (message.type, message.reference, message.from_callee) == (Type.SETUP, 10753, False)
    assert message.element(Element.SENDING_COMPLETE) == b""
    assert elements.read_bearer(message.element(Element.BEARER_CAPABILITY)) == BearerCapability(8, 384_000)
    assert elements.read_display(message.element(Element.DISPLAY)) == "caller"
    assert elements.read_number(message.element(Element.CALLING_NUMBER)) == Number("4930", 1, 1, 0, 0)
    assert elements.read_number(message.element(Element.CALLED_NUMBER)) == Number("100")
    assert message.user_user == b"\x20\x10"
    assert build(message) == SETUP


def test_elements_are_put_into_order() -> None:
    message = parse(SETUP)
    mixed = list(message.elements)
    random.Random(1).shuffle(mixed)
    assert build(Message(Type.SETUP, 10753, elements=tuple(mixed))) == SETUP


def test_the_called_side_sets_the_flag() -> None:
    octets = bytes.fromhex("0802" "aa01" "07")  # reference 2a01 with the flag, CONNECT  # fmt: skip
    assert parse(octets) == Message(Type.CONNECT, 10753, True)
    assert build(parse(octets)) == octets


def test_references_of_other_lengths_are_read() -> None:
    assert parse(bytes.fromhex("080075")) == Message(Type.STATUS_INQUIRY, 0)
    assert parse(bytes.fromhex("08018575")) == Message(Type.STATUS_INQUIRY, 5, True)


def test_unknown_elements_are_kept_and_other_codesets_are_left_out() -> None:
    octets = bytes.fromhex(
        "0802000162"
        "1102aabb"  # nobody's element
        "9e" "280131"  # non-locking shift to codeset 6: the next element is no Display of ours
        "280132"  # Display "2"
        "96" "280133" "a1" "7e0131"  # locking shift: none of what follows, and no User-user of 16 bits
    )  # fmt: skip
    message = parse(octets)
    assert message.elements == ((0x11, b"\xaa\xbb"), (Element.DISPLAY, b"2"))
    assert message.user_user is None


def test_of_an_element_that_comes_twice_the_first_counts() -> None:
    message = parse(bytes.fromhex("0802000162" "280131" "280132"))  # fmt: skip
    assert elements.read_display(message.element(Element.DISPLAY)) == "1"


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("", "0 octets"),
        ("0802", "2 octets"),
        ("030200015a", "protocol discriminator 0x03"),
        ("0803000001" "5a", "call reference of 3 octets"),
        ("080200", "ends in the call reference"),
        ("0802000100", "message type 0x00"),
        ("08020001da", "message type 0xda"),
        ("080200015a" "08", "ends in element 0x08"),
        ("080200015a" "080380", "ends in element 0x08"),
        ("080200015a" "7e00", "ends in element 0x7e"),
        ("080200015a" "7effff05", "ends in element 0x7e"),
        ("080200015a" + "a1" * (MAX_ELEMENTS + 1), "over 64 elements"),
    ],
)  # fmt: skip
def test_bad_messages_are_refused(octets: str, why: str) -> None:
    with pytest.raises(Q931Error, match=why):
        parse(bytes.fromhex(octets))


def test_a_user_user_element_of_another_protocol_is_none() -> None:
    assert parse(bytes.fromhex("0802000105" "7e00020431")).user_user is None  # fmt: skip
    assert parse(bytes.fromhex("0802000105" "7e0000")).user_user is None  # fmt: skip


def test_random_messages_raise_nothing_else() -> None:
    rng = random.Random(7)
    readers = [getattr(elements, name) for name in dir(elements) if name.startswith("read_")]
    for _ in range(20_000):
        octets = bytearray(SETUP)
        for _ in range(rng.randint(1, 4)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        try:
            message = parse(bytes(octets[: rng.randint(0, len(octets))]))
        except Q931Error:
            continue
        for _, content in message.elements:
            for read in readers:
                read(content)


def test_messages_without_room_are_refused() -> None:
    with pytest.raises(ValueError, match="call reference"):
        build(Message(Type.SETUP, 0x8000))
    with pytest.raises(ValueError, match="element 0x28"):
        build(Message(Type.SETUP, 1, elements=((Element.DISPLAY, bytes(256)),)))
    with pytest.raises(ValueError, match="element 0x7e"):
        build(Message(Type.SETUP, 1, elements=(user_user(bytes(65_535)),)))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"Anna\0", "Anna"),
        ("Zoë".encode(), "Zoë"),
        (b"Zo\xeb", "Zoë"),
        (b"a\r\n\x1b[2Jb", "a[2Jb"),
        (b"", ""),
        (None, ""),
    ],
)
def test_display_is_printable_text(content: bytes | None, text: str) -> None:
    assert elements.read_display(content) == text


def test_a_long_display_is_cut_after_a_whole_character() -> None:
    assert elements.write_display("é" * 60) == "é".encode() * 41


@pytest.mark.parametrize(
    ("cause", "octets"),
    [(Cause(16), "8090"), (Cause(17, elements.PRIVATE_LOCAL), "8191"), (Cause(102, 0, b"31"), "80e63331")],
)
def test_causes_go_both_ways(cause: Cause, octets: str) -> None:
    assert elements.write_cause(cause).hex() == octets
    assert elements.read_cause(bytes.fromhex(octets)) == cause


def test_a_cause_with_a_recommendation_is_read() -> None:
    assert elements.read_cause(bytes.fromhex("000390")) == Cause(16)  # location without its last bit: octet 3a follows
    assert elements.read_cause(b"\x80") is None
    assert elements.read_cause(b"") is None


@pytest.mark.parametrize("number", [Number("4930123"), Number("100", 0, 9), Number("5", 2, 1, 1, 3), Number("")])
def test_numbers_go_both_ways(number: Number) -> None:
    assert elements.read_number(elements.write_number(number)) == number


def test_numbers_that_nobody_can_dial_are_refused_or_cleaned() -> None:
    with pytest.raises(ValueError):
        elements.write_number(Number("room"))
    with pytest.raises(ValueError):
        elements.write_number(Number("1" * 129))
    assert elements.read_number(b"\x81" + b"1 0\n0" + bytes(200)) == Number("100")


@pytest.mark.parametrize(
    ("bearer", "octets"),
    [
        (BearerCapability(elements.UNRESTRICTED_DIGITAL, 768_000), "88988ca5"),
        (BearerCapability(elements.SPEECH, 64_000), "8090a3"),
        (BearerCapability(elements.UNRESTRICTED_DIGITAL, 127 * 64_000), "8898ffa5"),
    ],
)
def test_bearer_capabilities_go_both_ways(bearer: BearerCapability, octets: str) -> None:
    assert elements.write_bearer(bearer).hex() == octets
    assert elements.read_bearer(bytes.fromhex(octets)) == bearer


def test_what_remains_goes_both_ways() -> None:
    assert elements.read_keypad(elements.write_keypad("12#!")) == "12#!"
    assert elements.read_keypad(b"1\x00\x802") == "12"
    with pytest.raises(ValueError):
        elements.write_keypad("x")
    assert elements.read_progress(elements.write_progress(Progress(8))) == Progress(8, 1)
    assert elements.read_progress(b"\x81") is None
    assert elements.read_call_state(elements.write_call_state(10)) == 10
    assert elements.read_notification(elements.write_notification(121)) == 121
    assert elements.read_signal(elements.write_signal(63)) == 63
    assert elements.read_call_state(None) is elements.read_notification(b"") is elements.read_signal(None) is None
