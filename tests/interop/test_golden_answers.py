"""What the running gateway answers to offers of every shape, line for line; what it refuses, and with which status.

The offers are those of `tests/sip/golden` and `tests/sip/golden/running`, sent over a real socket to a gateway of its
own. What differs from run to run is named: PORT1 is the first port that an answer names, PORT2 the next one.
`ROOMBRIDGE_WRITE_GOLDEN=1` in the environment writes the answers instead of comparing them: read the difference.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from starting import LendGateway, StartGateway

from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

GOLDEN = Path(__file__).parent.parent / "sip" / "golden"
RUNNING = GOLDEN / "running"
OFFERS = sorted([*GOLDEN.glob("*.offer.sdp"), *RUNNING.glob("*.offer.sdp")], key=lambda path: path.name)
REFUSED = sorted((RUNNING / "refused").glob("*.sdp"))
_VOLATILE = (
    (r"(?m)^(o=\S+) \d+ \d+ ", r"\1 ID VERSION "),
    (r"a=ice-ufrag:.*", "a=ice-ufrag:USER"),
    (r"a=ice-pwd:.*", "a=ice-pwd:PASSWORD"),
    (r"(a=fingerprint:sha-256) .*", r"\1 FINGERPRINT"),
    (r"inline:\S+", "inline:KEY"),
    (r"a=ssrc:\d+ cname:.*", "a=ssrc:SSRC cname:NAME"),
    (r"(a=candidate:)\S+ ", r"\1FOUNDATION "),
)


def normal(answer: str) -> str:
    """Name what differs from run to run."""
    text = answer.replace("\r\n", "\n")
    for pattern, named in _VOLATILE:
        text = re.sub(pattern, named, text)
    ports: dict[str, str] = {}

    def port(found: re.Match[str]) -> str:
        number = found[2]
        return found[1] + ("0" if number == "0" else ports.setdefault(number, f"PORT{len(ports) + 1}"))

    text = re.sub(r"(?m)^(m=\S+ )(\d+)", port, text)
    return re.sub(r"(?m)^(a=candidate:FOUNDATION \d \S+ \d+ \S+ )(\d+)", port, text)


class Caller:
    """Sends an INVITE by UDP, tells what comes back, and hangs up."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.connect((host, port))
        self._socket.setblocking(False)
        self._shown = f"[{host}]" if ":" in host else host
        self._here = f"{self._shown}:{self._socket.getsockname()[1]}"
        self._call = secrets.token_hex(8)
        self._to = f"<sip:100@{self._shown}>"

    def _send(self, method: str, number: int, body: bytes = b"") -> None:
        branch = f"z9hG4bK{self._call}{method}{number}"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        head = (
            f"{method} sip:100@{self._shown} SIP/2.0\r\nVia: SIP/2.0/UDP {self._here};branch={branch}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:golden@{self._shown}>;tag=golden\r\nTo: {self._to}\r\n"
            f"Call-ID: {self._call}\r\nCSeq: {number} {method}\r\nContact: <sip:golden@{self._here}>\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n"
        )
        self._socket.send(head.encode() + body)

    async def _final(self) -> tuple[int, str, str]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            while True:
                text = (await loop.sock_recv(self._socket, 65_536)).decode()
                head, _, body = text.partition("\r\n\r\n")
                status = int(head.split()[1]) if head.startswith("SIP/2.0") else 0
                if status >= 200:
                    return status, head, body

    async def ask(self, offer: bytes, answer: str = "") -> tuple[int, str, str]:
        """Return status, head and body of the final response; the call is ended at once."""
        self._send("INVITE", 1, offer.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        status, head, body = await self._final()
        found = re.search(r"(?mi)^(?:To|t): *(.*?)\r?$", head)
        assert found is not None
        self._to = found[1]
        self._send("ACK", 1, answer.encode())
        if status == 200:
            self._send("BYE", 2)
            await self._final()
        self._socket.close()
        return status, head, body


@pytest_asyncio.fixture
async def gateway(lend_gateway: LendGateway) -> AsyncIterator[GatewayProcess]:
    yield await lend_gateway()


async def test_every_offer_gets_its_golden_answer(gateway: GatewayProcess) -> None:
    wrong = []
    for path in OFFERS:
        status, head, body = await Caller(gateway.udp).ask(path.read_bytes())
        assert status == 200, f"{path.name}: {head}"
        kept = RUNNING / path.name.replace(".offer.", ".answer.")
        said = normal(body)
        if os.environ.get("ROOMBRIDGE_WRITE_GOLDEN"):
            kept.write_text(said)
        elif not kept.exists() or kept.read_text() != said:
            wrong.append(f"{path.name}:\n{said}")
    assert not wrong, "\n".join(wrong)
    assert len(OFFERS) >= 20
    assert await gateway.participants() == []


async def test_bad_offers_are_refused_with_the_right_status_and_say_why(gateway: GatewayProcess) -> None:
    for path in REFUSED:
        status, head, _ = await Caller(gateway.udp).ask(path.read_bytes())
        assert status == int(path.name.split(".")[1]), f"{path.name}: {head}"
        assert "\r\nReason: SIP;cause=" in head, path.name
    assert len(REFUSED) >= 12
    assert await gateway.participants() == []


async def test_a_listener_that_requires_encryption_refuses_plain_media(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(sip={"srtp": {"udp": "require"}})
    plain = (GOLDEN / "yealink.offer.sdp").read_bytes()
    status, head, _ = await Caller(gateway.udp).ask(re.sub(rb"(?m)^a=crypto.*\n", b"", plain))
    assert status == 488
    assert "encrypted" in head
    for name in ("yealink-open", "baresip-dtls", "jssip-chromium"):
        assert (await Caller(gateway.udp).ask((RUNNING / f"{name}.offer.sdp").read_bytes()))[0] == 200


async def test_one_that_never_encrypts_answers_open_offers_in_clear_and_refuses_others(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway(media={"srtp": "off"})
    for name in ("yealink-open", "open-by-fingerprint"):
        status, _, body = await Caller(gateway.udp).ask((RUNNING / f"{name}.offer.sdp").read_bytes())
        assert status == 200
        assert "crypto" not in body
        assert "fingerprint" not in body
    for name in ("baresip-dtls", "ice-lite"):
        assert (await Caller(gateway.udp).ask((RUNNING / f"{name}.offer.sdp").read_bytes()))[0] == 488


@pytest.mark.parametrize("offer", [{}, {"dtls": True}, {"ice": True}, {"dtls": True, "ice": True}], ids=str)
async def test_a_late_offer_holds_what_the_configuration_says(
    start_gateway: StartGateway, offer: dict[str, bool]
) -> None:
    gateway = await start_gateway(sip={"offer": offer})
    answer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
    status, _, body = await Caller(gateway.udp).ask(b"", answer + "m=video 0 RTP/AVP 31\r\n")
    assert status == 200
    assert ("a=fingerprint" in body) is offer.get("dtls", False)
    assert ("a=crypto" in body) is not offer.get("dtls", False)
    assert ("a=ice-ufrag" in body) is offer.get("ice", False)
    assert body.count("m=") == 2
    assert "m=audio 0" not in body


async def test_a_dual_stack_gateway_answers_each_peer_in_its_own_family(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(listen={"address": "::"}, media={"address": "::"})
    for host, family in (("127.0.0.1", "IN IP4 127.0.0.1"), ("::1", "IN IP6 ::1")):
        kind = family.split()[1]
        offer = f"v=0\r\no=- 1 1 IN {kind} {host}\r\ns=-\r\nc=IN {kind} {host}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
        status, _, body = await Caller(gateway.udp, host).ask(offer.encode())
        assert status == 200
        assert f"c={family}\r\n" in body
    text = (RUNNING / "two-families.offer.sdp").read_bytes()
    status, _, body = await Caller(gateway.udp, "::1").ask(text)
    assert status == 200
    assert re.findall(r"m=audio (\d+)", body)[1] == "0", "the first family is the one that the peer prefers"
