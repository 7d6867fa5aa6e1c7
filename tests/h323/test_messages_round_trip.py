"""Random values of every type of H.323's modules go there and back; random junk is refused."""

from __future__ import annotations

import random
from typing import Any

from h323_values import HUGE, Values
from hypothesis import given, settings
from hypothesis import strategies as st

from h323.asn1 import load
from h323.messages import EncodeError, Kind, decode, encode
from h323.per import Specification, compile_modules
from h323.per.scalars import Unused

MODULES: dict[str, Any] = load()
SPEC: Specification = compile_modules(MODULES)
TYPES = [(module, name) for module in MODULES for name in SPEC.names(module)]
SPOKEN = [(m, n) for m, n in TYPES if not isinstance(SPEC.type(m, n), Unused)]

PLAIN = st.none() | st.booleans() | st.integers() | st.binary(max_size=9) | st.text(max_size=9) | st.floats()
JUNK = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["h323-uu-pdu", "h323-message-body", "x"]), inner, max_size=3)
        | st.tuples(st.sampled_from(["request", "setup", "empty", "nonStandard", None, "x"]), inner)
    ),
    max_leaves=8,
)


def test_there_are_all_types_that_a_gateway_needs() -> None:
    assert len(SPOKEN) > 400
    assert all(Values(random.Random(0)).height(SPEC.type(*key)) < HUGE for key in SPOKEN)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SPOKEN), st.integers(0, 2**32), st.booleans())
def test_values_go_there_and_back(key: tuple[str, str], seed: int, trimmed: bool) -> None:
    value = Values(random.Random(seed)).value(SPEC.type(*key))
    octets = SPEC.encode(*key, value, trimmed)
    assert SPEC.decode(*key, octets) == value
    assert SPEC.decode(*key, octets + b"behind") == value


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([Kind.H225, Kind.RAS, Kind.H245, Kind.FAST_START]), st.integers(0, 2**32))
def test_messages_go_there_and_back(kind: Kind, seed: int) -> None:
    value = Values(random.Random(seed)).value(SPEC.type(*kind.value))
    assert decode(kind, encode(kind, value)) == value


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(Kind)), JUNK)
def test_junk_is_refused_or_a_value(kind: Kind, junk: Any) -> None:
    try:
        octets = encode(kind, junk)
    except EncodeError:
        return
    assert decode(kind, octets) == junk


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([Kind.H225, Kind.RAS, Kind.H245]), st.integers(0, 2**32), JUNK)
def test_a_value_with_junk_inside_is_refused_or_a_value(kind: Kind, seed: int, junk: Any) -> None:
    rng = random.Random(seed)
    value = Values(rng).value(SPEC.type(*kind.value))
    holder: Any = value
    while True:
        inner = holder[1] if isinstance(holder, tuple) else rng.choice(list(holder.values())) if holder else None
        if not isinstance(inner, dict) or not inner or rng.random() < 0.2:
            break
        holder = inner
    if isinstance(holder, dict) and holder:
        holder[rng.choice(list(holder))] = junk
    try:
        octets = encode(kind, value)
    except EncodeError as exc:
        assert len(str(exc)) < 400  # noqa: PT017 - what is refused is told in few words
        return
    assert decode(kind, octets) == value
