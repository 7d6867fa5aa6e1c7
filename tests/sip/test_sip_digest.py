"""Digest authentication: the RFC's own examples, what is read and refused, nonces, counts and guesses."""

from __future__ import annotations

import random
import time

import pytest

import sip.digest
from sip.accounts import Account, Accounts
from sip.digest import (
    STRENGTH,
    Algorithm,
    BadDigest,
    Challenge,
    Credentials,
    Qop,
    challenges_of,
    credentials_of,
    make_ha1,
    parse_challenge,
    parse_credentials,
)
from sip.digest_client import Attempt, Login
from sip.digest_server import MAX_NONCES, NONCE_LIFE, WINDOW, DigestServer, Outcome
from sip.headers import Headers
from sip.message import Request, Response

ADDRESS = "198.51.100.7"
NONCE_3_9_1 = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE_3_9_1 = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        (Algorithm.MD5, "8ca523f5e9506fed4657c9700eebdbec"),
        (Algorithm.SHA_256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616_section_3_9_1_comes_out(algorithm: Algorithm, response: str) -> None:
    ha1 = make_ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life")
    given = Credentials(
        "Mufasa",
        "http-auth@example.org",
        NONCE_3_9_1,
        "/dir/index.html",
        "",
        algorithm,
        Qop.AUTH,
        CNONCE_3_9_1,
        "00000001",
    )
    assert given.expected(ha1, "GET", b"") == response


def test_the_example_of_section_3_9_2_comes_out_as_erratum_4897_corrects_it() -> None:
    """The RFC's own figures were made with SHA-512 cut in half, which is another function."""
    algorithm = Algorithm.SHA_512_256
    ha1 = make_ha1(algorithm, "J\u00e4s\u00f8n Doe", "api@example.org", "Secret, or not?")
    nonce, cnonce = "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    given = Credentials("", "api@example.org", nonce, "/doe.json", "", algorithm, Qop.AUTH, cnonce, "00000001")
    assert given.expected(ha1, "GET", b"") == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


# on the wire

CREDENTIALS = bytes.fromhex(
    "446967657374 20"  # Digest
    "757365726e616d653d 22616e6e22 2c20"  # username="ann",
    "7265616c6d3d 22726f6f6d22 2c20"  # realm="room",
    "6e6f6e63653d 226e3122 2c20"  # nonce="n1",
    "7572693d 227369703a726f6f6d22 2c20"  # uri="sip:room",
    "726573706f6e73653d 224142222c20"  # response="AB", in capitals: taken
    "616c676f726974686d3d 5348412d323536 2c20"  # algorithm=SHA-256,
    "716f703d 61757468 2c20"  # qop=auth, no quotes
    "636e6f6e63653d 2263312c22 2c20"  # cnonce="c1,": the comma is quoted
    "6e633d 3030303030303061"  # nc=0000000a
).decode()
CHALLENGE = bytes.fromhex(
    "446967657374 20"  # Digest
    "7265616c6d3d 22726f6f6d22 2c"  # realm="room",
    "6e6f6e63653d 226e3122 2c"  # nonce="n1",
    "616c676f726974686d3d 22 4d4435 22 2c"  # algorithm="MD5", in quotes as some servers write it
    "716f703d 22617574682c617574682d696e7422 2c"  # qop="auth,auth-int",
    "7374616c653d 54525545"  # stale=TRUE
).decode()


def test_credentials_are_read_and_printed() -> None:
    given = parse_credentials(CREDENTIALS)
    assert given == Credentials(
        "ann", "room", "n1", "sip:room", "ab", Algorithm.SHA_256, Qop.AUTH, "c1,", "0000000a", None
    )
    assert given.count == 10
    assert parse_credentials(str(given)) == given


def test_a_challenge_is_read_and_printed() -> None:
    found = parse_challenge(CHALLENGE)
    assert found == Challenge("room", "n1", Algorithm.MD5, (Qop.AUTH, Qop.AUTH_INT), stale=True)
    assert parse_challenge(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "Basic dXNlcg==",
        "Digest",
        CREDENTIALS.replace('username="ann", ', ""),  # nobody
        CREDENTIALS.replace("SHA-256", "AKAv1-MD5"),  # an algorithm of telephones with SIM cards
        CREDENTIALS.replace("qop=auth", "qop=auth-conf"),
        CREDENTIALS.replace("nc=0000000a", "nc=a"),  # nc has eight digits
        CREDENTIALS.replace("nc=0000000a", "nc=0000000g"),
        CREDENTIALS.replace(', cnonce="c1,"', ""),
        CREDENTIALS + ", userhash=true",
        CREDENTIALS + ", nc=0000000b",  # said twice
        CREDENTIALS.replace("SHA-256", "SHA-256-sess").replace("qop=auth, ", ""),
    ],
)
def test_credentials_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(BadDigest):
        parse_credentials(text)


