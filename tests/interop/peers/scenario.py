"""SIPp scenarios made of steps, for one caller over UDP or TCP: what it sends, and what it must get in which order.

SIPp runs them with -nr: it repeats nothing by itself and takes nothing for a repetition, so that a scenario says
which message is lost, doubled or late.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from pathlib import Path

from peers.program import Program

from gateway.bench.ports import free_port

SDP = """v=0
o=sipp 1 {version} IN IP4 [local_ip]
s=-
c=IN IP4 {address}
t=0 0
m=audio 9 RTP/AVP {format}
a={direction}"""


def sdp(format: int = 0, direction: str = "sendrecv", address: str = "[local_ip]", version: int = 1) -> str:
    """Return a description with one stream of a static payload type."""
    return SDP.format(format=format, direction=direction, address=address, version=version)


def request(
    method: str,
    number: int,
    body: str = "",
    branch: str = "",
    tag: bool = True,
    contact: str = "caller",
    extra: str = "",
    kind: str = "application/sdp",
    forwards: int = 70,
    length: str = "[len]",
    uri: str = "",
    via: str = "",
) -> str:
    """Send a request of the call; two with the same number and method are the same one, if branch is not given.

    via is one of a hop before.
    """
    name = branch or f"{number}{method}"
    lines = [
        f"{method} {uri or ('[next_url]' if tag else 'sip:[service]@[remote_ip]:[remote_port]')} SIP/2.0",
        f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK-[pid]-[call_number]-{name}",
        *([f"Via: {via}"] if via else []),
        "From: <sip:caller@[local_ip]:[local_port]>;tag=[pid]x[call_number]",
        f"To: <sip:[service]@[remote_ip]:[remote_port]>{'[peer_tag_param]' if tag else ''}",
        "Call-ID: [call_id]",
        f"CSeq: {number} {method}",
        f"Contact: <sip:{contact}@[local_ip]:[local_port];transport=[transport]>",
        f"Max-Forwards: {forwards}",
        "Allow: INVITE, ACK, BYE, CANCEL, UPDATE",
        *([extra] if extra else []),
        *([f"Content-Type: {kind}"] if body else []),
        f"Content-Length: {length}",
    ]
    return send("\n".join(lines) + "\n\n" + body)


def send(text: str) -> str:
    """Send a message as it is written."""
    return f"<send><![CDATA[\n\n{text}\n\n]]></send>"


def answer(status: str, extra: str = "") -> str:
    """Answer the last request."""
    more = f"{extra}\n" if extra else ""
    copied = "[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]"
    return send(f"SIP/2.0 {status}\n{copied}\n{more}Content-Length: 0")


def expect(status: int, *patterns: str, cseq: str = "", then: str = "") -> str:
    """Wait for a response, whose text must match all patterns; 100 may come before. then is a label to go on at."""
    return _receive(f'response="{status}" rrs="true"', [*patterns, *([rf"CSeq: {cseq}"] if cseq else [])], then)


def asked(method: str, *patterns: str) -> str:
    """Wait for a request, whose text must match all patterns."""
    return _receive(f'request="{method}"', list(patterns), "")


def maybe(status: int, label: int) -> str:
    """Go on at a label if this response comes."""
    return f'<recv response="{status}" optional="true" rrs="true" next="{label}"/>'


TRYING = '<recv response="100" optional="true"/>'


def label(number: int) -> str:
    """Mark a place."""
    return f'<label id="{number}"/>'


def pause(milliseconds: int) -> str:
    """Do nothing for a while."""
    return f'<pause milliseconds="{milliseconds}"/>'


def _receive(what: str, patterns: list[str], then: str) -> str:
    following = f' next="{then}"' if then else ""
    if not patterns:
        return f"<recv {what}{following}/>"
    actions = "".join(
        f'<ereg regexp="{pattern}" search_in="msg" check_it="true" assign_to="{number}"/>'
        for number, pattern in enumerate(patterns, 1)
    )
    used = ",".join(str(number) for number in range(1, len(patterns) + 1))
    return f'<recv {what}{following}><action>{actions}</action></recv><Reference variables="{used}"/>'


def opening(body: str | None = None, extra: str = "", **more: str) -> list[str]:
    """Call and be answered."""
    return [
        request("INVITE", 1, sdp() if body is None else body, tag=False, extra=extra, **more),
        TRYING,
        expect(200),
        request("ACK", 1),
    ]


def closing(number: int) -> list[str]:
    """Hang up."""
    return [request("BYE", number), expect(200, cseq=f"{number} BYE")]


@dataclass(slots=True)
class Outcome:
    """How SIPp ended: 0 where all calls went as the scenario says; text is what it found wrong and exchanged."""

    status: int
    text: str = field(repr=False)


async def play(
    steps: list[str],
    place: Path,
    port: int,
    room: str = "100",
    transport: str = "udp",
    host: str = "127.0.0.1",
    calls: int = 1,
    options: tuple[str, ...] = ("-nr",),
    seconds: int = 40,
    trace: bool = True,
) -> Outcome:
    """Run a scenario to its end; trace keeps all messages, which many calls have too many of."""
    file = place / "scenario.xml"
    head = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="ours">\n'
    file.write_text(head + "\n".join(steps) + "\n</scenario>\n")
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    far = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    command = ["sipp", far, "-sf", str(file), "-s", room, "-m", str(calls), "-nostdin", "-i", host]
    command += ["-p", str(free_port(kind)), "-t", "u1" if transport == "udp" else "t1", *options]
    command += ["-timeout", f"{seconds}s", "-timeout_error", "-trace_err", "-error_file", str(place / "errors")]
    if trace:
        command += ["-trace_msg", "-message_file", str(place / "messages")]
    program = Program("sipp")
    await program.start(command, place)
    try:
        status = await program.wait(seconds + 10)
    finally:
        await program.stop()
    await asyncio.sleep(0)
    texts = [
        path.read_text(errors="replace")[-4000:] for path in (place / "errors", place / "messages") if path.exists()
    ]
    return Outcome(status, "\n".join(texts))
