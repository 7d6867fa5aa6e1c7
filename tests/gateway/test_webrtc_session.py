"""A browser's session against a desk and call that only note what they are asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gateway.calls import CallFacts, CallId, CallProtocol, KeyWay, Line
from gateway.reasons import Reason, Refused
from gateway.rooms.host_wishes import (
    HostWish,
    WantsCalled,
    WantsCancelled,
    WantsMoved,
    WantsSpotlight,
    WantsTransferred,
)
from gateway.webrtc import session as module
from gateway.webrtc.describe import read
from gateway.webrtc.messages import clean_name
from gateway.webrtc.session import BrowserSession, State
from transcode.media import Candidate, Dtls, Fingerprint, Ice, LegId, MediaDescription, Role, Setup, Transport, Wanted

OFFER = (Path(__file__).parent / "samples" / "chromium.sdp").read_text()
PATH = Transport(
    None,
    9,
    rtcp_mux=True,
    dtls=Dtls(Setup.ACTIVE, (Fingerprint("sha-256", ":".join(["CD"] * 32)),)),
    ice=Ice("wxyz", "abcdefghijklmnopqrstuv"),
)
CALL, LEG = CallId("call-1"), LegId("leg-1")
CANDIDATE = "candidate:1 1 udp 2122194687 127.0.0.1 44835 typ host"


@dataclass
class FakeCall:
    """Notes what the session asks of its call."""

    id: CallId = CALL
    leg: LegId = LEG
    participant_id: str = "p1"
    resume_token: str = "token-1"
    room_name: str = "Everyone"
    waits: bool = False
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    refuse: Refused | None = None

    def _described(self, remote: MediaDescription) -> MediaDescription:
        streams = [type(each)(each.id, each.kind, each.send, each.receive, PATH, each.role) for each in remote.streams]
        return MediaDescription(tuple(streams), remote.bundle)

    async def answer(self, remote: MediaDescription) -> MediaDescription:
        self.asked.append(("answer", [each.id for each in remote.streams]))
        if self.refuse:
            raise self.refuse
        return self._described(remote)

    async def offer(self, wanted: Wanted) -> MediaDescription:
        self.asked.append(("offer", wanted))
        return self._described(read(OFFER)[1])

    async def accept(self, remote: MediaDescription) -> None:
        self.asked.append(("accept", [each.id for each in remote.streams]))

    async def candidate(self, stream: str, candidate: Candidate | None) -> None:
        self.asked.append(("candidate", stream, candidate.port if candidate else None))

    async def connected(self) -> None:
        self.asked.append(("connected",))

    async def key_frame(self, role: Role | None = None) -> None:
        self.asked.append(("key_frame",))

    async def present(self, wanted: bool) -> None:
        self.asked.append(("present", wanted))

    async def dtmf(self, digit: str, duration: int, way: KeyWay = KeyWay.INFO) -> None:
        self.asked.append(("dtmf", digit, duration))

    async def wrote(self, text: str) -> None:
        self.asked.append(("wrote", text))

    async def fulfil(self, wish: HostWish) -> None:
        self.asked.append(("fulfil", wish))
        if self.refuse:
            raise self.refuse

    async def mute(self, audio: bool | None = None, video: bool | None = None) -> None:
        self.asked.append(("mute", audio, video))

    async def ended(self, reason: Reason) -> None:
        self.asked.append(("ended", reason))


class FakeDesk:
    """Lets everybody in, or nobody."""

    def __init__(self) -> None:
        self.call = FakeCall()
        self.facts: list[CallFacts] = []
        self.refuse: Refused | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def arrive(self, facts: CallFacts, line: Line) -> FakeCall:
        self.facts.append(facts)
        await self.gate.wait()
        if self.refuse:
            raise self.refuse
        return self.call


@pytest.fixture(autouse=True)
async def nobody_is_left_behind() -> AsyncIterator[None]:
    """End every session of a test, so that none of its tasks outlives it."""
    yield
    for browser in Browser.made:
        await browser.session.hang_up(Reason.SHUTDOWN)
    Browser.made.clear()


class Browser:
    """The other end of the session's WebSocket."""

    made: ClassVar[list[Browser]] = []

    def __init__(self, **more: Any) -> None:
        self.made.append(self)
        self.desk = FakeDesk()
        self.got: list[dict[str, Any]] = []
        self.broken = False
        self.stuck = False
        self.now = 0.0
        self.session = BrowserSession(
            self.desk, self._take, "192.0.2.1:5", "Mozilla/5.0", clock=lambda: self.now, **more
        )

    @property
    def asked(self) -> list[tuple[Any, ...]]:
        return self.desk.call.asked

    async def _take(self, message: dict[str, Any]) -> None:
        if self.broken:
            raise ConnectionError("the socket is gone")
        if self.stuck:
            await asyncio.Event().wait()
        json.dumps(message)
        self.got.append(message)

    async def says(self, type: str, **more: Any) -> dict[str, Any] | None:
        """Say something and return the last thing that came back for it."""
        before = len(self.got)
        await self.session.receive({"type": type, **more})
        return self.got[-1] if len(self.got) > before else None

    async def joins(self) -> None:
        await self.says("join", room="100", name="Ann")

    async def talks(self) -> None:
        await self.joins()
        await self.says("offer", sdp=OFFER)


