"""Commands that speak to a running gateway: who waits before a room, who is a host, and what a room is told."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands import Client, Room, Somebody, participants, rooms, speaks

Waiting = Annotated[str, typer.Argument(help="The id of one who waits, as `rooms waiting` tells it.")]


def list_waiting(client: Client, room: Room) -> None:
    """List everybody who waits to be let into a room."""
    answer = client.ask("GET", "rooms", room, "waiting")
    columns = {"ID": "id", "NAME": "name", "AT": "stage", "SINCE": "since", "BY": "protocol", "FROM": "source"}
    client.show(answer, columns, answer["waiting"])


def admit(client: Client, room: Room, participant: Waiting) -> None:
    """Let somebody in who waits."""
    client.done("Admitted.", client.ask("POST", "rooms", room, "waiting", participant, "admit"))


def refuse(client: Client, room: Room, participant: Waiting) -> None:
    """Turn somebody away who waits."""
    client.done("Refused.", client.ask("DELETE", "rooms", room, "waiting", participant))


def announce(
    client: Client,
    room: Room,
    prompts: Annotated[list[str], typer.Argument(help="Names of prompts, one after the other: meeting-ends-soon")],
    language: Annotated[str | None, typer.Option(help="en, de, ...; the room's where none is given.")] = None,
) -> None:
    """Let everybody in a room hear prompts."""
    body = {"prompts": prompts} | ({} if language is None else {"language": language})
    client.done("Announced.", client.ask("POST", "rooms", room, "announce", body=body))


def role(
    client: Client,
    room: Room,
    participant: Somebody,
    role: Annotated[str, typer.Argument(help="host or guest.")],
) -> None:
    """Make a host or a guest of a participant."""
    answer = client.ask("PATCH", "rooms", room, "participants", participant, body={"rank": role})
    client.done(f"It is a {role} now.", answer)


def add() -> None:
    """Add these commands to those of rooms and participants."""
    rooms.command("waiting")(speaks(list_waiting))
    rooms.command("announce")(speaks(announce))
    for name, command in (("admit", admit), ("refuse", refuse), ("role", role)):
        participants.command(name)(speaks(command))
