"""Commands that speak to a running gateway over its HTTP API: rooms, participants and calls.

Each command is a function of a `Client` and its own arguments; `speaks` adds the options that all of them share. What
the API tells may hold names that strangers chose, so that nothing of it is printed as markup or as control characters.
"""

from __future__ import annotations

import functools
import http.client
import inspect
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import quote, urlsplit

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

DEFAULT_URL = "https://127.0.0.1:8443"
TIMEOUT = 10.0
"""Seconds to wait for the gateway; it answers in milliseconds or not at all."""
MAX_ANSWER = 16 * 1024 * 1024
"""Octets of an answer: ten thousand rooms are below 4 MiB."""

Json = Any
Room = Annotated[str, typer.Argument(help="The room's id, as it is dialled.")]
Somebody = Annotated[str, typer.Argument(help="The participant's id, as `participants list` tells it.")]
CallKey = Annotated[str, typer.Argument(help="The call's id, as `calls list` or `calls dialled` tells it.")]


class ApiError(Exception):
    """The gateway refused, or was not reached; the text is for people."""


class Client:
    """Speaks to one gateway. With as_json, answers are printed as they came."""

    def __init__(self, url: str, token: str, trust: ssl.SSLContext | None, as_json: bool = False) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.as_json = as_json
        self._trust = trust
        self.console = Console()

    def ask(self, method: str, *path: str, body: Json = None, patience: float = TIMEOUT) -> Json:
        """Return the answer to one request below /api/v1, waiting so many seconds; None if it is empty.

        Raises ApiError.
        """
        url = "/".join([self.url, "api/v1", *(quote(part, safe="") for part in path)])
        request = urllib.request.Request(url, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=patience, context=self._trust) as answer:
                content = answer.read(MAX_ANSWER)
        except urllib.error.HTTPError as error:
            raise ApiError(_message(error)) from None
        except urllib.error.URLError as error:
            raise ApiError(f"{self.url} is not reached: {_why(error.reason)}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ApiError(f"{self.url} is not reached: {_why(error)}") from None
        try:
            return json.loads(content) if content else None
        except ValueError:
            raise ApiError(f"what answers at {self.url} is not Roombridge") from None

    def show(self, answer: Json, columns: dict[str, str], rows: Iterable[dict[str, Any]]) -> None:
        """Print rows as a table with these columns (heading: key, dots lead inside), or the answer as JSON."""
        if self.as_json:
            self.say_json(answer)
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in columns:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(_cell(row, key) for key in columns.values()))
        self.console.print(table if table.rows else Text("There are none.", "dim"))

    def show_one(self, answer: dict[str, Any]) -> None:
        """Print all that is told of one thing, a line each, or the answer as JSON."""
        if self.as_json:
            self.say_json(answer)
            return
        table = Table.grid(padding=(0, 2))
        for name in answer:
            table.add_row(Text(name.replace("_", " "), "bold"), _cell(answer, name))
        self.console.print(table)

    def done(self, sentence: str, answer: Json = None) -> None:
        """Say that something was done."""
        if self.as_json:
            self.say_json(answer)
        else:
            self.console.print(Text(plain(sentence)))

    def say_json(self, answer: Json) -> None:
        """Print an answer as JSON."""
        self.console.print(json.dumps(answer, indent=2), markup=False, highlight=False, soft_wrap=True)