async def test_joining_tells_who_one_is_and_how_to_come_back() -> None:
    browser = Browser()
    said = await browser.says("join", room=" 100 ", name=" Ann\x00\u202e  B\n", pin="42", resume="old")
    assert said == {
        "type": "joined",
        "participant": "p1",
        "resume": "token-1",
        "room": {"id": "100", "name": "Everyone"},
    }
    facts = browser.desk.facts[0]
    assert (facts.protocol, facts.called, facts.name, facts.pin, facts.resume) == (
        CallProtocol.WEBRTC,
        "100",
        "Ann B",
        "42",
        "old",
    )
    assert (facts.source, facts.agent, facts.secure) == ("192.0.2.1:5", "Mozilla/5.0", True)
    assert browser.session.participant_id == "p1"


async def test_a_refused_join_says_why_and_may_be_tried_again() -> None:
    browser = Browser()
    browser.desk.refuse = Refused(Reason.PIN_NEEDED)
    said = await browser.says("join", room="100", name="Ann")
    assert said == {"type": "error", "reason": "pin-needed", "message": "The room asks for a PIN", "fatal": False}
    browser.desk.refuse = None
    said = await browser.says("join", room="100", name="Ann", pin="1")
    assert said is not None
    assert said["type"] == "joined"


async def test_guessing_a_pin_ends_the_session() -> None:
    browser = Browser()
    browser.desk.refuse = Refused(Reason.WRONG_PIN)
    for _ in range(module.MAX_JOINS):
        said = await browser.says("join", room="100", pin="0")
    assert said is not None
    assert (said["reason"], said["fatal"]) == ("not-allowed", True)
    assert browser.session.state is State.ENDED
    await browser.says("join", room="100", pin="1")
    assert len(browser.desk.facts) == module.MAX_JOINS


async def test_an_offer_is_answered_and_then_the_participant_is_in() -> None:
    browser = Browser()
    await browser.joins()
    said = await browser.says("offer", sdp=OFFER)
    assert said is not None
    assert said["type"] == "answer"
    assert [each.id for each in read(said["sdp"])[1].streams] == ["0", "1", "2"]
    assert browser.asked == [("answer", ["0", "1", "2"]), ("connected",)]
    await browser.says("offer", sdp=OFFER)
    assert browser.asked[-1] == ("answer", ["0", "1", "2"])


async def test_an_offer_that_makes_no_sense_is_refused_and_the_next_one_is_taken() -> None:
    browser = Browser()
    await browser.joins()
    said = await browser.says("offer", sdp="v=0\r\nm=audio")
    assert said is not None
    assert (said["reason"], said["fatal"]) == ("bad-description", False)
    browser.desk.call.refuse = Refused(Reason.NO_COMMON_FORMAT)
    said = await browser.says("offer", sdp=OFFER)
    assert said is not None
    assert said["reason"] == "no-common-format"
    browser.desk.call.refuse = None
    said = await browser.says("offer", sdp=OFFER)
    assert said is not None
    assert said["type"] == "answer"


