"""Aligned PER against X.691, case by case, as annotated octets; and what is over a bound or no encoding at all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import asn1tools
import pytest

from h323.per import (
    MAX_DEPTH,
    MAX_ERROR_TEXT,
    MAX_ITEMS,
    MAX_ITEMS_OF_ALL,
    MAX_PDU,
    CompileError,
    DecodeError,
    EncodeError,
    Specification,
    compile_modules,
)

ADDITIONS = "T ::= SEQUENCE { a BOOLEAN, ..., n NULL OPTIONAL, b BOOLEAN OPTIONAL, c BOOLEAN OPTIONAL }"
DIGITS = 'T ::= SEQUENCE { b BOOLEAN, d IA5String (SIZE (1..3)) (FROM ("0123456789#*,")) }'


@pytest.fixture(scope="module", autouse=True)
def _one_grammar() -> Iterator[None]:
    """asn1tools builds its grammar anew for each text, which takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asn1tools.parser, "create_grammar", cache(asn1tools.parser.create_grammar))
        yield


def compiled(text: str) -> Specification:
    return compile_modules(asn1tools.parse_string(f"M DEFINITIONS AUTOMATIC TAGS ::= BEGIN {text} END"))


def encode(text: str, value: Any) -> str:
    return compiled(text).encode("M", "T", value).hex()


def decode(text: str, octets: str) -> Any:
    return compiled(text).decode("M", "T", bytes.fromhex(octets))


def both_ways(text: str, value: Any, octets: str) -> None:
    assert encode(text, value) == octets
    assert decode(text, octets) == value


def test_d1_an_open_type_has_at_least_one_octet() -> None:
    # 1 an addition, 0 000000 its number 0; open type: length 01, 00
    both_ways("T ::= CHOICE { a NULL, ..., b NULL }", ("b", None), "800100")


def test_d2_a_null_addition_is_an_octet() -> None:
    # 1 extended, 1 a; 0 000010 three additions, 110 which; n: 01 00; b: 01 80
    both_ways(ADDITIONS, {"a": True, "n": None, "b": True}, "c16001000180")


def test_d3_an_addition_is_skipped_to_the_end_of_its_open_type() -> None:
    # as above with b and c, but b's open type has two octets: 02 80 00
    value = decode("T ::= SEQUENCE { a BOOLEAN, ..., b BOOLEAN OPTIONAL, c BOOLEAN OPTIONAL }", "c0e00280000180")
    assert value == {"a": True, "b": True, "c": True}


def test_d4_an_open_type_over_16_ki_octets_goes_in_fragments() -> None:
    text = "T ::= CHOICE { a NULL, ..., o OCTET STRING }"
    spec = compiled(text)
    data = bytes(range(256)) * 130  # 33,280 octets
    octets = spec.encode("M", "T", ("o", data))
    # 80 addition 0; open type: c2 two times 16 Ki of it; the octet string in it begins with c2 itself
    assert octets[:3].hex() == "80c2c2"
    assert spec.decode("M", "T", octets) == ("o", data)
    # what is left of the open type: 512 octets of data behind a length of two, and the c2: 515, 0x0203
    assert octets[2 + 32_768 : 4 + 32_768].hex() == "8203"


def test_d5_an_error_inside_an_addition_is_told() -> None:
    text = "T ::= SEQUENCE { a BOOLEAN, ..., q SEQUENCE { m BOOLEAN, n BOOLEAN } OPTIONAL, c BOOLEAN OPTIONAL }"
    with pytest.raises(EncodeError, match="q: n is missing"):
        encode(text, {"a": True, "q": {"m": True}, "c": True})


def test_d6_a_number_without_an_upper_bound_counts_from_the_lower() -> None:
    both_ways("T ::= INTEGER (1..MAX)", 1, "0100")  # one octet, 1 - 1
    both_ways("T ::= INTEGER (1..MAX)", 257, "020100")


def test_d7_identifiers_under_2_have_any_second_arc() -> None:
    both_ways("T ::= OBJECT IDENTIFIER", "2.999.3", "03883703")  # 80 + 999 = 1079: 88 37
    both_ways("T ::= OBJECT IDENTIFIER", "0.0.8.2250.0.7", "06000891" "4a0007")  # fmt: skip


@pytest.mark.parametrize("number", [-1, 16, 1 << 200])
def test_d8_a_number_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(EncodeError, match=r"i: .* is not in 0\.\.15"):
        encode("T ::= SEQUENCE { i INTEGER (0..15), b BOOLEAN }", {"i": number, "b": True})


@pytest.mark.parametrize("size", [1, 5])
def test_d9_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(EncodeError, match=r"octets, and 2\.\.4 are allowed"):
        encode("T ::= OCTET STRING (SIZE (2..4))", bytes(size))


