"""Session timers (RFC 4028): a call is refreshed by one side, and ends where no refresh comes.

Theory of operation. A 2xx to INVITE or UPDATE agrees on an interval and on who refreshes. That side sends a refresh
after half of it: an UPDATE without body where the peer allows that, else a re-INVITE with the description as it is.
Either side hangs up shortly before the interval ends. A refresh that is refused or meets another change is tried
again until then. A peer that answers without Session-Expires has no timer, and the call none either.

Intervals are in seconds. As the called side we take what is asked down to our minimum (422 below it, where the peer
understands that), and refresh ourselves where the peer leaves that open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sip.building import HeaderList
from sip.config import MIN_SE
from sip.message import Message, Request, Response
from sip.reliable import supports
from sip.timers import Timer, Timers
from sip.values import BadValue, parse_number

OPTION = "timer"
"""The option tag in Supported and Require (RFC 4028 §9)."""
MAX_SE = 86_400
"""Largest interval that is taken; a call that nobody looked after for a day is dead."""
MARGIN = 32.0
"""Seconds before the end at which a call that was not refreshed is hung up, or a third of the interval (§10)."""
AGAIN = 5.0
"""Seconds after which a refresh that could not be made is tried again."""
LEAST_WAIT = 1.0
"""Seconds before a refused refresh is tried again at the earliest: a peer may answer every time with Retry-After 0."""
MAX_RAISES = 3
"""Times that one call's interval is raised by 422; each proxy on the way may ask for more once."""


@dataclass(slots=True)
class Refresh:
    """The timer of one call. interval 0: none runs. ours whether we refresh; minimum is the largest Min-SE heard."""

    interval: int = 0
    ours: bool = False
    minimum: int = 0
    raises: int = 0
    running: bool = False
    due: Timer | None = None
    end: Timer | None = None

    def stop(self) -> None:
        """Let no timer ring."""
        for timer in (self.due, self.end):
            if timer is not None:
                timer.stop()
        self.due = self.end = None

    def start(
        self, timers: Timers, now: float, refresh: Callable[[float], None], expired: Callable[[float], None]
    ) -> None:
        """Begin the interval anew; refresh is called at its half where that is ours to do, expired before its end."""
        self.stop()
        if self.interval:
            self.end = timers.start(now + self.interval - min(MARGIN, self.interval / 3), expired)
            if self.ours:
                self.due = timers.start(now + self.interval / 2, refresh)

    def later(self, timers: Timers, now: float, delay: float, refresh: Callable[[float], None]) -> None:
        """Try again after a delay, as long as the call lives."""
        if self.end is not None and self.ours:
            if self.due is not None:
                self.due.stop()
            self.due = timers.start(now + max(delay, LEAST_WAIT), refresh)

    def asks(self, ours: int) -> HeaderList:
        """Return the headers of an INVITE or UPDATE of ours (§7.1, §7.4); ours is the interval that we like."""
        wanted = max(self.interval or ours, self.minimum)
        role = f";refresher={'uac' if self.ours else 'uas'}" if self.interval else ""
        found = [("Session-Expires", f"{wanted}{role}")]
        if self.minimum:
            found.append(("Min-SE", str(self.minimum)))
        return found

    def answered(self, response: Response) -> None:
        """Take what a 2xx to our request agrees on (§7.2)."""
        interval, refresher = wished(response)
        self.interval = max(interval, MIN_SE // 3) if interval else 0  # some peers go below what they may
        self.ours = refresher != "uas"

    def answer(self, request: Request, ours: int, least: int) -> HeaderList:
        """Agree with a request of the peer's and return the headers of its 2xx (§9)."""
        interval, refresher = wished(request)
        able = supports(request, OPTION)
        if not interval and not able:
            self.interval = 0
            return ()
        floor = max(least, minimum(request))
        self.interval = min(max(min(interval or ours, ours), floor), MAX_SE)
        if refresher == "uac" or (not refresher and able and self.running_peer):
            self.ours = False
        else:
            self.ours = True
        found = [("Session-Expires", f"{self.interval};refresher={'uas' if self.ours else 'uac'}")]
        if not self.ours:
            found.append(("Require", OPTION))
        return found

    @property
    def running_peer(self) -> bool:
        """Whether a timer runs that the peer refreshes."""
        return self.end is not None and not self.ours

    def raised(self, response: Response) -> bool:
        """Take the minimum of a 422; False where trying again makes no sense (§7.3)."""
        least = minimum(response)
        if not self.minimum < least <= MAX_SE or self.raises >= MAX_RAISES:
            return False
        self.minimum = least
        self.raises += 1
        return True


def wished(message: Message) -> tuple[int, str]:
    """Return interval and refresher of Session-Expires: 0 where there is none, "" where it names nobody (§4)."""
    value = message.headers.get("Session-Expires")
    if value is None:
        return 0, ""
    number, _, parameters = value.partition(";")
    try:
        interval = min(parse_number(number, 2**32), MAX_SE)
    except BadValue:
        return 0, ""
    for parameter in parameters.split(";"):
        name, _, who = parameter.partition("=")
        if name.strip().lower() == "refresher" and who.strip().lower() in ("uac", "uas"):
            return interval, who.strip().lower()
    return interval, ""


def minimum(message: Message) -> int:
    """Return Min-SE, 0 where there is none or it makes no sense (§5)."""
    value = message.headers.get("Min-SE")
    try:
        return parse_number(value, 2**31) if value is not None else 0
    except BadValue:
        return 0


def too_small(request: Request, least: int) -> bool:
    """Tell whether a request is to be refused with 422: below our minimum, by a peer that understands it (§8.1)."""
    interval, _ = wished(request)
    return 0 < interval < least and supports(request, OPTION)