@pytest.mark.parametrize(
    "text",
    [
        "NTLM abc",
        'Digest nonce="n1"',
        'Digest realm="room", nonce=""',
        CHALLENGE.replace('"MD5"', "SHA-1"),
        CHALLENGE.replace('"auth,auth-int"', '"auth-conf"'),
    ],
)
def test_challenges_that_nobody_can_answer_are_passed_over(text: str) -> None:
    with pytest.raises(BadDigest):
        parse_challenge(text)
    assert challenges_of(Headers([("WWW-Authenticate", text)]), "WWW-Authenticate") == []


def test_several_values_in_one_field_are_told_apart() -> None:
    both = Headers([("WWW-Authenticate", CHALLENGE + ", " + CHALLENGE.replace('"MD5"', "SHA-256"))])
    assert [one.algorithm for one in challenges_of(both, "www-authenticate")] == [Algorithm.MD5, Algorithm.SHA_256]


def test_credentials_of_another_realm_are_not_ours() -> None:
    headers = Headers([("Authorization", CREDENTIALS), ("Authorization", CREDENTIALS.replace("room", "hall"))])
    found = credentials_of(headers, "Authorization", "hall")
    assert found is not None
    assert found.realm == "hall"
    assert credentials_of(headers, "Authorization", "cellar") is None


# both sides


class House:
    """A server with one account, and clients of it."""

    def __init__(self, **options: object) -> None:
        self.accounts = Accounts("room", [Account("ann", "secret")])
        self.server = DigestServer("room", self.accounts, random.Random(3), **options)  # type: ignore[arg-type]
        self.now = 100.0

    def client(self, user: str = "ann", password: str = "secret") -> Login:
        return Login(user, password, random.Random(4))

    def refusal(self, stale: bool = False, address: str = ADDRESS) -> Response:
        values = self.server.challenges(self.now, address, stale)
        return Response(401, "", Headers([("WWW-Authenticate", value) for value in values]))

    def judge(self, request: Request, address: str = ADDRESS) -> Outcome:
        return self.server.judge(request, address, self.now).outcome


def register(body: bytes = b"") -> Request:
    return Request("REGISTER", "sip:room", Headers([("CSeq", "1 REGISTER"), ("Via", "SIP/2.0/UDP x")]), body)


def answered(house: House, login: Login, body: bytes = b"") -> Request:
    again = Attempt(login).answer(register(body), house.refusal())
    assert again is not None
    return again


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("qop", [Qop.AUTH, Qop.AUTH_INT])
def test_who_knows_the_password_is_let_in(algorithm: Algorithm, qop: Qop) -> None:
    house = House(qops=(Qop.AUTH, Qop.AUTH_INT))
    values = [
        str(Challenge("room", parse_challenge(value).nonce, algorithm, (qop,)))
        for value in house.server.challenges(house.now, ADDRESS)[:1]
    ]
    refusal = Response(401, "", Headers([("WWW-Authenticate", value) for value in values]))
    again = Attempt(house.client()).answer(register(b"body"), refusal)
    assert again is not None
    assert again.cseq.number == 2
    assert "Via" not in again.headers
    assert house.server.judge(again, ADDRESS, house.now).user == "ann"


def test_challenges_come_strongest_first_and_the_first_known_is_answered() -> None:
    house = House()
    refusal = house.refusal()
    assert [one.algorithm for one in challenges_of(refusal.headers, "WWW-Authenticate")] == list(STRENGTH)
    again = Attempt(house.client()).answer(register(), refusal)
    assert again is not None
    (value,) = again.headers.all("Authorization")
    assert parse_credentials(value).algorithm is Algorithm.SHA_512_256


def test_a_changed_body_fails_auth_int_and_no_other() -> None:
    for qop, outcome in ((Qop.AUTH, Outcome.RIGHT), (Qop.AUTH_INT, Outcome.WRONG)):
        house = House(qops=(qop,))
        request = answered(house, house.client(), b"offer")
        request.body = b"other"
        assert house.judge(request) is outcome