def test_d10_characters_outside_the_plane_go_as_surrogates() -> None:
    both_ways("T ::= BMPString", "a😀", "030061d83dde00")
    both_ways("T ::= BMPString", "\ud83d", "01d83d")  # half a pair, as a peer may cut it


def test_d10_error_texts_are_short() -> None:
    with pytest.raises(EncodeError) as caught:
        encode("T ::= IA5String", "\u2028" * 100_000)
    assert len(str(caught.value)) <= MAX_ERROR_TEXT
    with pytest.raises(EncodeError) as caught:
        encode("T ::= SEQUENCE { a BOOLEAN }", {"x" * 100_000: True, "a": True})
    assert len(str(caught.value)) <= MAX_ERROR_TEXT


@pytest.mark.parametrize("octets", ["", "00", "0188", "028888", "03"])
def test_d11_a_truncated_identifier_is_an_error(octets: str) -> None:
    with pytest.raises(DecodeError):
        decode("T ::= OBJECT IDENTIFIER", octets)


def test_d12_many_additions_are_an_error_or_left_out() -> None:
    text = "T ::= SEQUENCE { a BOOLEAN, ..., b BOOLEAN }"
    with pytest.raises(DecodeError):
        decode(text, "ff" * 20)
    # 1 extended, 1 a, 1 over 64 additions: length 41 (65); the first and the last are there: 01 80, 01 00
    assert decode(text, "e041" + "8000000000000000" + "80" + "0180" + "0100") == {"a": True, "b": True}


def test_over_64_additions_are_written_with_a_length() -> None:
    names = ", ".join(f"x{n} BOOLEAN OPTIONAL" for n in range(65))
    octets = "e041" + "0000000000000000" + "80" + "0180"  # the last alone
    both_ways(f"T ::= SEQUENCE {{ a BOOLEAN, ..., {names} }}", {"a": True, "x64": True}, octets)


@pytest.mark.parametrize("text", ["T ::= INTEGER", "T ::= INTEGER (0..MAX)", "T ::= INTEGER (0..5, ...)"])
def test_d13_a_number_of_no_octets_is_an_error(text: str) -> None:
    with pytest.raises(DecodeError):
        decode(text, "8000" if "..." in text else "00")


def test_d14_a_short_string_is_not_padded() -> None:
    # 1 b, 00 length 1, 0101 digit 5 (its place in #*,0123456789 is 8): at most 12 bits, so no padding
    both_ways(DIGITS, {"b": True, "d": "555"}, "d110")


def test_d14_a_string_of_up_to_16_bits_and_more_is_padded() -> None:
    # 1 b, 00 length 1, padding; 1000 digit 5
    both_ways(DIGITS.replace("1..3", "1..4"), {"b": True, "d": "5"}, "8080")
    both_ways("T ::= SEQUENCE { b BOOLEAN, d IA5String (SIZE (2)) }", {"b": True, "d": "AA"}, "a0a080")  # 16 bits
    both_ways("T ::= SEQUENCE { b BOOLEAN, d IA5String (SIZE (3)) }", {"b": True, "d": "AAA"}, "80414141")


def test_d15_an_unknown_value_of_an_enumeration_is_none_or_refused() -> None:
    text = "T ::= ENUMERATED { a, b, ..., c }"
    assert decode(text, "81") is None  # 1 an addition, 0 000001 its number: one more than we know, with a bit to spare
    for value in ("d", None, 3, ["a"]):
        with pytest.raises(EncodeError):
            encode(text, value)
    with pytest.raises(DecodeError):
        decode("T ::= ENUMERATED { a, b, c }", "c0")  # 11: the fourth of three


def test_an_unknown_alternative_is_none() -> None:
    assert decode("T ::= CHOICE { a NULL, ... }", "850155") == (None, None)
    with pytest.raises(EncodeError):
        encode("T ::= CHOICE { a NULL, ... }", (None, None))
    with pytest.raises(DecodeError):
        decode("T ::= CHOICE { a NULL, b NULL, c NULL }", "c0")


