"""Proofs of a password: made, found in captures of other stacks, and told from wrong ones."""

from __future__ import annotations

from random import Random

import pytest
from h323_samples import frames

from h323.messages import Kind, decode
from h323.ras import messages
from h323.ras.guard import CLOCK_DIFFERENCE, MAX_SEEN, Guard, Policy, Problem
from h323.ras.tokens import Scheme, Signer, cat_token, find_proof, md5_token, signed

NOW = 1_795_176_680
CAPTURED = {"bob": "secret2", "alice": "secret1"}
"""The passwords of the captured calls, found by trying what people write into examples."""


def captured() -> list[bytes]:
    return [octets for where, kind, octets in frames() if where.startswith("d6-gk-auth-ok") and kind == "RAS"]


def test_every_proof_that_h323plus_and_gnugk_sent_fits_one_password_and_no_other() -> None:
    seen = []
    for data in captured():
        name, body = decode(Kind.RAS, data)
        proof = find_proof(body)
        if proof is not None:
            fits = [password for password in ("secret1", "secret2", "secret3", "") if proof.fits(password, data)]
            assert len(fits) == 1, (name, fits)
            seen.append((name, fits[0]))
    assert ("registrationRequest", "secret2") in seen
    assert ("registrationConfirm", "secret1") in seen
    assert {"admissionRequest", "admissionConfirm", "disengageRequest", "unregistrationConfirm"} <= {
        one for one, _ in seen
    }
    assert len(seen) >= 12


def request(scheme: Scheme, password: str = "secret", time: int = NOW, random: int = 5, sequence: int = 7) -> bytes:
    body = messages.filled("disengageConfirm", {"requestSeqNum": sequence})
    match scheme:
        case Scheme.HMAC:
            return signed("disengageConfirm", body, Signer("ann", password, "gk"), time, Random(random))
        case Scheme.CAT:
            return messages.write("disengageConfirm", {**body, "tokens": [cat_token("ann", password, time, random)]})
        case Scheme.MD5:
            return messages.write("disengageConfirm", {**body, "cryptoTokens": [md5_token("ann", password, time)]})
        case Scheme.CLEAR:
            token = {"tokenOID": "0.0", "generalID": "ann", "password": password}
            return messages.write("disengageConfirm", {**body, "tokens": [token]})


@pytest.mark.parametrize("scheme", Scheme)
def test_a_proof_fits_its_password_alone(scheme: Scheme) -> None:
    data = request(scheme)
    proof = find_proof(messages.read(data).body)
    assert proof is not None
    assert (proof.scheme, proof.name) == (scheme, "ann")
    assert proof.fits("secret", data)
    assert not proof.fits("Secret", data)


def test_a_message_that_was_changed_behind_its_hash_is_not_believed() -> None:
    data = request(Scheme.HMAC)
    for at in range(len(data)):
        changed = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        try:
            message = messages.read(changed)
        except messages.BadRas:
            continue
        proof = find_proof(message.body)
        assert proof is None or not proof.fits("secret", changed), at


def check(guard: Guard, data: bytes, needed: str | None = "ann", host: str = "192.0.2.9", now: float = 0.0) -> object:
    message = messages.read(data)
    verdict = guard.check(data, message.name, message.body, needed, host, now, NOW + now)
    return verdict.problem or verdict.account


def guard(policy: Policy = Policy.REGISTERED) -> Guard:
    return Guard({"ann": "secret", "bob": "other"}, policy)


@pytest.mark.parametrize("scheme", Scheme)
def test_the_owner_of_an_account_is_believed(scheme: Scheme) -> None:
    assert check(guard(), request(scheme)) == "ann"


def test_an_unknown_user_and_a_wrong_password_get_the_same_answer() -> None:
    for scheme in Scheme:
        assert check(guard(), request(scheme, "wrong")) is Problem.WRONG
        assert check(Guard({"bob": "secret"}, Policy.ALL), request(scheme), "") is Problem.WRONG


def test_the_password_of_one_account_does_not_prove_another() -> None:
    assert check(guard(), request(Scheme.CAT), "bob") is Problem.WRONG


def test_nobody_must_prove_anything_where_that_is_off() -> None:
    assert check(guard(Policy.OFF), request(Scheme.HMAC, "wrong")) == ""


def test_a_request_without_proof_passes_only_where_none_is_needed() -> None:
    plain = messages.write("disengageConfirm", {"requestSeqNum": 1})
    assert check(guard(), plain) is Problem.MISSING
    assert check(guard(), plain, None) == ""


@pytest.mark.parametrize("scheme", [Scheme.HMAC, Scheme.CAT, Scheme.MD5])
def test_a_proof_counts_once_and_only_near_its_time(scheme: Scheme) -> None:
    one = guard()
    assert check(one, request(scheme)) == "ann"
    assert check(one, request(scheme)) is Problem.REPLAYED
    assert check(one, request(scheme, random=6, sequence=8)) == "ann"
    assert check(one, request(scheme, time=NOW - CLOCK_DIFFERENCE - 1)) is Problem.STALE
    assert check(one, request(scheme, time=NOW + CLOCK_DIFFERENCE + 1)) is Problem.STALE


def test_a_proof_that_was_forgotten_does_not_count_again() -> None:
    one = guard()
    first = request(Scheme.HMAC, time=NOW - 10)
    assert check(one, first) == "ann"
    for number in range(MAX_SEEN + 1):
        assert check(one, request(Scheme.HMAC, time=NOW - 5 + number // 1000, random=number)) == "ann"
    assert check(one, first) is Problem.REPLAYED


def test_who_guesses_is_turned_away_for_a_while_though_the_right_password_comes() -> None:
    one = guard()
    for number in range(5):
        assert check(one, request(Scheme.HMAC, "wrong", random=number)) is Problem.WRONG
    assert check(one, request(Scheme.HMAC, random=50)) is Problem.PAUSED
    assert check(one, request(Scheme.HMAC, random=51), host="192.0.2.8") == "ann"
    assert check(one, request(Scheme.HMAC, time=NOW + 60, random=52), now=60.0) == "ann"
