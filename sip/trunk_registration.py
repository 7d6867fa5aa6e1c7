"""Our registration with a carrier, without I/O: answers and a clock in, what to ask and what changed out.

Theory of operation (RFC 3261 §10.2). It never gives up: whatever goes wrong, it waits, longer each time up to a bound,
and tries again. A refresh is asked for well before the binding ends (RFC 5626 §4.4.1 gives the fractions), and a
binding whose refresh fails counts until its time is over. Credentials are the business of who sends; a 401 that comes
here is a wrong password. Which server is asked is its business too: what comes here is how a whole round of them ended.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from sip.message import Response
from sip.values import BadValue, parse_address, parse_number

FIRST_WAIT = 5.0
"""Seconds before the second try; a restarting carrier is back within a few of them."""
LONGEST_WAIT = 300.0
"""Seconds between tries at most: an outage that is over is noticed within five minutes."""
REFUSED_WAIT = 60.0
"""Seconds at least after a refusal for good (wrong password, unknown user), or the carrier may lock us out."""
SHORTEST = 30
"""Seconds of a binding that are believed; a carrier that grants less is asked again no faster."""
LONGEST = 86_400
"""Seconds of a binding that are believed at most; a day."""
MAX_INTERVAL_RAISES = 3
"""423 answers that are followed in a row; a registrar names its minimum once."""
MAX_RETRY_AFTER = 3_600
"""Seconds of Retry-After that are honoured at most."""
FRACTION = (0.8, 0.9)
"""Between which parts of its time a binding of more than 20 minutes is refreshed (RFC 5626 §4.4.1)."""
MARGIN = 600
"""Seconds before the end by which a longer binding is refreshed at the latest."""


class State(StrEnum):
    """Where a registration is."""

    IDLE = "idle"
    TRYING = "trying"
    REGISTERED = "registered"
    REFRESHING = "refreshing"
    WAITING = "waiting"
    LEAVING = "leaving"
    GONE = "gone"


class What(StrEnum):
    """What can happen to it."""

    START = "start"
    GRANTED = "granted"
    TOO_BRIEF = "too-brief"
    FAILED = "failed"
    DUE = "due"
    MOVED = "moved"
    STOP = "stop"


_NEXT: dict[tuple[State, What], State] = {
    (State.IDLE, What.START): State.TRYING,
    (State.TRYING, What.GRANTED): State.REGISTERED,
    (State.TRYING, What.TOO_BRIEF): State.TRYING,
    (State.TRYING, What.FAILED): State.WAITING,
    (State.WAITING, What.DUE): State.TRYING,
    (State.WAITING, What.MOVED): State.TRYING,
    (State.REGISTERED, What.DUE): State.REFRESHING,
    (State.REGISTERED, What.MOVED): State.REFRESHING,
    (State.REFRESHING, What.GRANTED): State.REGISTERED,
    (State.REFRESHING, What.TOO_BRIEF): State.REFRESHING,
    (State.REFRESHING, What.FAILED): State.WAITING,
    (State.IDLE, What.STOP): State.GONE,
    (State.TRYING, What.STOP): State.LEAVING,
    (State.REGISTERED, What.STOP): State.LEAVING,
    (State.REFRESHING, What.STOP): State.LEAVING,
    (State.WAITING, What.STOP): State.LEAVING,
    (State.LEAVING, What.GRANTED): State.GONE,
    (State.LEAVING, What.FAILED): State.GONE,
    (State.LEAVING, What.TOO_BRIEF): State.GONE,
}
"""What follows; whatever stands not here changes nothing."""
_ASKS = frozenset((State.TRYING, State.REFRESHING, State.LEAVING))


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a REGISTER for so many seconds, 0 to un-register, and tell how it ended."""

    expires: int


@dataclass(frozen=True, slots=True)
class Changed:
    """We are registered now, or no longer; why is "" for registered."""

    registered: bool
    why: str