def test_a_request_without_or_with_foreign_credentials_is_challenged() -> None:
    house = House()
    assert house.judge(register()) is Outcome.MISSING
    foreign = register()
    foreign.headers.add("Authorization", CREDENTIALS.replace("room", "hall"))
    assert house.judge(foreign) is Outcome.MISSING
    malformed = register()
    malformed.headers.add("Authorization", "Digest x")
    assert house.judge(malformed) is Outcome.MALFORMED


def test_what_was_not_offered_is_not_taken() -> None:
    house = House(algorithms=(Algorithm.SHA_256,))
    request = register()
    request.headers.add("Authorization", CREDENTIALS.replace("SHA-256", "MD5"))
    assert house.judge(request) is Outcome.MALFORMED
    request.headers.set("Authorization", CREDENTIALS.replace("qop=auth", "qop=auth-int"))
    assert house.judge(request) is Outcome.MALFORMED


def test_where_bodies_must_be_covered_nothing_less_is_taken() -> None:
    house = House(qops=(Qop.AUTH_INT,))
    assert house.judge(answered(house, house.client())) is Outcome.RIGHT
    request = register()
    for qop in ("qop=auth", "opaque=x"):
        request.headers.set("Authorization", CREDENTIALS.replace("qop=auth", qop))
        assert house.judge(request) is Outcome.MALFORMED


def test_the_same_request_again_is_stale_and_not_judged() -> None:
    house = House()
    request = answered(house, house.client())
    assert house.judge(request) is Outcome.RIGHT
    assert house.judge(request) is Outcome.STALE


def test_counts_may_overtake_each_other_within_a_window() -> None:
    house = House()
    login = house.client()
    requests = [answered(house, login)]
    for _ in range(WINDOW + 1):
        later = register()
        login.authorize(later)
        requests.append(later)
    assert house.judge(requests[-1]) is Outcome.RIGHT
    assert house.judge(requests[5]) is Outcome.RIGHT
    assert house.judge(requests[5]) is Outcome.STALE
    assert house.judge(requests[0]) is Outcome.STALE, "older than the window"
    assert house.judge(requests[4]) is Outcome.RIGHT
    assert len(house.server) == 1


def test_a_nonce_grows_old() -> None:
    house = House()
    request = answered(house, house.client())
    house.now += NONCE_LIFE + 1
    assert house.judge(request) is Outcome.STALE


def test_a_nonce_of_another_address_or_another_hand_is_stale() -> None:
    house = House()
    request = answered(house, house.client())
    assert house.judge(request, "203.0.113.1") is Outcome.STALE
    restarted = DigestServer("room", house.accounts, random.Random(99))
    assert restarted.judge(request, ADDRESS, house.now).outcome is Outcome.STALE


@pytest.mark.parametrize("nonce", ["", "x", "6.ab.cd", "..", "6.ab\udcff.\udcff", "z" * 5000])
def test_a_made_up_nonce_is_stale(nonce: str) -> None:
    request = register()
    request.headers.add("Authorization", CREDENTIALS.replace("n1", nonce).replace("SHA-256", "MD5"))
    assert House().judge(request) is Outcome.STALE


def test_credentials_without_count_are_good_once() -> None:
    """RFC 2069's clients know no qop; their nonce cannot be counted, so it serves once."""
    house = House()
    nonce = parse_challenge(house.server.challenges(house.now, ADDRESS)[0]).nonce
    old = Response(401, "", Headers([("WWW-Authenticate", f'Digest realm="room", nonce="{nonce}"')]))
    again = Attempt(house.client()).answer(register(), old)
    assert again is not None
    assert "qop" not in (again.headers.get("Authorization") or "")
    assert house.judge(again) is Outcome.RIGHT
    assert house.judge(again) is Outcome.STALE