@pytest.mark.parametrize(
    ("text", "value", "octets"),
    [
        ("T ::= INTEGER (0..255)", 7, "07"),
        ("T ::= INTEGER (1..256)", 256, "ff"),
        ("T ::= INTEGER (0..65535)", 7, "0007"),
        ("T ::= INTEGER (1..16)", 16, "f0"),
        ("T ::= INTEGER (5)", 5, "00"),
        ("T ::= INTEGER (0..4294967295)", 256, "400100"),  # 01 two octets
        ("T ::= INTEGER (0..16777215)", 0, "0000"),
        ("T ::= INTEGER (1..65536)", 65536, "ffff"),
        ("T ::= INTEGER (0..65536)", 65536, "80010000"),  # 10 three octets
        ("T ::= INTEGER (-262144..262143)", -1, "8003ffff"),
        ("T ::= INTEGER", -129, "02ff7f"),
        ("T ::= INTEGER", 128, "020080"),
        ("T ::= INTEGER (0..3, ...)", 4, "800104"),
        ("T ::= INTEGER (0..3, ...)", 3, "60"),
        ("T ::= OCTET STRING (SIZE (2))", b"\x81\x82", "8182"),
        ("T ::= SEQUENCE { b BOOLEAN, o OCTET STRING (SIZE (2)) }", {"b": True, "o": b"\xff\xff"}, "ffff80"),
        ("T ::= SEQUENCE { b BOOLEAN, o OCTET STRING (SIZE (3)) }", {"b": True, "o": b"abc"}, "80616263"),
        ("T ::= OCTET STRING (SIZE (1..2, ...))", b"abc", "8003616263"),
        ("T ::= OCTET STRING (SIZE (1..65535))", b"a", "000061"),
        ("T ::= BIT STRING (SIZE (3))", (b"\xa0", 3), "a0"),
        ("T ::= BIT STRING (SIZE (17))", (b"\xff\xff\x80", 17), "ffff80"),
        ("T ::= BIT STRING", (b"\xff\x80", 9), "09ff80"),
        ("T ::= BIT STRING (SIZE (0..511))", (b"", 0), "0000"),
        ("T ::= SET SIZE (1..256) OF BOOLEAN", [True], "0080"),
        ("T ::= SEQUENCE OF BOOLEAN", [True, False], "0280"),
        ("T ::= SEQUENCE (SIZE (2)) OF BOOLEAN", [True, True], "c0"),
        ("T ::= SEQUENCE (SIZE (1..2, ...)) OF BOOLEAN", [True] * 3, "8003e0"),
        ("T ::= SEQUENCE { a BOOLEAN DEFAULT TRUE }", {"a": True}, "00"),
        ("T ::= SEQUENCE { a BOOLEAN DEFAULT TRUE }", {"a": False}, "80"),
        ("T ::= GeneralString", "é1", "02e931"),
        ("T ::= UTF8String", "é", "02c3a9"),
        ("T ::= NumericString (SIZE (0..4))", "12", "4023"),
        ("T ::= BMPString (SIZE (1..256))", "a", "000061"),
        ("T ::= NULL", None, "00"),
    ],
)  # fmt: skip
def test_types_go_both_ways(text: str, value: Any, octets: str) -> None:
    both_ways(text, value, octets)


def test_an_older_sender_may_leave_out_the_additions_from_some_point_on() -> None:
    text = "T ::= SEQUENCE { a BOOLEAN, ..., b BOOLEAN, c BOOLEAN OPTIONAL, d BOOLEAN }"
    both_ways(text, {"a": True}, "40")
    both_ways(text, {"a": True, "b": True}, "c1400180")
    with pytest.raises(EncodeError, match="b is missing before c"):
        encode(text, {"a": True, "c": True})


def test_trimmed_additions_end_with_the_last() -> None:
    octets = compiled(ADDITIONS).encode("M", "T", {"a": True, "n": None}, trimmed=True)
    assert octets.hex() == "c0400100"  # 0 000000 one addition, 1
    assert decode(ADDITIONS, octets.hex()) == {"a": True, "n": None}