async def test_candidates_that_come_before_the_answer_are_kept_for_it() -> None:
    browser = Browser()
    await browser.joins()
    await browser.says("candidate", mid="0", candidate=CANDIDATE)
    assert browser.asked == []
    await browser.says("offer", sdp=OFFER)
    await browser.says("candidate", mid="0", candidate=CANDIDATE)
    await browser.says("candidate", mid="0", candidate=None)
    await browser.says("candidate", mid="0", candidate="")
    assert browser.asked == [
        ("answer", ["0", "1", "2"]),
        ("candidate", "0", 44835),
        ("connected",),
        ("candidate", "0", 44835),
        ("candidate", "0", None),
        ("candidate", "0", None),
    ]


async def test_too_many_candidates_are_left_out_and_said_once() -> None:
    browser = Browser()
    await browser.talks()
    errors = [await browser.says("candidate", mid="0", candidate=CANDIDATE) for _ in range(100)]
    assert len([each for each in browser.asked if each[0] == "candidate"]) == module.MAX_CANDIDATES
    assert len([each for each in errors if each]) == 1


async def test_keys_mutes_and_pings_are_passed_on() -> None:
    browser = Browser()
    await browser.talks()
    del browser.asked[:]
    await browser.says("mute", audio=True, video=False)
    await browser.says("mute", audio=None)
    await browser.says("dtmf", digit="a")
    assert await browser.says("ping") == {"type": "pong"}
    assert browser.asked == [("mute", True, False), ("mute", None, None), ("dtmf", "A", 100)]


@pytest.mark.parametrize(
    ("message", "wish"),
    [
        ({"type": "call", "target": " tel:+4930 ", "name": "A\x00nn"}, WantsCalled("tel:+4930", "Ann")),
        ({"type": "call", "target": "sip:a@b"}, WantsCalled("sip:a@b")),
        ({"type": "cancel", "id": "d1"}, WantsCancelled("d1")),
        ({"type": "move", "participant": "p2", "room": "200"}, WantsMoved("p2", "200")),
        ({"type": "spotlight", "participant": "p2"}, WantsSpotlight("p2")),
        ({"type": "spotlight", "participant": None}, WantsSpotlight(None)),
        ({"type": "transfer", "participant": "p2", "target": "sip:a@b"}, WantsTransferred("p2", "sip:a@b")),
    ],
)
async def test_what_a_host_wants_is_passed_on_and_told_where_it_cannot_be(
    message: dict[str, Any], wish: HostWish
) -> None:
    browser = Browser()
    await browser.talks()
    await browser.session.receive(message)
    assert browser.asked[-1] == ("fulfil", wish)
    assert browser.got[-1]["type"] == "answer", "nothing is said where it is done"
    browser.desk.call.refuse = Refused(Reason.NOT_ALLOWED)
    await browser.session.receive(message)
    said = browser.got[-1]
    assert (said["type"], said["what"], said["reason"]) == ("undone", message["type"], "not-allowed")
    assert browser.session.state is State.JOINED


async def test_leaving_ends_the_call_once() -> None:
    browser = Browser()
    await browser.talks()
    await browser.says("leave")
    await browser.says("leave")
    await browser.session.hang_up(Reason.ROOM_CLOSED)
    assert browser.asked.count(("ended", Reason.NORMAL)) == 1
    assert browser.asked[-1] == ("ended", Reason.NORMAL)


async def test_being_hung_up_says_why() -> None:
    browser = Browser()
    await browser.talks()
    await browser.session.hang_up(Reason.HUNG_UP_BY_HOST)
    assert browser.got[-1] == {
        "type": "ended",
        "reason": "hung-up-by-host",
        "message": "A host ended this participant's call",
    }
    assert browser.asked[-1] == ("ended", Reason.HUNG_UP_BY_HOST)
    await browser.says("mute", audio=True)
    assert browser.got[-1]["reason"] == "bad-request"