class Registration:
    """One binding of ours. expires is what we ask for in seconds."""

    def __init__(self, expires: int, rng: random.Random) -> None:
        self.state = State.IDLE
        self.registered = False
        self.why = "not asked yet"
        self.service_route: tuple[str, ...] = ()
        self.ends: float | None = None
        self._expires = expires
        self._rng = rng
        self._failures = 0
        self._raises = 0
        self._due: float | None = None
        self._out: list[Ask | Changed] = []

    def take(self) -> list[Ask | Changed]:
        """Return what there is to do and to hear of since the last time, in order."""
        out, self._out = self._out, []
        return out

    def next_timeout(self) -> float | None:
        """When `tick` is to be called next, or None."""
        times = [time for time in (self._due, self.ends if self.registered else None) if time is not None]
        return min(times) if times else None

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self.registered and self.ends is not None and now >= self.ends:
            self._say(False, self.why or "the registration ran out")
        if self._due is not None and now >= self._due:
            self._due = None
            self._happens(What.DUE)

    def start(self) -> None:
        """Begin."""
        self._happens(What.START)

    def stop(self) -> None:
        """Un-register, if there is anything to take back; `GONE` follows."""
        bound = self.registered or self.state in (State.TRYING, State.REFRESHING)
        self._due = None
        if not bound and self.state is State.WAITING:
            self.state = State.GONE
            return
        self._happens(What.STOP)

    def moved(self) -> None:
        """Our address changed, or the connection that the carrier reaches us by is gone."""
        if self.state in (State.REGISTERED, State.WAITING):
            self._due = None
            self._happens(What.MOVED)

    def answered(self, response: Response | None, contact: str, now: float) -> None:
        """Take the end of what was asked: a final response, None where no server answered. contact is our own URI."""
        if self.state not in _ASKS:
            return
        if response is not None and 200 <= response.status < 300:
            self._granted(response, contact, now)
        elif response is not None and response.status == 423 and self._lengthen(response):
            self._happens(What.TOO_BRIEF)
        else:
            self._failed(response, now)

    def _granted(self, response: Response, contact: str, now: float) -> None:
        leaving = self.state is State.LEAVING
        self._failures = self._raises = 0
        self._happens(What.GRANTED)
        if leaving:
            self._say(False, "un-registered")
            return
        seconds = granted(response, contact, self._expires)
        self.service_route = tuple(_routes(response))
        self.ends = now + seconds
        self._due = now + self._refresh_after(seconds)
        self._say(True, "")

    def _refresh_after(self, seconds: int) -> float:
        low, high = FRACTION
        early = seconds * self._rng.uniform(low, high)
        return max(early, seconds - MARGIN) if seconds > 2 * MARGIN else early

    def _lengthen(self, response: Response) -> bool:
        """Ask for the registrar's minimum (§10.2.8); False where that makes no sense."""
        try:
            least = parse_number(response.headers.get("Min-Expires") or "", 2**32 - 1)
        except BadValue:
            return False
        if not self._expires < least <= LONGEST or self._raises >= MAX_INTERVAL_RAISES:
            return False
        self._raises += 1
        self._expires = least
        return True

    def _failed(self, response: Response | None, now: float) -> None:
        self.why = "no answer" if response is None else f"{response.status} {response.phrase}".strip()
        leaving = self.state is State.LEAVING
        self._happens(What.FAILED)
        if leaving:
            self._say(False, self.why)
            return
        self._failures += 1
        self._raises = 0
        wait = self._wait(response)
        self._due = now + wait
        gone = self.registered and response is not None and response.status in (401, 403, 404, 407)
        if not self.registered or gone:
            self._say(False, self.why)

    def _wait(self, response: Response | None) -> float:
        """Return the seconds until the next try: doubled each time, spread, and not before Retry-After."""
        wait: float = min(FIRST_WAIT * 2.0 ** min(self._failures - 1, 10), LONGEST_WAIT)
        if response is not None and 400 <= response.status < 500 and response.status not in (408, 480):
            wait = max(wait, REFUSED_WAIT)
        wait *= self._rng.uniform(0.5, 1.0) if self._failures > 1 else self._rng.uniform(0.8, 1.0)
        asked = response.headers.get("Retry-After") if response is not None else None
        try:
            least = min(parse_number(asked, 2**31), MAX_RETRY_AFTER) if asked is not None else 0
        except BadValue:
            least = 0
        return max(wait, float(least))

    def _happens(self, what: What) -> None:
        following = _NEXT.get((self.state, what))
        if following is None:
            return
        self.state = following
        if following in _ASKS:
            self._out.append(Ask(0 if following is State.LEAVING else self._expires))

    def _say(self, registered: bool, why: str) -> None:
        changed = registered != self.registered or (not registered and self._failures == 1)
        self.registered, self.why = registered, why
        if not registered:
            self.service_route, self.ends = (), None
        if changed:
            self._out.append(Changed(registered, why))


def granted(response: Response, contact: str, asked: int) -> int:
    """Return for how many seconds we are bound: as our Contact says, else Expires, else what we asked (§10.2.4)."""
    seconds = asked
    value = response.headers.get("Expires")
    for one in response.headers.values("Contact"):
        try:
            address = parse_address(one)
        except ValueError:
            continue
        if "expires" in address.parameters and _same_contact(str(address.uri), contact):
            value = address.parameters["expires"]
            break
    try:
        seconds = parse_number(value, 2**32 - 1) if value is not None else asked
    except BadValue:
        seconds = asked
    return min(max(seconds, SHORTEST), LONGEST)


def _same_contact(one: str, other: str) -> bool:
    """Tell whether a Contact is ours by user and host; registrars change parameters and ports."""
    return one.partition(";")[0].lower() == other.partition(";")[0].lower()


def _routes(response: Response) -> list[str]:
    """Return Service-Route, the route of requests through the carrier, without values that make no sense (RFC 3608)."""
    found = []
    for value in response.headers.values("Service-Route")[:8]:
        try:
            if parse_address(value).uri.is_sip:
                found.append(value)
        except ValueError:
            continue
    return found
