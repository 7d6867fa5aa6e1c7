"""The command line: `roombridge serve`, `check-config`, `bench`, and the commands that speak to a running gateway."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway import commands, commands_calling, commands_lobby
from gateway.config import Config, ConfigError, load
from transcode.logs import configure_logs

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One meeting for room systems, phones and browsers.",
)
commands_lobby.add()
app.add_typer(commands.rooms, name="rooms")
app.add_typer(commands.participants, name="participants")
app.add_typer(commands_calling.calls, name="calls")
app.command("registrations")(commands.registrations)
app.command("trunks")(commands.trunks)
console = Console()
errors = Console(stderr=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file; without it, the defaults.")]
StateOption = Annotated[
    Path | None, typer.Option("--state", help="Directory for certificate, database, token. [default: ./state]")
]


def read_config(path: Path | None) -> Config:
    """Load the configuration or end with its faults, one a line."""
    if path is None and Path("roombridge.yaml").is_file():
        path = Path("roombridge.yaml")
    try:
        return load(path)
    except ConfigError as error:
        complain("The configuration cannot be used", str(error))
        raise typer.Exit(2) from None


def complain(title: str, text: str) -> None:
    """Say on standard error what is wrong; the text may come from anywhere and is printed as it is."""
    between = ": " if "\n" not in text else ":\n  "
    errors.print(Text.assemble((title, "bold red"), between, text.replace("\n", "\n  ")), soft_wrap=True)


@app.command()
def serve(config: ConfigOption = None, state: StateOption = None) -> None:
    """Start the gateway and keep it running."""
    from gateway import app as house

    settings = read_config(config)
    configure_logs(os.environ.get("ROOMBRIDGE_LOG", ""))
    try:
        house.run(settings, house.state_directory(state), lambda started: banner(settings, started))
    except house.CannotStart as error:
        complain("Cannot start", str(error))
        raise typer.Exit(1) from None


SIP_TRANSPORTS = {"udp": (5060, ""), "tcp": (5060, ";transport=tcp"), "tls": (5061, ";transport=tls")}
"""The port that need not be written, and the URI parameter that asks for this transport (RFC 3261 §19.1.1)."""

H323_TRANSPORTS = {"signalling": (1720, ""), "tls": (1300, " TLS")}
"""The port that need not be written, and what to call it."""


def banner(config: Config, started: object) -> None:
    """Print what to dial, and the API token if it was made just now."""
    from gateway.app import Started

    assert isinstance(started, Started)
    address = started.addresses[0]
    bracketed = f"[{address}]" if ":" in address else address
    room = config.rooms[0].id if config.rooms else "ROOM"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    if started.web is not None:
        table.add_row("Browser", f"https://{bracketed}:{started.web}/r/{room}")
        if config.web.certificate is None:
            table.add_row("", "[dim]it warns once of the self-signed certificate[/]")
    for protocol, (usual, parameter) in SIP_TRANSPORTS.items():
        if protocol in started.sip:
            port = started.sip[protocol]
            suffix = "" if port == usual else f":{port}"
            table.add_row(f"SIP {protocol.upper()}", f"sip:{room}@{bracketed}{suffix}{parameter}")
    for name, (usual, parameter) in H323_TRANSPORTS.items():
        if name in started.h323:
            port = started.h323[name]
            suffix = "" if port == usual else f":{port}"
            table.add_row("H.323" + parameter, f"{bracketed}{suffix}##{room}")
    if config.h323.gatekeeper == "embedded" and "ras" in started.h323:
        table.add_row("Gatekeeper", f"{bracketed}:{started.h323['ras']}")
    if started.fresh_token:
        table.add_row("API token", started.fresh_token)
        table.add_row("", "[dim]note it now: it is shown once and kept nowhere[/]")
    if len(started.addresses) > 1:
        table.add_row("[dim]also at[/]", f"[dim]{', '.join(started.addresses[1:])}[/]")
    table.add_row("[dim]stop[/]", "[dim]Ctrl-C[/]")
    console.print(Panel(table, title="Roombridge is ready", title_align="left", border_style="green", expand=False))
    sys.stdout.flush()


@app.command("check-config")
def check_config(config: ConfigOption = None) -> None:
    """Read the configuration and say whether it can be used."""
    settings = read_config(config)
    rooms = ", ".join(room.id for room in settings.rooms)
    console.print(f"[green]The configuration is good.[/] Rooms: {rooms or 'none'}", highlight=False)


@app.command()
def bench(
    audio_legs: Annotated[int, typer.Option(help="G.711 legs.")] = 100,
    talking: Annotated[int, typer.Option(help="How many of them talk.")] = 3,
    video_legs: Annotated[int, typer.Option(help="SIP legs at 720p30 that share one picture.")] = 6,
    seconds: Annotated[int, typer.Option(help="Length of each measurement.")] = 20,
    call_rate: Annotated[int, typer.Option(help="Calls a second that are set up and torn down; 0: none.")] = 100,
    call_seconds: Annotated[int, typer.Option(help="Length of that, in each of two rounds.")] = 60,
    users: Annotated[int, typer.Option(help="Users that register; 0: none.")] = 10_000,
    h323_rate: Annotated[int, typer.Option(help="H.323 calls a second; 0: none.")] = 10,
    h323_seconds: Annotated[int, typer.Option(help="Length of that.")] = 20,
    write: Annotated[Path | None, typer.Option(help="File for the table.")] = Path("docs/capacity.md"),
) -> None:
    """Start a gateway, load it with calls and registrations, and print what they cost."""
    from gateway.bench.run import BenchOptions, main

    raise typer.Exit(
        main(
            BenchOptions(
                audio_legs,
                talking,
                video_legs,
                seconds,
                write,
                call_rate,
                call_seconds,
                users,
                h323_rate,
                h323_seconds,
            )
        )
    )


@app.command()
def probe(
    target: Annotated[str, typer.Argument(help="Room to call: sip:ROOM@HOST[:PORT].", show_default=False)],
    transport: Annotated[str, typer.Option(help="udp, tcp or tls; certificates are not checked.")] = "udp",
    user: Annotated[str, typer.Option(help="Account to call as.")] = "",
    password: Annotated[
        str, typer.Option(envvar="ROOMBRIDGE_PROBE_PASSWORD", help="Its password.", show_default=False)
    ] = "",
    registrar: Annotated[str, typer.Option(help="Register at HOST[:PORT] first.")] = "",
    srtp: Annotated[bool, typer.Option("--srtp", help="Encrypt sound, or fail.")] = False,
    duration: Annotated[int, typer.Option(help="Length of the call in seconds.", min=8, max=600)] = 10,
    timeout: Annotated[int, typer.Option(help="Seconds to wait for an answer.", min=1, max=120)] = 15,
    tone: Annotated[int, typer.Option(help="Tone to send, in Hz.", min=300, max=3300)] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Call a room with an independent SIP phone, and tell what came back.

    The room has to be an echo room. Exit status: 0 all is fine, 1 something is bad, 2 it could not be called.
    """
    from gateway.probe.options import BadTarget, ProbeOptions, read_target
    from gateway.probe.run import place, show
    from gateway.probe.verdict import Status, as_plain

    try:
        read_target(target)
    except BadTarget as error:
        complain("Cannot call", str(error))
        raise typer.Exit(Status.NOT_CALLED) from None
    if transport not in SIP_TRANSPORTS:
        complain("Cannot call", f"{transport} is no transport: udp, tcp or tls")
        raise typer.Exit(Status.NOT_CALLED)
    options = ProbeOptions(
        target,
        transport,
        user,
        password,
        registrar,
        srtp,
        duration,
        timeout,
        tone,  # type: ignore[arg-type]
    )
    status, report = place(options)
    if as_json:
        console.print_json(data=as_plain(report, status))
    else:
        show(console, status, report)
    raise typer.Exit(status)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
