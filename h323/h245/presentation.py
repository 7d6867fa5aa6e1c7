"""The presentation token of a call (H.239 §11): one machine, which plays both roles.

Theory of operation. Who holds the token may open a channel with the presentation role. Either side asks the other for
it and gets it or not; who has it says so (indicateOwner) and gives it back by a release. If both ask at once, the
larger of the two symmetry breaking numbers wins, and equal ones are drawn again. What the peer asks is decided above,
for a room has one presenter whatever its terminals agree on: `take` makes the token ours without asking, as an MCU does
which has given it to another terminal.

Messages are H.245 generic ones with parameters by number; what they lack stands for 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum, auto
from random import Random
from typing import Any

from h323.h245.events import RateReleaseAsked, TokenAnswered, TokenAsked, TokenLost, TokenReleased, Value
from h323.h245.machine import Machine, Outside, Table
from h323.h245.parameters import read_numbers

MESSAGE = ("standard", "0.0.8.239.2")
"""Identifies the generic messages of H.239 (§11)."""
TOKEN_TIME = 5.0
"""Seconds that a peer has to answer a request for the token: slides wait for it."""
TRIES = 5
"""Requests in a row that meet one with the same number: a chance of 1 in 127 each."""
MAX_GIVEN_UP = 8
"""Requests whose late answers are known again; nobody changes its mind more often while one answer is on its way."""
MAX_SYMMETRY = 127
BIT_RATE, CHANNEL, SYMMETRY, LABEL = 41, 42, 43, 44
ACKNOWLEDGE, REJECT = 126, 127
_NAMES = {
    ("request", 1): "rate release request",
    ("response", 2): "rate release response",
    ("request", 3): "token request",
    ("response", 4): "token response",
    ("command", 5): "token release",
    ("indication", 6): "owner",
}
_NUMBERS = {name: number for (_, number), name in _NAMES.items()}


class State(Enum):
    """Who has the token: nobody, we, the peer; or who asks for it."""

    FREE = auto()
    ASKING = auto()
    OURS = auto()
    DECIDING = auto()
    """The peer asks, and it is decided above."""
    PEERS = auto()


class Presentation(Machine[State]):
    """The token between us and one peer. channel is the number of the channel that ours goes with.

    label is our terminal label (MCU and terminal number, H.243), 0 while none is assigned.
    """

    def __init__(self, outside: Outside, rng: Random) -> None:
        super().__init__(outside, State.FREE, PRESENTATION_TABLE)
        self.channel = 0
        self.label = 0
        self._rng = rng
        self._number = 0
        self._tries = 0
        self._equal = False
        self._asked: Mapping[int, int] = {}
        self._before = State.FREE
        self._otherwise = State.FREE
        """Where a request of ours that is refused leaves us: the peer may have the token and keep it."""
        self._taken = False
        self._given_up: deque[int] = deque(maxlen=MAX_GIVEN_UP)
        """Channels of requests that were taken back before they were answered: their answers may still come."""

    # what comes from above

    def ask(self, channel: int, now: float) -> bool:
        """Ask the peer for the token; `TokenAnswered` tells. False if that cannot be now."""
        return self.feed("ask", channel, now)

    def take(self, channel: int, now: float) -> None:
        """Make the token ours, and say so."""
        self.feed("take", channel, now)

    def give_back(self, now: float) -> None:
        """Give the token back, or the request for it."""
        self.feed("give back", None, now)

    def answer(self, granted: bool, now: float) -> bool:
        """Answer the peer's request. False if it is gone."""
        return self.feed("grant" if granted else "refuse", None, now)

    def _say(self, kind: str, name: str, **given: int) -> None:
        order = {"acknowledge": ACKNOWLEDGE, "reject": REJECT}
        content = [_parameter(order[key], None) for key in given if key in order]
        numbers = {"label": LABEL, "channel": CHANNEL, "symmetry": SYMMETRY}
        content += [_parameter(numbers[key], value) for key, value in given.items() if key in numbers]
        number = _NUMBERS[name]
        value = {"messageIdentifier": MESSAGE, "subMessageIdentifier": number, "messageContent": content}
        self.send(kind, f"generic{kind.capitalize()}", value)

    def _ask(self, channel: int, now: float) -> State:
        self.channel, self._tries = channel, 0
        self._otherwise = self.state
        return self._request(now)

    def _request(self, now: float) -> State:
        self._tries += 1
        self._equal = False
        self._number = self._rng.randint(1, MAX_SYMMETRY)
        self._say("request", "token request", label=self.label, channel=self.channel, symmetry=self._number)
        self.due = now + TOKEN_TIME
        return State.ASKING

    def _take(self, channel: int, _: float) -> State:
        self.due = None
        self.channel, self._taken = channel, True
        self._say("indication", "owner", label=self.label, channel=channel)
        return State.OURS

    def _take_while_deciding(self, channel: int, now: float) -> State:
        self._respond(self._asked, False)
        return self._take(channel, now)

    def _give_back(self, _: Any, now: float) -> State:
        self.due = None
        self._say("command", "token release", label=self.label, channel=self.channel)
        return State.FREE

    def _give_up(self, _: Any, now: float) -> State:
        """Take a request of ours back; who has the token keeps it."""
        self._given_up.append(self.channel)
        self._give_back(None, now)
        return self._otherwise

    def _give_back_while_deciding(self, _: Any, now: float) -> State:
        if self._before is State.OURS:
            self._give_back(None, now)
            self._before = State.FREE
        return State.DECIDING

    def _grant(self, _: Any, now: float) -> State:
        self._respond(self._asked, True)
        return State.PEERS

    def _refuse(self, _: Any, now: float) -> State:
        self._respond(self._asked, False)
        return self._before

    def _respond(self, asked: Mapping[int, int], granted: bool) -> None:
        channel, label = asked.get(CHANNEL, 0), asked.get(LABEL, 0)
        if granted:
            self._say("response", "token response", acknowledge=1, label=label, channel=channel)
        else:
            self._say("response", "token response", reject=1, label=label, channel=channel)

    # what comes from the peer

    def receive(self, kind: str, value: Value, now: float) -> bool:
        """Take a generic message; what has no place now is ignored. False if it is none of H.239's."""
        name = _NAMES.get((kind, value.get("subMessageIdentifier", -1)))
        if value["messageIdentifier"] != MESSAGE or name is None:
            return False
        given = read_numbers(value.get("messageContent"))
        if name == "rate release request":
            # We set no limits that could be lifted but the peer's own capabilities say so: it may send as it asks.
            channel = given.get(CHANNEL, 0)
            self._say("response", "rate release response", acknowledge=1, channel=channel)
            self.report(RateReleaseAsked(channel, given.get(BIT_RATE, 0) * 100))
            return True
        if name == "rate release response":
            return True
        self.feed(name, given, now)
        return True

    def _asked_for(self, given: Mapping[int, int], _: float) -> State:
        if self.state is not State.DECIDING:
            self._before = self.state
        return self._decide(given)

    def _asked_by_owner(self, given: Mapping[int, int], _: float) -> State:
        """It asks for what it has, for another channel perhaps: it has lost it if that is refused."""
        self._before = State.FREE
        return self._decide(given)

    def _decide(self, given: Mapping[int, int]) -> State:
        self._asked = given
        self.report(TokenAsked(given.get(LABEL, 0), given.get(CHANNEL, 0)))
        return State.DECIDING

    def _both(self, given: Mapping[int, int], now: float) -> State:
        """Both ask at once: the larger number wins, equal ones are drawn again when our request is answered."""
        theirs = given.get(SYMMETRY, 0)
        if theirs > self._number:
            self.due = None
            self.report(TokenAnswered(False))
            self._before = self._otherwise
            return self._decide(given)
        self._equal = theirs == self._number
        self._respond(given, False)
        return State.ASKING

    def _answered(self, given: Mapping[int, int], now: float) -> State:
        channel = given.get(CHANNEL, 0)
        if channel != self.channel and channel in self._given_up:
            self._given_up.remove(channel)
            return State.ASKING  # the answer to an earlier request, which was followed by its release
        if ACKNOWLEDGE in given:
            self.due = None
            self._taken = False
            self.report(TokenAnswered(True))
            self._say("indication", "owner", label=self.label, channel=self.channel)
            return State.OURS
        if self._equal and self._tries < TRIES:
            return self._request(now)
        return self._unanswered(None, now)

    def _unanswered(self, _: Any, now: float) -> State:
        self.due = None
        self.report(TokenAnswered(False))
        return self._otherwise

    def _released_while_asking(self, _: Any, now: float) -> State:
        """It gives back what we ask for; its answer follows."""
        if self._otherwise is State.PEERS:
            self._otherwise = State.FREE
            self.report(TokenReleased())
        return State.ASKING

    def _answered_late(self, given: Mapping[int, int], now: float) -> State:
        """Give back what we asked for once and no longer want."""
        if ACKNOWLEDGE in given:
            self._say("command", "token release", label=self.label, channel=self.channel)
        return self.state

    def _yielded(self, given: Mapping[int, int], now: float) -> State:
        """The owner yields to a request that we gave up: nobody has the token then."""
        if ACKNOWLEDGE not in given:
            return State.PEERS
        self._answered_late(given, now)
        return self._released(None, now)

    def _taken_back(self, given: Mapping[int, int], now: float) -> State:
        """A request that followed one that we gave up was refused: what we took for its answer was the first one's."""
        if self._taken or ACKNOWLEDGE in given:
            return State.OURS
        self._otherwise = State.FREE
        return self._unanswered(None, now)

    def _released(self, _: Any, now: float) -> State:
        self.report(TokenReleased())
        return State.FREE

    def _withdrawn(self, _: Any, now: float) -> State:
        """It asked and gave up, or had the token and asks no more."""
        self.report(TokenReleased())
        return self._before

    def _lost(self, given: Mapping[int, int], _: float) -> State:
        """The peer has it after all; but what we took is ours, and it did not know yet."""
        if self._taken:
            return State.OURS
        self.report(TokenLost())
        return State.PEERS

    def _indicated(self, given: Mapping[int, int], _: float) -> State:
        """The owner says that it is, again and again with some: nothing changes."""
        return self.state


