"""Commands against an HTTP server that answers as the API does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.certificates import keep_certificate
from gateway.cli import app

ROOM = {"id": "100", "name": "Everyone", "participants": 2, "max_participants": 50, "locked": False}
EVIL = "\x1b]0;owned\x07[bold]Ann[/]"
ANN = {"id": "p1", "name": EVIL, "protocol": "sip", "audio": {"in": "opus"}, "secure": True, "source": "192.0.2.1:5060"}
DIALLED = {
    "id": "d1",
    "room": "100",
    "target": "sip:b@c",
    "name": "",
    "state": "dialling",
    "number": 1,
    "tries": 1,
    "keep_connected": False,
    "reason": None,
    "message": None,
    "participant": None,
    "next_try": None,
    "by": "api",
}
CALL = {"id": "c1", "room": "100", "name": "Ann", "protocol": "sip", "inside": True}
MESSAGE = {"number": 1, "participant": "p1", "name": EVIL, "text": "Hello", "at": "2026-01-01T10:00:00Z"}
BINDING = {"account": "ann", "contact": "sip:ann@192.0.2.7", "seconds": 300, "agent": EVIL}
TRUNK = {"name": "carrier", "state": "down", "why": "503 Full", "registration": "waiting", "calls": 0}
ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "/api/v1/rooms"): {"rooms": [ROOM]},
    ("GET", "/api/v1/rooms/100"): ROOM,
    ("POST", "/api/v1/rooms"): ROOM,
    ("PATCH", "/api/v1/rooms/100"): ROOM,
    ("DELETE", "/api/v1/rooms/100"): None,
    ("GET", "/api/v1/rooms/100/participants"): {"participants": [ANN]},
    ("PATCH", "/api/v1/rooms/100/participants/p1"): ANN,
    ("DELETE", "/api/v1/rooms/100/participants/p1"): None,
    ("POST", "/api/v1/rooms/100/participants"): DIALLED,
    ("GET", "/api/v1/dialled"): {"dialled": [DIALLED]},
    ("GET", "/api/v1/dialled/d1"): {**DIALLED, "state": "answered", "participant": "p1"},
    ("DELETE", "/api/v1/dialled/d1"): None,
    ("POST", "/api/v1/rooms/100/participants/p1/move"): ANN,
    ("POST", "/api/v1/rooms/100/participants/p1/transfer"): None,
    ("POST", "/api/v1/rooms/100/announce"): None,
    ("GET", "/api/v1/rooms/100/waiting"): {"waiting": [ANN]},
    ("POST", "/api/v1/rooms/100/waiting/p1/admit"): None,
    ("DELETE", "/api/v1/rooms/100/waiting/p1"): None,
    ("GET", "/api/v1/rooms/100/messages"): {"messages": [MESSAGE]},
    ("POST", "/api/v1/rooms/100/messages"): MESSAGE,
    ("GET", "/api/v1/calls"): {"calls": [CALL]},
    ("GET", "/api/v1/calls/c1"): CALL,
    ("DELETE", "/api/v1/calls/c1"): None,
    ("GET", "/api/v1/registrations"): {"registrations": [BINDING], "trunks": [TRUNK]},
    ("GET", "/api/v1/trunks"): {"trunks": [TRUNK]},
}


class Fake(ThreadingHTTPServer):
    """Remembers what it was asked."""

    asked: list[tuple[str, str, Any]]
    html = False


class Handler(BaseHTTPRequestHandler):
    server: Fake

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, json.loads(body) if body else None))
        known = (self.command, self.path) in ANSWERS
        content = ANSWERS.get((self.command, self.path))
        if callable(content):
            content = content()
        status = 200 if content is not None else 204
        if self.headers["Authorization"] != "Bearer right":
            status, content = 401, {"reason": "authentication-needed", "message": "Credentials are needed"}
        elif not known:
            status, content = 404, {"reason": "no-such-room", "message": "There is no such room"}
        data = b"<html>" if self.server.html else b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 (the library's names)

    def log_message(self, *ignored: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    server = Fake(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("ROOMBRIDGE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("ROOMBRIDGE_TOKEN", "right")
    monkeypatch.setenv("COLUMNS", "160")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def run(*words: str) -> tuple[int, str]:
    """Return status and what was printed."""
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("words", "method", "path", "body"),
    [
        ("rooms list", "GET", "/rooms", None),
        ("rooms show 100", "GET", "/rooms/100", None),
        ("rooms lock 100", "PATCH", "/rooms/100", {"locked": True}),
        ("rooms unlock 100", "PATCH", "/rooms/100", {"locked": False}),
        ("rooms delete 100", "DELETE", "/rooms/100", None),
        ("rooms messages 100", "GET", "/rooms/100/messages", None),
        ("rooms say 100 Hello", "POST", "/rooms/100/messages", {"text": "Hello"}),
        ("rooms say 100 Hello --name Bell", "POST", "/rooms/100/messages", {"text": "Hello", "name": "Bell"}),
        ("rooms announce 100 alone goodbye", "POST", "/rooms/100/announce", {"prompts": ["alone", "goodbye"]}),
        (
            "rooms announce 100 alone --language de",
            "POST",
            "/rooms/100/announce",
            {"prompts": ["alone"], "language": "de"},
        ),
        ("rooms waiting 100", "GET", "/rooms/100/waiting", None),
        ("participants admit 100 p1", "POST", "/rooms/100/waiting/p1/admit", None),
        ("participants refuse 100 p1", "DELETE", "/rooms/100/waiting/p1", None),
        ("participants role 100 p1 host", "PATCH", "/rooms/100/participants/p1", {"rank": "host"}),
        ("participants list 100", "GET", "/rooms/100/participants", None),
        ("participants mute 100 p1", "PATCH", "/rooms/100/participants/p1", {"muted": True}),
        ("participants unmute 100 p1", "PATCH", "/rooms/100/participants/p1", {"muted": False}),
        ("participants spotlight 100 p1", "PATCH", "/rooms/100/participants/p1", {"spotlight": True}),
        ("participants spotlight 100 p1 --off", "PATCH", "/rooms/100/participants/p1", {"spotlight": False}),
        ("participants move 100 p1 200", "POST", "/rooms/100/participants/p1/move", {"room": "200"}),
        ("participants transfer 100 p1 sip:b@c", "POST", "/rooms/100/participants/p1/transfer", {"target": "sip:b@c"}),
        ("participants transfer 100 p1 p2", "POST", "/rooms/100/participants/p1/transfer", {"participant": "p2"}),
        (
            "calls dial 100 sip:b@c --no-wait",
            "POST",
            "/rooms/100/participants",
            {"target": "sip:b@c", "name": "", "wait": False},
        ),
        (
            "calls dial 100 sip:b@c --no-wait --name Bob --trunk t --retries 2 --pause 9",
            "POST",
            "/rooms/100/participants",
            {"target": "sip:b@c", "name": "Bob", "wait": False, "trunk": "t", "retries": 2, "pause": 9.0},
        ),
        (
            "calls dial 100 sip:b@c --no-wait --keep",
            "POST",
            "/rooms/100/participants",
            {"target": "sip:b@c", "name": "", "wait": False, "keep_connected": True},
        ),
        ("calls dialled", "GET", "/dialled", None),
        ("participants remove 100 p1", "DELETE", "/rooms/100/participants/p1", None),
        ("calls list", "GET", "/calls", None),
        ("calls show c1", "GET", "/calls/c1", None),
        ("calls hangup c1", "DELETE", "/calls/c1", None),
        ("registrations", "GET", "/registrations", None),
        ("trunks", "GET", "/trunks", None),
    ],
)
def test_each_command_asks_one_thing(api: Fake, words: str, method: str, path: str, body: Any) -> None:
    status, said = run(*words.split())
    assert status == 0, said
    assert api.asked == [(method, f"/api/v1{path}", body)]
    assert said.strip()


def test_a_call_that_is_made_is_followed_until_it_is_answered(api: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.commands_calling.LOOK_EVERY", 0.01)
    status, said = run("calls", "dial", "100", "sip:b@c")
    assert status == 0, said
    assert said.splitlines() == ["Calling sip:b@c ...", "sip:b@c is in, as participant p1."]
    assert [method for method, _, _ in api.asked] == ["POST", "GET"]


def test_a_call_that_fails_is_followed_through_its_tries(api: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.commands_calling.LOOK_EVERY", 0.01)
    why = {"reason": "busy", "message": "Busy"}
    course: list[Any] = [
        {**DIALLED, "state": "ringing"},
        {**DIALLED, "state": "waiting", "next_try": "soon", **why},
        {**DIALLED, "number": 2, **why},
        {**DIALLED, "number": 2, "state": "failed", **why},
    ]
    monkeypatch.setitem(ANSWERS, ("GET", "/api/v1/dialled/d1"), lambda: course.pop(0))
    status, said = run("calls", "dial", "100", "sip:b@c", "--retries", "1")
    assert status == 1
    assert said.splitlines() == [
        "Calling sip:b@c ...",
        "It rings.",
        "Busy (busy). It is tried again at soon.",
        "Calling sip:b@c (try 2) ...",
        "Busy (busy)",
    ]


def test_a_call_that_is_made_is_given_up_by_ctrl_c(api: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.commands_calling.time.sleep", interrupt)
    status, said = run("calls", "dial", "100", "sip:b@c")
    assert status == 1
    assert "Given up" in said
    assert api.asked[-1][:2] == ("DELETE", "/api/v1/dialled/d1")


def test_a_room_is_created_with_what_it_does_by_itself(api: Fake) -> None:
    status, said = run(
        "rooms", "create", "100", "--lobby", "--host-leaves", "end", "--entry", "tones", "--language", "de"
    )
    assert status == 0, said
    (_, _, body) = api.asked[0]
    assert (body["lobby"], body["host_leaves"], body["entry"], body["language"]) == (True, "end", "tones", "de")
    assert "idle_timeout" not in body


def test_a_room_is_created_with_what_was_given(api: Fake) -> None:
    status, said = run("rooms", "create", "100", "--name", "Everyone", "--guest-pin", "0042", "--layout", "1+5")
    assert status == 0, said
    wanted = {"id": "100", "name": "Everyone", "guest_pin": "0042", "layout": "1+5", "max_participants": 50}
    assert api.asked[0][2] == wanted


def test_a_list_is_a_table_with_what_matters(api: Fake) -> None:
    _, said = run("rooms", "list")
    assert said.splitlines()[0].split() == ["ROOM", "NAME", "PEOPLE", "AT", "MOST", "LOCKED", "PIN", "LAYOUT"]
    assert said.splitlines()[1].split() == ["100", "Everyone", "2", "50", "no", "-", "-"]


def test_json_is_what_the_api_told(api: Fake) -> None:
    _, said = run("rooms", "list", "--json")
    assert json.loads(said) == {"rooms": [ROOM]}


def test_a_stranger_s_name_moves_no_terminal(api: Fake) -> None:
    _, said = run("participants", "list", "100")
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "[bold]Ann[/]" in said


def test_registrations_show_phones_and_trunks(api: Fake) -> None:
    _, said = run("registrations")
    assert "sip:ann@192.0.2.7" in said
    assert "\x1b" not in said
    assert "carrier" in said
    assert "503 Full" in said


def test_what_is_typed_stays_one_part_of_the_address(api: Fake) -> None:
    run("rooms", "show", "../calls?x#y")
    assert api.asked[0][1] == "/api/v1/rooms/..%2Fcalls%3Fx%23y"


def test_a_refusal_is_told_with_its_reason(api: Fake) -> None:
    status, said = run("rooms", "show", "7")
    assert (status, said.strip()) == (1, "There is no such room (no-such-room)")


def test_a_wrong_token_says_where_to_give_the_right_one(api: Fake) -> None:
    status, said = run("rooms", "list", "--token", "wrong")
    assert status == 1
    assert "ROOMBRIDGE_TOKEN" in said


@pytest.mark.parametrize("token", ["a\nb", "ä"])
def test_a_token_that_cannot_be_sent_is_said(api: Fake, token: str) -> None:
    status, said = run("rooms", "list", "--token", token)
    assert (status, api.asked) == (1, [])
    assert "token" in said


def test_something_else_at_the_address_is_said(api: Fake) -> None:
    api.html = True
    status, said = run("rooms", "list")
    assert status == 1
    assert "is not Roombridge" in said


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1", "http://127.0.0.1:1", "127.0.0.1:8443", "http://[", "https://a b"]
)
def test_a_gateway_that_is_not_there_is_said_in_a_line(url: str) -> None:
    status, said = run("rooms", "list", "--token", "right", "--url", url)
    assert status == 1
    assert len(said.strip().splitlines()) == 1


def test_the_certificate_that_the_gateway_made_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: Fake
) -> None:
    import ssl

    certificate, key = keep_certificate(tmp_path, [])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    api.socket = context.wrap_socket(api.socket, server_side=True, do_handshake_on_connect=False)
    monkeypatch.setenv("ROOMBRIDGE_STATE", str(tmp_path / "other"))
    there = ["rooms", "list", "--url", f"https://127.0.0.1:{api.server_port}"]
    status, said = run(*there)
    assert status == 1
    assert "--certificate" in said
    assert run(*there, "--certificate", str(certificate))[0] == 0
    assert run(*there, "--insecure")[0] == 0
    monkeypatch.setenv("ROOMBRIDGE_STATE", str(tmp_path))
    assert run(*there)[0] == 0
