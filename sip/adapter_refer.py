"""REFERs of peers in their calls: somebody is called on their behalf and joins the room (RFC 3515, RFC 3891, RFC 4579).

Blind: the target is called. Attended: Refer-To holds a Replaces, and the new call takes the place of the referrer's
with the target; where that one is with us too, nobody is called, and the two whom the referrer is in calls with are put
together. The policy decides on each target; without one, only addresses of our own domain may be called, so
that nobody dials out at our cost. The house's `Referrals`, where there are some, decide and place the call instead.
The referrer hears by NOTIFY how it goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, Protocol
from urllib.parse import unquote

import structlog

from gateway.calls import Call, CallFacts, Order, Referrals
from gateway.reasons import Reason, Refused
from sip.events import RequestReceived, SessionId, SubscriptionEnded, SubscriptionId
from sip.headers import split_values
from sip.message import PHRASES, Request
from sip.refusals import HeaderList, refusal_status
from sip.replaces import Replaces, read_replaces
from sip.stack import Stack
from sip.subscriptions import FRAGMENT, fragment
from sip.uri import BadUri, Uri, parse_uri
from sip.values import BadValue, parse_address

log = structlog.get_logger()

MAX_TRANSFERS = 32
"""Calls being placed for referrers; a meeting's host brings in a handful at a time."""

ReferPolicy = Callable[[CallFacts, Uri], bool]
"""Says whether who is told by the facts may have us call an address."""
Dial = Callable[[str, CallFacts, HeaderList], Awaitable[Call]]


class ReferOwner(Protocol):
    """What is needed of the adapter."""

    stack: Stack

    def now(self) -> float:
        """Return the loop's time in seconds."""

    def pump(self) -> None:
        """Send and report what the stack has to."""

    def count(self, name: str) -> None:
        """Count one thing that happened."""

    def call_of(self, session: SessionId | None) -> Call | None:
        """Return the house's call of a session; None where there is none."""

    async def place(self, order: Order, facts: CallFacts, headers: HeaderList | None = None) -> Call:
        """Place a call."""


class Transfers:
    """All REFERs under way."""

    def __init__(self, owner: ReferOwner, dial: Dial, policy: ReferPolicy, referrals: Referrals | None = None) -> None:
        """dial places a call and brings it to the house; referrals take the place of policy and of dial."""
        self.policy = policy
        self._referrals = referrals
        self._owner = owner
        self._dial = dial
        self._tasks: dict[SubscriptionId | None, asyncio.Task[None]] = {}

    async def stop(self) -> None:
        """Give up what is being placed."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def referred(self, event: RequestReceived, facts: CallFacts | None, call: Call | None = None) -> None:
        """Answer a REFER; facts are those of the call that it came in, None outside of any."""
        stack, now, request = self._owner.stack, self._owner.now(), event.request
        try:
            uri, replaces = refer_target(request)
        except (BadValue, BadUri):
            stack.respond(event.request_id, 400, now)
            return
        second = self._second(call, replaces)
        if second is None and (facts is None or not self._may(facts, call, uri)):
            self._owner.count("refers_refused")
            stack.respond(event.request_id, 403, now)
            return
        if len(self._tasks) >= MAX_TRANSFERS:
            stack.respond(event.request_id, 503, now, headers=[("Retry-After", "10")])
            return
        subscription = stack.subscribe(event.request_id, now)
        if subscription is None:
            return
        stack.notify(subscription, fragment(100, "Trying"), now, FRAGMENT)
        headers: HeaderList = [("Referred-By", str(request.from_.with_tag("")))]
        if replaces is not None:
            headers += [("Replaces", str(replaces)), ("Require", "replaces")]
        if second is not None and call is not None:
            transfer = self._tell_of(subscription, self._join(call, second))
        else:
            transfer = self._tell_of(subscription, self._transfer(str(uri), facts, call, headers))
        self._tasks[subscription] = asyncio.get_running_loop().create_task(transfer)

    def _may(self, facts: CallFacts, call: Call | None, uri: Uri) -> bool:
        if self._referrals is None:
            return self.policy(facts, uri)
        return call is not None and self._referrals.may_refer(call, str(uri))

    def ended(self, event: SubscriptionEnded) -> None:
        """The referrer hears no more of it; the call goes on."""

    def _second(self, call: Call | None, replaces: Replaces | None) -> Call | None:
        """Return the referrer's other call with us that an attended transfer names; None where it names none."""
        if self._referrals is None or call is None or replaces is None:
            return None
        return self._owner.call_of(self._owner.stack.named(replaces))

    async def _join(self, call: Call, second: Call) -> None:
        """Put those together whom the referrer is in two calls with."""
        assert self._referrals is not None
        await self._referrals.join(call, second)

    async def _transfer(self, target: str, facts: CallFacts | None, call: Call | None, headers: HeaderList) -> None:
        """Call the target into the referrer's room."""
        if self._referrals is not None and call is not None:
            await self._referrals.refer(call, target, partial(self._owner.place, headers=headers))
        elif facts is not None:
            name = parse_uri(target).name
            wanted = replace(facts, caller=target, name=name, agent="", peer_call_id="", resume=None)
            await self._dial(target, wanted, headers)

    async def _tell_of(self, subscription: SubscriptionId, work: Coroutine[Any, Any, None]) -> None:
        """Do what was asked for, and say how that ended."""
        status = 200
        try:
            await work
        except Refused as refused:
            status = refusal_status(refused.reason)
            log.info("sip_refer_failed", reason=refused.reason.value, detail=refused.detail)
        except Exception as error:
            status = refusal_status(Reason.INTERNAL)
            self._owner.count("internal_errors")
            log.error("sip_refer_fault", error=repr(error), exc_info=error)
        finally:
            self._tasks.pop(subscription, None)
        body = fragment(status, PHRASES.get(status, "Unknown"))
        self._owner.stack.notify(subscription, body, self._owner.now(), FRAGMENT, end="noresource")
        self._owner.pump()


def refer_target(request: Request) -> tuple[Uri, Replaces | None]:
    """Return whom a REFER names, and the dialog to take over there. Raises BadValue or BadUri (RFC 3515 §2.4.2)."""
    values = request.headers.values("Refer-To")
    if len(values) != 1:
        raise BadValue("one Refer-To is needed")
    uri = parse_address(values[0]).uri
    if not uri.is_sip or uri.parameters.get("method", "INVITE").upper() != "INVITE":
        raise BadValue("only calls are placed for others")
    replaces = None
    for header in split_values(uri.headers, "&"):
        name, _, value = header.partition("=")
        if name.lower() == "replaces":
            replaces = read_replaces(unquote(value, errors="surrogateescape"))
            if replaces is None:
                raise BadValue("Replaces makes no sense")
    parameters = {name: value for name, value in uri.parameters.items() if name != "method"}
    return Uri(uri.scheme, uri.user, None, uri.host, uri.port, parameters), replaces
