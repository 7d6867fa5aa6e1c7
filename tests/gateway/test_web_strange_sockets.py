"""What pages may say and no page of ours says: messages of any kind in any order, sockets that close at any time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from json_grafts import TEXTS, Grafts, written
from sdp_grafts import SdpGrafts
from strange_house import SITES, Socket, StrangeHouse, StrangeLine, facts, strange_house
from web_house import READ

from gateway.calls import KeyWay
from gateway.reasons import Reason, Refused
from transcode.events import CandidateFound, Connected, Dtmf, Failed, Played, Sharing, Silent, Speaker, Talking, Text
from transcode.media import RoomId, Wanted

SAMPLES = Path(__file__).parent / "samples"
OFFERS = tuple((SAMPLES / f"{name}.sdp").read_text() for name in ("chromium", "firefox"))
TARGETS = ("user:bob", "sip:a@b.example", "sip:%E2%80%AE%00@b.example", "tel:+49")
ACTS = 120
"""What is done in one run; some hundred thousand things were done by hand."""


class Pages:
    """Browsers and callers, who do what comes to their minds."""

    def __init__(self, house: StrangeHouse, chance: random.Random) -> None:
        self._house = house
        self._chance = chance
        self._grafts = Grafts(chance)
        self._descriptions = SdpGrafts(chance)
        self.sockets: list[Socket] = []
        self._tokens: list[str] = []

    async def act(self) -> None:
        """Let one of them do something."""
        chance = self._chance
        self.sockets = [one for one in self.sockets if not one.gone]
        match chance.randrange(20):
            case 0 | 1 if len(self.sockets) < 8:
                self.sockets.append(Socket(self._house, f"192.0.2.{chance.randrange(20)}"))
            case 2 if self.sockets and chance.random() < 0.5:
                chance.choice(self.sockets).close()
            case 3 | 4:
                self._house.begin(self._arrive())
            case 5 | 6:
                self._house.begin(self._call_does())
            case 7:
                self._house.begin(self._media_tells())
            case 8 if chance.random() < 0.3:
                self._house.begin(self._house_does())
            case 9:
                path = chance.choice(["calls", "dialled", "rooms", "rooms/200/participants", "rooms/200/waiting"])
                self._house.begin(self._house.ask("GET", f"/api/v1/{path}", token=READ))
            case _ if self.sockets:
                one = chance.choice(self.sockets)
                one.say(self.message(one))
        if chance.random() < 0.6:
            await self._house.settled(chance.choice([1, 3, 10, 30]))

    # pages

    def message(self, socket: Socket) -> str | bytes:
        """Return something for a page to say."""
        chance = self._chance
        message = self._usual(socket)
        if "sdp" in message and chance.random() < 0.4:
            message["sdp"] = self._descriptions.graft(message["sdp"], chance.randrange(1, 4))
        times = chance.choice([0, 0, 0, 0, 0, 0, 0, 1, 2])
        changed = self._grafts.graft(message, times)
        if times and isinstance(changed, dict) and chance.random() < 0.7:
            changed["type"] = message["type"]  # or nobody would look further
        text = written(changed)
        return text.encode() if chance.random() < 0.05 else text

    def _usual(self, socket: Socket) -> dict[str, Any]:
        chance = self._chance
        joined = socket.heard("joined")
        if joined.get("resume"):
            self._tokens.append(joined["resume"])
        if not joined and chance.random() < 0.8:
            room = chance.choice(["100", "200", "200", "200", "300", "400", "400", "500", "600"])
            resume = chance.choice([None, *self._tokens[-4:]])
            pins = {"200": ["12", "34", "34", "0"], "400": ["12", None], "600": ["12", None]}
            pin = chance.choice(pins.get(room, [None]))
            if socket.heard("waiting"):
                return chance.choice([{"type": "promote", "pin": chance.choice(["12", "0"])}, {"type": "ping"}])
            return {"type": "join", "room": room, "name": "Ann", "pin": pin, "resume": resume}
        if joined and not socket.heard("answer") and chance.random() < 0.6:
            return {"type": "offer", "sdp": chance.choice(OFFERS)}
        other = self._somebody(socket)
        candidate = "candidate:1 1 udp 2122194687 127.0.0.1 44835 typ host"
        return chance.choice(
            [
                {"type": "offer", "sdp": chance.choice(OFFERS)},
                {"type": "offer", "sdp": chance.choice(OFFERS)},
                {"type": "answer", "sdp": chance.choice([*OFFERS, socket.heard("offer").get("sdp", "")])},
                {"type": "candidate", "mid": "0", "candidate": candidate},
                {"type": "candidate", "candidate": None},
                {"type": "mute", "audio": chance.random() < 0.5, "video": None},
                {"type": "dtmf", "digit": chance.choice("0123456789*#ABCD")},
                {"type": "say", "text": "Good morning"},
                {"type": "call", "target": chance.choice([*TARGETS, *TEXTS]), "name": "Bob"},
                {"type": "cancel", "id": chance.choice([*self._house.desk.dial_out._all, "0"])},
                {"type": "move", "participant": other, "room": str(chance.choice(SITES).id)},
                {"type": "transfer", "participant": other, "target": "sip:a@b.example"},
                {"type": "admit", "participant": other},
                {"type": "refuse", "participant": other},
                {"type": "promote", "pin": "12"},
                {"type": "spotlight", "participant": chance.choice([other, None])},
                {"type": "promote", "pin": "0"},
                {"type": "leave"},
                {"type": "ping"},
            ]
        )

    def _somebody(self, socket: Socket) -> str:
        waiting = [one["id"] for one in socket.heard("door").get("waiting", [])]
        people = [one["id"] for one in socket.heard("room").get("participants", [])]
        return str(self._chance.choice([*waiting, *people, "0"]))

    # callers

    async def _arrive(self) -> None:
        chance = self._chance
        line = StrangeLine(chance)
        room = chance.choice([*(str(one.id) for one in SITES), "", "bob"])
        pin = chance.choice([None, None, "12", "34", "0"])
        call = await self._house.desk.arrive(facts(chance, room, pin), line)
        line.call = call
        try:
            await call.admitted()
            if chance.random() < 0.8:
                await call.connected()
            if chance.random() < 0.1:
                await call.ended(Reason.NORMAL)
        except Refused as refused:
            await call.ended(refused.reason)
            raise

    async def _call_does(self) -> None:
        chance, calls = self._chance, list(self._house.desk.calls.values())
        if not calls:
            return
        call = chance.choice(calls)
        match chance.randrange(9):
            case 0 | 1 | 2:
                keys = chance.choice(["100#", "200#12#", "12#", "*1", "*21", "34#", "#", "*", "0", "A", "400#"])
                for key in keys:
                    duration = chance.choice([0, 1, 100, 10**9, -1])
                    await call.dtmf(key, duration, chance.choice([one for one in KeyWay if one is not KeyWay.PAGE]))
            case 3:
                await call.present(chance.random() < 0.7)
            case 4:
                await call.mute(chance.choice([None, True, False]), chance.choice([None, True, False]))
            case 5:
                await call.wrote(chance.choice(["hello", "", "\ud800", "x" * 5_000, "\u202e\n\n\n"]))
            case 6:
                await call.transfer_goes(chance.choice([None, Reason.NORMAL, Reason.BUSY]), chance.random() < 0.5)
            case 7:
                await call.connected()
            case 8:
                await call.ended(chance.choice(list(Reason)))

    async def _media_tells(self) -> None:
        chance, calls = self._chance, list(self._house.desk.calls.values())
        if not calls:
            return
        call = chance.choice(calls)
        leg, room = call.leg, RoomId(str(chance.choice([call.room.settings.id, "100", "gone"])))
        event = chance.choice(
            [
                Talking(room, leg, chance.random() < 0.5),
                Speaker(room, chance.choice([leg, None])),
                Dtmf(leg, chance.choice("0123456789*#ABCD"), chance.choice([0, 10**9])),
                Text(leg, "hello"),
                Sharing(leg, chance.random() < 0.5),
                Played(leg, chance.choice([0, 1, 2, -1])),
                Silent(leg, chance.choice([0.0, 29.0, 1e9])),
                CandidateFound(leg, "0", None),
                Connected(leg, "0"),
                Failed(leg, Reason.ICE_FAILED, "x"),
            ]
        )
        await self._house.desk._media_event(event)

    async def _house_does(self) -> None:
        chance, desk = self._chance, self._house.desk
        calls = list(desk.calls.values())
        match chance.randrange(6):
            case 0 if calls:
                await chance.choice(calls).hang_up(Reason.TIME_LIMIT)
            case 1 if calls:
                await chance.choice(calls).line.renegotiate(Wanted())
            case 2:
                await desk.lock(RoomId(chance.choice(["100", "200", "400"])), chance.random() < 0.5)
            case 3 if chance.random() < 0.3:
                one = chance.choice(SITES)
                await desk.close_room(one.id)
                await self._house.settled(chance.randrange(20))
                desk.open_room(one)
            case 4 if calls:
                call, to = chance.choice(calls), desk.room(str(chance.choice(SITES).id))
                if call.visitor is None:
                    await desk.move(call.room, call.participant_id, to)
            case 5 if len(calls) > 1:
                one, other = chance.sample(calls, 2)
                await desk.switchboard.join(one, other)


async def run(seed: int, acts: int = ACTS) -> StrangeHouse:
    """Let pages and callers do so many things, let all of them go, and return the house as it is then."""
    chance = random.Random(seed)
    async with strange_house(chance) as house:
        house.plane.fails = chance.choice([0.0, 0.0, 0.02, 0.2])
        following = asyncio.ensure_future(house.office.board.follow())
        await asyncio.sleep(0)
        pages = Pages(house, chance)
        for _ in range(acts):
            await pages.act()
            if chance.random() < 0.02:
                await asyncio.sleep(0.1)  # the board shows lists at most so often
        house.plane.fails = 0.0
        for one in pages.sockets:
            one.close()
        await house.settled(100)
        left = await house.empty()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert not house.faults, f"seed {seed}: {house.faults[:3]}"
    assert not left, f"seed {seed}: {left}"
    return house


async def test_whatever_pages_say_is_no_fault_and_nothing_is_left() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    for one in range(seed, seed + 4):
        await run(one)