def plain(text: str) -> str:
    """Return text without control characters, which could move a terminal's cursor or colours."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _cell(row: dict[str, Any], key: str) -> Text:
    value: Any = row
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None or value == "":
        return Text("-", "dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    return Text(plain(value if isinstance(value, str) else json.dumps(value)))


def _message(error: urllib.error.HTTPError) -> str:
    try:
        told = json.loads(error.read(MAX_ANSWER))
        text = f"{told['message']} ({told['reason']})"
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP status {error.code}"
    if error.code == 401:
        text += ". Give the API's token with --token or in ROOMBRIDGE_TOKEN."
    return text


def _why(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({reason.verify_message}). Name it with --certificate, or use --insecure"
        )
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason)


def trust_of(url: str, certificate: Path | None, insecure: bool) -> ssl.SSLContext | None:
    """Return what a gateway's certificate is checked against; by default the self-signed one of ./state too."""
    if urlsplit(url).scheme != "https":
        return None
    context = ssl.create_default_context()
    own = Path(os.environ.get("ROOMBRIDGE_STATE", "state")) / "certificate.pem"
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif certificate is not None:
        context.load_verify_locations(certificate)
    elif os.access(own, os.R_OK):
        context.load_verify_locations(own)
    return context


def _connect(
    url: Annotated[str, typer.Option(envvar="ROOMBRIDGE_URL", help="Where the gateway is.")] = DEFAULT_URL,
    token: Annotated[str, typer.Option(envvar="ROOMBRIDGE_TOKEN", help="The API's token.", show_default=False)] = "",
    certificate: Annotated[Path | None, typer.Option(help="PEM file to trust. [default: that of ./state]")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Trust any certificate.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> Client:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ApiError(f"{url} is no address of a gateway; one looks like {DEFAULT_URL}")
    if not token.isascii() or not token.isprintable():
        raise ApiError("the token holds characters that no token has")
    try:
        trust = trust_of(url, certificate, insecure)
    except (OSError, ValueError) as error:
        raise ApiError(f"{certificate or 'the certificate in the state directory'} cannot be used: {error}") from None
    return Client(url, token, trust, as_json)


def speaks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its client, and the options that say where and as whom; an ApiError ends it with status 1."""
    shared = inspect.signature(_connect).parameters
    own = list(inspect.signature(command).parameters.values())[1:]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        try:
            client = _connect(**{name: given.pop(name) for name in shared})
            command(client, **given)
        except ApiError as error:
            Console(stderr=True).print(Text(plain(str(error)), "red"), soft_wrap=True)
            raise typer.Exit(1) from None

    hints = get_type_hints(command, include_extras=True) | get_type_hints(_connect, include_extras=True)
    everything = [
        one.replace(annotation=hints[one.name], kind=inspect.Parameter.KEYWORD_ONLY) for one in [*own, *shared.values()]
    ]
    # A required parameter may follow one with a default only among keyword-only ones, which typer takes as well.
    run.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in everything}
    return run


rooms = typer.Typer(no_args_is_help=True, help="Rooms of a running gateway.")
participants = typer.Typer(no_args_is_help=True, help="Who is in a room.")
calls = typer.Typer(no_args_is_help=True, help="Calls that go on.")


@rooms.command("list")
@speaks
def list_rooms(client: Client) -> None:
    """List all rooms."""
    answer = client.ask("GET", "rooms")
    columns = {
        "ROOM": "id",
        "NAME": "name",
        "PEOPLE": "participants",
        "AT MOST": "max_participants",
        "LOCKED": "locked",
        "PIN": "guest_pin",
        "LAYOUT": "layout",
    }
    client.show(answer, columns, answer["rooms"])


@rooms.command("show")
@speaks
def show_room(client: Client, room: Room) -> None:
    """Show one room."""
    client.show_one(client.ask("GET", "rooms", room))


@rooms.command("create")
@speaks
def create_room(
    client: Client,
    room: Room,
    name: Annotated[str, typer.Option(help="What people read.")] = "",
    layout: Annotated[str, typer.Option(help="auto, grid, 1+5, 1+7 or speaker.")] = "auto",
    host_pin: Annotated[str | None, typer.Option(help="Who gives it is a host.")] = None,
    guest_pin: Annotated[str | None, typer.Option(help="With it, nobody enters without a PIN.")] = None,
    max_participants: Annotated[int, typer.Option(help="The room is full from here on.")] = 50,
    lobby: Annotated[bool, typer.Option("--lobby", help="Guests wait until a host is in.")] = False,
    when_locked: Annotated[str, typer.Option(help="Newcomers at the locked room: knock or refuse.")] = "knock",
    host_leaves: Annotated[str, typer.Option(help="When the last host leaves: continue or end.")] = "continue",
    host_leaves_after: Annotated[int, typer.Option(help="Seconds from then to the end.")] = 60,
    lone_timeout: Annotated[int, typer.Option(help="Seconds that somebody may be alone; 0: for ever.")] = 0,
    idle_timeout: Annotated[int, typer.Option(help="Seconds without a sign of life; 0: for ever.")] = 0,
    entry: Annotated[str, typer.Option(help="Heard when somebody comes or goes: none, tones or names.")] = "none",
    language: Annotated[str, typer.Option(help="What callers are spoken to in. [default: that of ivr]")] = "",
) -> None:
    """Make a room. It is kept until it is deleted."""
    body: dict[str, Json] = {"id": room, "name": name, "layout": layout, "max_participants": max_participants}
    behaviour: dict[str, tuple[Json, Json]] = {
        "lobby": (lobby, False),
        "when_locked": (when_locked, "knock"),
        "host_leaves": (host_leaves, "continue"),
        "host_leaves_after": (host_leaves_after, 60),
        "lone_timeout": (lone_timeout, 0),
        "idle_timeout": (idle_timeout, 0),
        "entry": (entry, "none"),
        "language": (language, ""),
    }
    body |= {key: value for key, (value, usual) in behaviour.items() if value != usual}
    body |= {key: pin for key, pin in (("host_pin", host_pin), ("guest_pin", guest_pin)) if pin is not None}
    client.done(f"Room {room} is there.", client.ask("POST", "rooms", body=body))


@rooms.command("lock")
@speaks
def lock_room(client: Client, room: Room) -> None:
    """Let nobody else in."""
    client.done(f"Room {room} is locked.", client.ask("PATCH", "rooms", room, body={"locked": True}))


@rooms.command("unlock")
@speaks
def unlock_room(client: Client, room: Room) -> None:
    """Let people in again."""
    client.done(f"Room {room} is open.", client.ask("PATCH", "rooms", room, body={"locked": False}))


@rooms.command("say")
@speaks
def say(
    client: Client,
    room: Room,
    text: Annotated[str, typer.Argument(help="What to say.")],
    name: Annotated[str | None, typer.Option(help="Who the others read that it comes from.")] = None,
) -> None:
    """Write a message to everybody in a room."""
    body = {"text": text} | ({} if name is None else {"name": name})
    client.done("Said.", client.ask("POST", "rooms", room, "messages", body=body))


@rooms.command("messages")
@speaks
def list_messages(client: Client, room: Room) -> None:
    """List the latest messages of a room."""
    answer = client.ask("GET", "rooms", room, "messages")
    client.show(answer, {"WHEN": "at", "WHO": "name", "MESSAGE": "text"}, answer["messages"])


@rooms.command("delete")
@speaks
def delete_room(client: Client, room: Room) -> None:
    """End everybody's call in a room, and forget the room."""
    client.done(f"Room {room} is gone.", client.ask("DELETE", "rooms", room))


@participants.command("list")
@speaks
def list_participants(client: Client, room: Room) -> None:
    """List everybody in a room."""
    answer = client.ask("GET", "rooms", room, "participants")
    columns = {
        "ID": "id",
        "NAME": "name",
        "BY": "protocol",
        "TALKS": "talking",
        "MUTED": "muted",
        "SOUND": "audio.in",
        "PICTURE": "video.in",
        "ENCRYPTED": "secure",
        "FROM": "source",
    }
    client.show(answer, columns, answer["participants"])


@participants.command("mute")
@speaks
def mute(client: Client, room: Room, participant: Somebody) -> None:
    """Mute a participant for all."""
    client.done("Muted.", client.ask("PATCH", "rooms", room, "participants", participant, body={"muted": True}))


@participants.command("unmute")
@speaks
def unmute(client: Client, room: Room, participant: Somebody) -> None:
    """Lift the muting of a participant."""
    client.done("Unmuted.", client.ask("PATCH", "rooms", room, "participants", participant, body={"muted": False}))


@participants.command("spotlight")
@speaks
def spotlight(
    client: Client,
    room: Room,
    participant: Somebody,
    off: Annotated[bool, typer.Option("--off", help="As before: large is who speaks.")] = False,
) -> None:
    """Have everybody see a participant large, whoever speaks."""
    said = "Nobody stands out now." if off else "Everybody sees it large."
    body = {"spotlight": not off}
    client.done(said, client.ask("PATCH", "rooms", room, "participants", participant, body=body))


@participants.command("move")
@speaks
def move(
    client: Client,
    room: Room,
    participant: Somebody,
    to: Annotated[str, typer.Argument(help="The id of the room that it is to be in.")],
) -> None:
    """Bring a participant into another room."""
    path = ("rooms", room, "participants", participant, "move")
    client.done(f"Moved to {to}.", client.ask("POST", *path, body={"room": to}))


@participants.command("transfer")
@speaks
def transfer(
    client: Client,
    room: Room,
    participant: Somebody,
    target: Annotated[str, typer.Argument(help="An address, as sip:ann@example.com; or another participant's id.")],
) -> None:
    """Have a participant call somebody else and leave us."""
    body = {"target": target} if ":" in target else {"participant": target}
    client.ask("POST", "rooms", room, "participants", participant, "transfer", body=body)
    client.done("It was asked to call there; it leaves when that is answered.")


@participants.command("remove")
@speaks
def remove(client: Client, room: Room, participant: Somebody) -> None:
    """End a participant's call."""
    client.done("Removed.", client.ask("DELETE", "rooms", room, "participants", participant))


@calls.command("list")
@speaks
def list_calls(client: Client) -> None:
    """List all calls that go on."""
    answer = client.ask("GET", "calls")
    columns = {
        "ID": "id",
        "ROOM": "room",
        "NAME": "name",
        "BY": "protocol",
        "IN": "inside",
        "ENCRYPTED": "secure",
        "FROM": "source",
        "PRODUCT": "agent",
    }
    client.show(answer, columns, answer["calls"])


@calls.command("show")
@speaks
def show_call(client: Client, call: CallKey) -> None:
    """Show one call that goes on."""
    client.show_one(client.ask("GET", "calls", call))


@calls.command("hangup")
@speaks
def hang_up(client: Client, call: CallKey) -> None:
    """End a call, or give up one that is being made."""
    client.done("Ended.", client.ask("DELETE", "calls", call))


@speaks
def registrations(client: Client) -> None:
    """List who is registered, and the trunks that we register with."""
    answer = client.ask("GET", "registrations")
    columns = {
        "ACCOUNT": "account",
        "NAME": "display_name",
        "CONTACT": "contact",
        "PROTOCOL": "protocol",
        "BY": "transport",
        "FROM": "source",
        "SECONDS": "seconds",
        "REACHED": "reachable",
        "PRODUCT": "agent",
    }
    client.show(answer, columns, answer["registrations"])
    if answer["trunks"] and not client.as_json:
        client.show(answer, TRUNK_COLUMNS, answer["trunks"])


@speaks
def trunks(client: Client) -> None:
    """List trunks and static peers, with their state."""
    answer = client.ask("GET", "trunks")
    client.show(answer, TRUNK_COLUMNS, answer["trunks"])


TRUNK_COLUMNS = {
    "TRUNK": "name",
    "SERVER": "server",
    "BY": "transport",
    "STATE": "state",
    "SINCE": "since",
    "WHY": "why",
    "REGISTRATION": "registration",
    "SECONDS": "seconds",
    "CALLS": "calls",
    "AT MOST": "max_calls",
}
"""Heading and key of what is shown of a trunk."""