async def test_our_candidates_are_passed_on() -> None:
    browser = Browser()
    await browser.talks()
    candidate = Candidate("1", 1, "udp", 2122194687, "127.0.0.1", 44835, "host")
    await browser.session.local_candidate("0", candidate)
    await browser.session.local_candidate("0", None)
    assert browser.got[-2:] == [
        {"type": "candidate", "mid": "0", "candidate": CANDIDATE},
        {"type": "candidate", "mid": "0", "candidate": None},
    ]


async def test_we_may_offer_and_the_browser_answers() -> None:
    browser = Browser()
    await browser.talks()
    await browser.session.renegotiate(Wanted())
    offer = browser.got[-1]
    assert offer["type"] == "offer"
    with pytest.raises(Refused) as refused:
        await browser.session.renegotiate(Wanted())
    assert refused.value.reason is Reason.GLARE
    glare = await browser.says("offer", sdp=OFFER)
    assert glare is not None
    assert (glare["reason"], glare["fatal"]) == ("glare", False)
    # The same lines with the DTLS role of an answer.
    await browser.says("answer", sdp=OFFER.replace("actpass", "active"))
    assert browser.asked[-1] == ("accept", ["0", "1", "2"])
    await browser.session.renegotiate(Wanted())


async def test_an_answer_that_nobody_asked_for_is_a_bad_request() -> None:
    browser = Browser()
    await browser.talks()
    said = await browser.says("answer", sdp=OFFER)
    assert said is not None
    assert said["reason"] == "bad-request"


async def test_a_broken_socket_keeps_the_call_for_a_while() -> None:
    browser = Browser(resume_time=0.05)
    await browser.talks()
    browser.broken = True
    await browser.session.disconnected()
    await browser.session.disconnected()
    assert browser.session.state is State.AWAY
    await asyncio.sleep(0.01)
    assert browser.asked[-1] == ("connected",)
    await asyncio.sleep(0.06)
    assert browser.asked[-1] == ("ended", Reason.TRANSPORT_FAILED)
    assert browser.session.state is State.ENDED


async def test_a_browser_that_came_back_replaces_the_old_session() -> None:
    browser = Browser(resume_time=0.05)
    await browser.talks()
    await browser.session.disconnected()
    await browser.session.hang_up(Reason.REPLACED)
    await asyncio.sleep(0.08)
    assert [each for each in browser.asked if each[0] == "ended"] == [("ended", Reason.REPLACED)]
    assert browser.got[-1]["type"] == "answer"


async def test_a_socket_that_breaks_while_joining_ends_the_call_that_comes_of_it() -> None:
    browser = Browser()
    browser.desk.gate.clear()
    joining = asyncio.create_task(browser.joins())
    await asyncio.sleep(0)
    await browser.session.disconnected()
    browser.desk.gate.set()
    await joining
    assert browser.asked == [("ended", Reason.CANCELLED)]
    assert browser.session.call is None


async def test_a_message_that_cannot_be_sent_is_no_fault() -> None:
    browser = Browser()
    await browser.talks()
    browser.broken = True
    await browser.says("ping")
    await browser.session.hang_up(Reason.SHUTDOWN)
    assert browser.asked[-1] == ("ended", Reason.SHUTDOWN)


async def test_a_browser_that_joins_and_never_offers_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OFFER_TIME", 0.02)
    silent, talking = Browser(), Browser()
    await silent.joins()
    await talking.talks()
    await asyncio.sleep(0.05)
    assert silent.asked == [("ended", Reason.TIMEOUT)]
    assert silent.got[-1]["reason"] == "timeout"
    assert talking.asked[-1] == ("connected",)


async def test_a_socket_that_takes_nothing_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_TIME", 0.02)
    browser = Browser()
    await browser.talks()
    browser.stuck = True
    async with asyncio.timeout(2):
        await browser.session.hang_up(Reason.SHUTDOWN)
    assert browser.asked[-1] == ("ended", Reason.SHUTDOWN)


async def test_a_flood_ends_the_session() -> None:
    browser = Browser()
    await browser.talks()
    for _ in range(300):
        await browser.says("ping")
    assert browser.got[-1] == {
        "type": "error",
        "reason": "overload",
        "message": "The service is at its limit",
        "fatal": True,
    }
    assert browser.asked[-1] == ("ended", Reason.OVERLOAD)
    assert len([each for each in browser.got if each["type"] == "pong"]) < 200


