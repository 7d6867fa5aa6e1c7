"""Requests that the API's description allows, or nearly, and that nobody would send: each gets a documented answer."""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import urlencode

from json_grafts import Grafts, Shapes, written
from strange_house import SITES, StrangeHouse, StrangeLine, facts, strange_house
from web_house import ADMIN, CALLS, READ, ROOMS

from gateway.reasons import Refused
from gateway.store.store import Store

REQUESTS = 150
"""Requests of one run; some hundred thousand were made by hand."""
WORDS = (
    *("100", "200", "300", "400", "everyone", "x", "nowhere", "0", "a-b.c_d", "5", "12", "34", "1" * 16),
    *("sip:a@b.example", "tel:+4930", "h323:100@127.0.0.1", "user:bob", "sips:x@us.example;a=b", "user:nobody"),
    *("en", "welcome", "goodbye"),
)
"""What stands where a text is wanted: rooms, PINs, languages, prompts, addresses."""


class Wishes(Shapes):
    """Makes requests of the description."""

    def __init__(self, house: StrangeHouse, chance: random.Random, description: dict[str, Any]) -> None:
        super().__init__(chance, description["components"]["schemas"], WORDS)
        self._house = house
        self._grafts = Grafts(chance)
        self.routes = [
            (method, path, operation)
            for path, operations in description["paths"].items()
            for method, operation in operations.items()
        ]

    def text(self, schema: dict[str, Any]) -> str:
        """Return a text; where ids are wanted, the id of somebody."""
        return self.id() if "0-9a-f" in schema.get("pattern", "") else super().text(schema)

    def id(self) -> str:
        """Return the id of somebody or something that may be there."""
        calls = list(self._house.desk.calls.values())
        known = [*(one.id for one in calls), *(one.participant_id for one in calls), *self._house.desk.dial_out._all]
        return str(self._chance.choice(known)) if known and self._chance.random() < 0.9 else "0"

    def body(self, operation: dict[str, Any]) -> bytes | None:
        """Return a body, with some of it replaced."""
        if "requestBody" not in operation:
            return None if self._chance.random() < 0.95 else b"{}"
        value = self.value(operation["requestBody"]["content"]["application/json"]["schema"])
        return written(self._grafts.graft(value, self._chance.choice([0, 0, 0, 1, 1, 2]))).encode()

    def path(self, path: str) -> str:
        """Return the path with something in its places."""
        chance, desk = self._chance, self._house.desk
        room = chance.choice([*(str(one.id) for one in SITES), *desk.rooms, "everyone"])
        known = desk.rooms.get(room)
        somebody = self.id()
        if known is not None and chance.random() < 0.8:
            here = [*(one.id for one in known.participants), *(place.id for place in desk.lobby.waiting(known))]
            somebody = str(chance.choice(here or [somebody]))
        if chance.random() < 0.04:
            room = self._grafts.text(room)
        if chance.random() < 0.04:
            somebody = self._grafts.text(somebody)
        return path.replace("{room}", _plain(room)).replace("{id}", _plain(somebody))

    def query(self, operation: dict[str, Any]) -> str:
        """Return what stands behind the path."""
        pairs = []
        for one in operation.get("parameters", ()):
            if one["in"] == "query" and self._chance.random() < 0.5:
                value = self.value(one["schema"])
                if self._chance.random() < 0.5:
                    value = self._grafts.like(value)
                pairs.append((one["name"], str(value).encode("utf-8", "surrogatepass")))
        return urlencode(pairs)


def _plain(text: str) -> str:
    """Return a text as the server makes it of a path: no lone surrogate is left."""
    return text.encode("utf-8", "replace").decode().replace("/", "")


async def _guests(house: StrangeHouse, chance: random.Random) -> None:
    """Bring some callers in, and let some go."""
    if chance.random() < 0.7 or not house.desk.calls:
        line = StrangeLine(chance)
        try:
            call = await house.desk.arrive(facts(chance, chance.choice([*(one.id for one in SITES), ""])), line)
        except Refused:
            return
        line.call = call
        await call.connected()
    elif chance.random() < 0.5:
        await chance.choice(list(house.desk.calls.values())).dtmf(chance.choice("0123456789*#"), 100)


async def requests(seed: int, count: int = REQUESTS, stored: bool = True) -> dict[tuple[str, str, int], int]:
    """Make requests, some at once, and return how often which route answered what."""
    chance = random.Random(seed)
    seen: dict[tuple[str, str, int], int] = {}
    store = Store("sqlite://") if stored else None  # a thread for each look-up takes its time
    if store is not None:
        await store.open()
    async with strange_house(chance, store) as house:
        wishes = Wishes(house, chance, house.server.app._inner.openapi())

        async def one() -> None:
            method, path, operation = chance.choice(wishes.routes)
            token = chance.choice([*[ADMIN] * 20, ROOMS, CALLS, READ, "", "\xff"])
            answer = await house.ask(
                method.upper(), wishes.path(path), wishes.query(operation), wishes.body(operation), token
            )
            seen[method, path, answer.status] = seen.get((method, path, answer.status), 0) + 1
            if str(answer.status) not in operation["responses"]:
                house.faults.append((method, path, answer.status, answer.body))

        for _ in range(count):
            house.begin(one())
            if chance.random() < 0.5:
                house.begin(_guests(house, chance))
            if chance.random() < 0.5:
                await house.settled(chance.randrange(30))
        left = await house.empty()
    if store is not None:
        await store.close()
    assert not house.faults, f"seed {seed}: {house.faults[:3]}"
    assert not left, f"seed {seed}: {left}"
    return seen


async def test_every_answer_is_a_documented_one() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    await requests(seed)
