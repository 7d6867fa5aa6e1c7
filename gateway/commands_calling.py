"""Commands that have people called into rooms, and show how that goes. They join those of `gateway.commands`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from gateway.commands import ApiError, Client, Json, Room, calls, speaks

LOOK_EVERY = 0.5
"""Seconds between two looks at a call that is being made: people see that as at once."""
LONGEST_WAIT = 7_200.0
"""Seconds that a command waits at most; twenty tries with long pauses take hours, and go on without it."""

DIALLED_COLUMNS = {
    "ID": "id",
    "ROOM": "room",
    "TARGET": "target",
    "NAME": "name",
    "STATE": "state",
    "TRY": "number",
    "OF": "tries",
    "KEPT": "keep_connected",
    "WHY": "reason",
    "NEXT TRY": "next_try",
    "ASKED BY": "by",
}
"""Heading and key of what is shown of a dialled call."""


@calls.command("dial")
@speaks
def dial(
    client: Client,
    room: Room,
    target: Annotated[str, typer.Argument(help="An address: sip:, sips:, tel:, h323:, or user:NAME.")],
    name: Annotated[str, typer.Option(help="What the others read.")] = "",
    trunk: Annotated[str, typer.Option(help="The trunk to go through, where the rules allow several.")] = "",
    retries: Annotated[int, typer.Option(help="Further tries after busy, no answer and the like.")] = 0,
    pause: Annotated[float, typer.Option(help="Seconds between two tries.")] = 30.0,
    keep: Annotated[bool, typer.Option("--keep", help="Call again whenever the call is lost.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until it is answered, and show how it goes.")
    ] = True,
) -> None:
    """Call somebody into a room, and wait until that is answered. Ctrl-C gives it up."""
    body: dict[str, Json] = {"target": target, "name": name, "wait": False}
    body |= {"trunk": trunk} if trunk else {}
    body |= {"retries": retries, "pause": pause} if retries else {}
    body |= {"keep_connected": True} if keep else {}
    told = client.ask("POST", "rooms", room, "participants", body=body)
    if not wait:
        client.done(f"{target} is being called. End it with `calls hangup {told['id']}`.", told)
        return
    try:
        told = _follow(client, told)
    except KeyboardInterrupt:
        client.ask("DELETE", "dialled", told["id"])
        raise ApiError("Given up.") from None
    if told["state"] not in ("answered", "ended"):
        raise ApiError(f"{told['message'] or told['state']} ({told['reason'] or told['state']})")
    client.done(f"{name or target} is in, as participant {told['participant']}.", told)


def _follow(client: Client, told: Json) -> Json:
    """Show how a call goes until it is answered or over, and return what was told last."""
    before, deadline = None, time.monotonic() + LONGEST_WAIT
    while True:
        now = (told["state"], told["number"])
        if now != before and not client.as_json:
            _say(client, told)
        before = now
        if told["state"] not in ("dialling", "ringing", "waiting") or time.monotonic() > deadline:
            return told
        time.sleep(LOOK_EVERY)
        told = client.ask("GET", "dialled", told["id"])


def _say(client: Client, told: Json) -> None:
    match told["state"]:
        case "dialling":
            again = f" (try {told['number']})" if told["number"] > 1 else ""
            client.done(f"Calling {told['target']}{again} ...")
        case "ringing":
            client.done("It rings.")
        case "waiting":
            client.done(f"{told['message']} ({told['reason']}). It is tried again at {told['next_try']}.")


@calls.command("dialled")
@speaks
def list_dialled(client: Client) -> None:
    """List the calls that were asked for, those too that were over in the last ten minutes."""
    answer = client.ask("GET", "dialled")
    client.show(answer, DIALLED_COLUMNS, answer["dialled"])