def test_a_placeholder_is_skipped_as_an_addition_and_never_sent() -> None:
    text = "T ::= SEQUENCE { a BOOLEAN, ..., u Unused OPTIONAL, b BOOLEAN OPTIONAL } Unused ::= NULL"
    # two additions; the placeholder's open type: 03 aa bb cc; b: 01 80
    assert decode(text, "c0e0" "03aabbcc" "0180") == {"a": True, "b": True}  # fmt: skip
    with pytest.raises(EncodeError, match="u: is not supported"):
        encode(text, {"a": True, "u": None})
    choice = "T ::= CHOICE { a NULL, u Unused, ..., v Unused } Unused ::= NULL"
    assert decode(choice, "80" "01aa") == (None, None)  # fmt: skip
    with pytest.raises(DecodeError, match="u: is not supported"):
        decode(choice, "40")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("T ::= SEQUENCE { a BOOLEAN }", {"a": 1}),
        ("T ::= SEQUENCE { a BOOLEAN }", {"a": True, "b": True}),
        ("T ::= SEQUENCE { a BOOLEAN }", [True]),
        ("T ::= SEQUENCE { a BOOLEAN }", {1: True}),
        ("T ::= SEQUENCE OF BOOLEAN", True),
        ("T ::= SEQUENCE OF BOOLEAN", [True] * (MAX_ITEMS + 1)),
        ("T ::= CHOICE { a NULL }", "a"),
        ("T ::= CHOICE { a NULL }", ("a",)),
        ("T ::= CHOICE { a NULL }", (["a"], None)),
        ("T ::= CHOICE { a NULL }", ("a", 1)),
        ("T ::= INTEGER", True),
        ("T ::= OCTET STRING", "a"),
        ("T ::= OCTET STRING", bytes(MAX_PDU + 1)),
        ("T ::= BIT STRING", (b"a", 9)),
        ("T ::= BIT STRING", b"a"),
        ("T ::= BIT STRING", (bytes(4000), 32_000)),
        ("T ::= IA5String", b"a"),
        ("T ::= IA5String", "é"),
        ("T ::= IA5String", "a" * 20_000),
        ("T ::= BMPString", 5),
        ("T ::= BMPString", "a" * 20_000),
        ("T ::= GeneralString", "漢"),
        ("T ::= OBJECT IDENTIFIER", "3.1"),
        ("T ::= OBJECT IDENTIFIER", "0.40"),
        ("T ::= OBJECT IDENTIFIER", "1"),
        ("T ::= OBJECT IDENTIFIER", "1.-1"),
        ("T ::= OBJECT IDENTIFIER", "1.²"),
        ("T ::= OBJECT IDENTIFIER", (1, 2)),
        ("T ::= OBJECT IDENTIFIER", "1." + "9" * 10_000),
    ],
)
def test_values_of_other_types_are_refused(text: str, value: Any) -> None:
    with pytest.raises(EncodeError) as caught:
        encode(text, value)
    assert len(str(caught.value)) <= MAX_ERROR_TEXT


def test_huge_numbers_are_refused_both_ways() -> None:
    """Python spells out no number of several thousand digits, so none may reach a log line."""
    for text in ("T ::= INTEGER", "T ::= INTEGER (0..MAX)"):
        with pytest.raises(EncodeError, match="a number of 20"):
            encode(text, 1 << 200_000)
        with pytest.raises(DecodeError, match="an integer of 513 octets"):
            decode(text, "8201" + "7f" * 513)
        assert str(decode(text, "8200" + "7f" * 512))


def test_nesting_is_bounded_both_ways() -> None:
    text = "T ::= SEQUENCE { t T OPTIONAL }"
    value: dict[str, Any] = {}
    for _ in range(MAX_DEPTH - 1):
        value = {"t": value}
    octets = encode(text, value)
    assert decode(text, octets) == value
    for _ in range(5000):
        value = {"t": value}
    with pytest.raises(EncodeError, match="nested"):
        encode(text, value)
    with pytest.raises(DecodeError, match="nested"):
        decode(text, "ff" * 1000)


def test_nesting_through_open_types_is_bounded() -> None:
    text = "T ::= SEQUENCE { ..., t T OPTIONAL }"
    octets = b"\x00"
    for _ in range(MAX_DEPTH + 5):
        length = bytes((len(octets),)) if len(octets) < 128 else (0x8000 | len(octets)).to_bytes(2, "big")
        octets = b"\x80\x80" + length + octets  # 1 extended, 0 000000 one addition, 1
    with pytest.raises(DecodeError, match="nested"):
        decode(text, octets.hex())


def test_items_are_bounded() -> None:
    text = "T ::= SEQUENCE OF NULL"
    assert decode(text, "9000") == [None] * MAX_ITEMS
    with pytest.raises(DecodeError, match="too many items"):
        decode(text, "9001")
    with pytest.raises(DecodeError):
        decode(text, "c1")


def test_items_of_all_lists_are_bounded() -> None:
    text = "T ::= SEQUENCE OF SEQUENCE OF NULL"
    with pytest.raises(DecodeError, match="too many items"):
        decode(text, "81ff" + "bfff" * (MAX_ITEMS_OF_ALL // MAX_ITEMS + 1))


def test_messages_are_bounded() -> None:
    spec = compiled("T ::= OCTET STRING")
    with pytest.raises(DecodeError, match="T of 65537 octets"):
        spec.decode("M", "T", bytes(MAX_PDU + 1))
    with pytest.raises(EncodeError, match="T of"):
        spec.encode("M", "T", bytes(MAX_PDU))


def test_the_compiler_refuses_what_it_does_not_know() -> None:
    for text in (
        "T ::= REAL",
        "T ::= SEQUENCE { a BOOLEAN, ..., [[ b BOOLEAN ]] }",
        "T ::= SEQUENCE { a BOOLEAN, ..., b BOOLEAN, ..., c BOOLEAN }",
        "T ::= Elsewhere",
    ):
        with pytest.raises(CompileError):
            compiled(text)