async def test_a_steady_trickle_of_messages_is_no_flood() -> None:
    browser = Browser()
    await browser.talks()
    for _ in range(1000):
        browser.now += 0.03
        assert await browser.says("ping") == {"type": "pong"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({}, "bad-request"),
        ({"type": None}, "bad-request"),
        ({"type": ["join"]}, "bad-request"),
        ({"type": "shout"}, "bad-request"),
        ({"type": "offer", "sdp": "v=0"}, "bad-request"),
        ({"type": "join"}, "bad-request"),
        ({"type": "join", "room": 100}, "bad-request"),
        ({"type": "join", "room": "  "}, "bad-request"),
        ({"type": "join", "room": "1\x07"}, "bad-request"),
        ({"type": "join", "room": "1" * 500}, "message-too-large"),
        ({"type": "join", "room": "100", "name": 7}, "bad-request"),
        ({"type": "join", "room": "100", "pin": "1" * 40}, "message-too-large"),
        ({"type": "join", "room": "100", "resume": {}}, "bad-request"),
    ],
)
async def test_a_first_message_that_makes_no_sense_is_answered(message: dict[str, Any], reason: str) -> None:
    browser = Browser()
    await browser.session.receive(message)
    assert (browser.got[-1]["type"], browser.got[-1]["reason"], browser.got[-1]["fatal"]) == ("error", reason, False)
    assert browser.desk.facts == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"type": "join", "room": "100"}, "bad-request"),
        ({"type": "offer"}, "bad-request"),
        ({"type": "offer", "sdp": "x" * 70_000}, "message-too-large"),
        ({"type": "candidate", "mid": 0, "candidate": CANDIDATE}, "bad-request"),
        ({"type": "candidate", "mid": "0", "candidate": "candidate:x"}, "bad-request"),
        ({"type": "candidate", "mid": "0", "candidate": {"a": 1}}, "bad-request"),
        ({"type": "mute", "audio": "yes"}, "bad-request"),
        ({"type": "dtmf", "digit": "55"}, "message-too-large"),
        ({"type": "dtmf", "digit": "x"}, "bad-request"),
        ({"type": "dtmf"}, "bad-request"),
        ({"type": "call"}, "bad-request"),
        ({"type": "call", "target": "x" * 300}, "message-too-large"),
        ({"type": "cancel", "id": 5}, "bad-request"),
        ({"type": "move", "participant": "p"}, "bad-request"),
        ({"type": "transfer", "participant": "p" * 70, "target": "sip:a@b"}, "message-too-large"),
    ],
)
async def test_a_later_message_that_makes_no_sense_is_answered(message: dict[str, Any], reason: str) -> None:
    browser = Browser()
    await browser.talks()
    before = len(browser.asked)
    await browser.session.receive(message)
    assert (browser.got[-1]["reason"], browser.got[-1]["fatal"]) == (reason, False)
    assert len(browser.asked) == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "bad-request"),
        ("[1]", "bad-request"),
        ("null", "bad-request"),
        (b"\xff\xfe\x00", "bad-request"),
        ("[" * 100_000, "bad-request"),
        ('{"type":"ping","x":"' + "x" * 140_000 + '"}', "message-too-large"),
        ('{"type":"ping","x":"\ud800"}', "pong"),
    ],
)
async def test_text_that_is_no_message_is_answered(text: str | bytes, reason: str) -> None:
    browser = Browser()
    await browser.session.receive_text(text)
    assert browser.got[-1].get("reason", browser.got[-1]["type"]) == reason


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Ann", "Ann"),
        ("  Zoë \t\n Müller ", "Zoë Müller"),
        ("\u202eevil\u0000\x1b[31m", "evil[31m"),
        ("名前 🎉", "名前 🎉"),
        ("x" * 200, "x" * 64),
        ("\u200b\u2066", ""),
    ],
)
def test_names_are_cleaned(given: str, shown: str) -> None:
    assert clean_name(given) == shown