def _parameter(number: int, value: int | None) -> Value:
    said = ("logical", None) if value is None else ("unsignedMin", value)
    return {"parameterIdentifier": ("standard", number), "parameterValue": said}


PRESENTATION_TABLE: Table[State] = {
    (State.FREE, "ask"): Presentation._ask,
    (State.FREE, "take"): Presentation._take,
    (State.FREE, "token request"): Presentation._asked_for,
    (State.FREE, "token response"): Presentation._answered_late,
    (State.FREE, "owner"): Presentation._indicated,
    (State.ASKING, "take"): Presentation._take,
    (State.ASKING, "give back"): Presentation._give_up,
    (State.ASKING, "token request"): Presentation._both,
    (State.ASKING, "token response"): Presentation._answered,
    (State.ASKING, "token release"): Presentation._released_while_asking,
    (State.ASKING, "timer"): Presentation._unanswered,
    (State.OURS, "take"): Presentation._take,
    (State.OURS, "give back"): Presentation._give_back,
    (State.OURS, "token request"): Presentation._asked_for,
    (State.OURS, "token response"): Presentation._taken_back,
    (State.OURS, "owner"): Presentation._lost,
    (State.DECIDING, "take"): Presentation._take_while_deciding,
    (State.DECIDING, "give back"): Presentation._give_back_while_deciding,
    (State.DECIDING, "grant"): Presentation._grant,
    (State.DECIDING, "refuse"): Presentation._refuse,
    (State.DECIDING, "token request"): Presentation._asked_for,
    (State.DECIDING, "token response"): Presentation._answered_late,
    (State.DECIDING, "token release"): Presentation._withdrawn,
    (State.PEERS, "ask"): Presentation._ask,
    (State.PEERS, "take"): Presentation._take,
    (State.PEERS, "token request"): Presentation._asked_by_owner,
    (State.PEERS, "token response"): Presentation._yielded,
    (State.PEERS, "token release"): Presentation._released,
    (State.PEERS, "owner"): Presentation._indicated,
}