@pytest.mark.parametrize("user", ["ann", "nobody", "x" * 1000, "\u00e4\udcff"])
def test_an_unknown_user_and_a_wrong_password_are_alike_in_answer_and_work(
    user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()
    request = answered(house, house.client(user, "wrong"))
    hashed: list[str] = []
    real = sip.digest.digest
    monkeypatch.setattr("sip.digest.digest", lambda algorithm, data: hashed.append("") or real(algorithm, data))
    assert house.judge(request) is Outcome.WRONG
    assert len(hashed) == 2, "one hash of the request's line and one of all, whoever it is"


def test_an_unknown_user_is_told_so_no_sooner_than_one_with_a_wrong_password() -> None:
    """The shortest of many times is what the work costs; a machine that is busy only makes others longer."""
    house = House()
    requests = {user: answered(house, house.client(user, "wrong")) for user in ("ann", "stranger")}
    shortest = dict.fromkeys(requests, float("inf"))
    for _ in range(400):
        for user, request in requests.items():
            began = time.perf_counter()
            outcomes = [house.judge(request) for _ in range(5)]
            shortest[user] = min(shortest[user], time.perf_counter() - began)
            assert outcomes == [Outcome.WRONG] * 5
    assert 0.75 < shortest["stranger"] / shortest["ann"] < 1.33, shortest


def test_challenges_and_wrong_answers_leave_nothing_behind() -> None:
    house = House()
    for _ in range(50):
        assert house.judge(answered(house, house.client("ann", "wrong"))) is Outcome.WRONG
    assert len(house.server) == 0


def test_the_table_of_nonces_is_bounded_and_a_forgotten_nonce_serves_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_NONCES >= 10_000
    monkeypatch.setattr("sip.digest_server.MAX_NONCES", 3)
    house = House()
    first = answered(house, house.client())
    assert house.judge(first) is Outcome.RIGHT
    for _ in range(5):
        house.now += 1
        assert house.judge(answered(house, house.client())) is Outcome.RIGHT
        assert len(house.server) <= 3
    assert house.judge(first) is Outcome.STALE


def test_nonces_that_grew_old_leave_the_table() -> None:
    house = House()
    house.judge(answered(house, house.client()))
    house.now += 2 * NONCE_LIFE
    assert house.judge(answered(house, house.client())) is Outcome.RIGHT
    assert len(house.server) == 1


# the asking side


def test_a_wrong_password_is_tried_once() -> None:
    house = House()
    attempt = Attempt(house.client("ann", "wrong"))
    request = attempt.answer(register(), house.refusal())
    assert request is not None
    assert attempt.answer(request, house.refusal()) is None


def test_a_stale_nonce_is_followed_but_not_for_ever() -> None:
    house = House()
    attempt = Attempt(house.client())
    request: Request | None = register()
    tries = 0
    while request is not None:
        request = attempt.answer(request, house.refusal(stale=True))
        tries += 1
    assert tries == 5
    attempt = Attempt(house.client())
    refusal = house.refusal(stale=True)
    first = attempt.answer(register(), refusal)
    assert first is not None
    assert attempt.answer(first, refusal) is None, "the very nonce that was answered already"


def test_the_next_request_proves_itself_at_once_and_counts_on() -> None:
    house = House()
    login = house.client()
    assert house.judge(answered(house, login)) is Outcome.RIGHT
    for count in (2, 3):
        later = register()
        login.authorize(later)
        assert parse_credentials(later.headers.get("Authorization") or "").count == count
        assert house.judge(later) is Outcome.RIGHT


def test_a_proxy_and_a_server_are_answered_side_by_side() -> None:
    house = House()
    attempt = Attempt(house.client())
    proxy = Response(407, "", Headers([("Proxy-Authenticate", 'Digest realm="edge", nonce="p", qop="auth"')]))
    first = attempt.answer(register(), proxy)
    assert first is not None
    second = attempt.answer(first, house.refusal())
    assert second is not None
    assert len(second.headers.all("Proxy-Authorization")) == len(second.headers.all("Authorization")) == 1
    assert second.cseq.number == 3
    assert house.judge(second) is Outcome.RIGHT


def test_a_refusal_that_is_no_challenge_stands() -> None:
    attempt = Attempt(House().client())
    assert attempt.answer(register(), Response(403, "", Headers())) is None
    assert attempt.answer(register(), Response(401, "", Headers())) is None


# accounts


def test_what_is_offered_fits_every_account() -> None:
    key = make_ha1(Algorithm.MD5, "bob", "room", "secret")
    accounts = Accounts("room", [Account("ann", "secret"), Account("bob", ha1={Algorithm.MD5: key.upper()})])
    assert accounts.algorithms == (Algorithm.MD5,)
    assert accounts.ha1("bob") == {Algorithm.MD5: key}
    assert "secret" not in repr(accounts.get("ann"))


@pytest.mark.parametrize(
    "wrong",
    [
        [Account("ann")],
        [Account("ann", "a"), Account("ann", "b")],
        [Account("ann", ha1={Algorithm.MD5: "00"})],
        [Account("ann", ha1={Algorithm.MD5: "0" * 32}), Account("bob", ha1={Algorithm.SHA_256: "0" * 64})],
    ],
)
def test_accounts_that_cannot_work_are_refused(wrong: list[Account]) -> None:
    with pytest.raises(ValueError):
        Accounts("room", wrong)
