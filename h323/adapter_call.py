"""One H.323 call between its core and the house: a `Line` to the house, the owner of a `Call` towards it.

Theory of operation. What the core reports either changes the sessions at once (channels, capabilities) or becomes a
job; the jobs of a call run one after the other in one task, so that the house hears everything in order. After a
change of the sessions one job tells the media plane: our offer once more, and the peer as it stands now as the answer.

The call ends once: by the core's `CallEnded`, whoever caused it. `Call.ended` is then the last job.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Protocol

import structlog

from gateway.calls import Call, CallFacts, Desk, Floor, KeyWay
from gateway.jobs import Job, Jobs
from gateway.reasons import Reason, Refused
from h323.adapter_chair import ChairWishes
from h323.adapter_conference import Conferences
from h323.adapter_control import KEY_TIME, ControlEvents
from h323.adapter_facts import picture_limit, picture_share, source
from h323.adapter_security import answer_keys, offer_keys
from h323.conference import ConferenceView
from h323.describe.capabilities import write_capabilities
from h323.describe.fast_start import read_chosen
from h323.h245.events import Pdu
from h323.h450 import decline
from h323.h460.call import Role as TraversalRole
from h323.h460.media import MediaWays
from h323.presenting import Slides
from h323.sessions import Sessions
from h323.signalling import events
from h323.signalling.call import H323Call
from transcode.media import Candidate, Role, Wanted

log = structlog.get_logger()

KEY_FRAME_INTERVAL = 1.0
"""Seconds between two requests for a key frame; an encoder takes no more without spoiling its bit rate."""


class LineOwner(Protocol):
    """What a call needs of its adapter."""

    desk: Desk
    conferences: Conferences

    def now(self) -> float:
        """Return the loop's time in seconds."""

    def count(self, name: str) -> None:
        """Count one thing that happened."""

    def pump(self, line: H323Line) -> None:
        """Do what the call's core asks for."""

    async def screen(self, line: H323Line, facts: CallFacts) -> CallFacts:
        """Ask the gatekeeper about a call that comes in, and return whose it is. Raises Refused."""

    def advertised(self, line: H323Line) -> str:
        """Return the IP literal that the peer is to send to."""

    def peer_host(self, line: H323Line) -> str:
        """Return the IP literal that the call's signalling comes from."""

    def uses(self, line: H323Line, pictured: bool) -> None:
        """The call has pictures beside its sound, or none: its gatekeeper is to know."""

    def over(self, line: H323Line) -> None:
        """The call has done its last job."""


class CallForwarded(Refused):
    """The peer asks that a call which it has not answered goes elsewhere: target is an address as people dial it."""

    def __init__(self, why: str, target: str) -> None:
        super().__init__(Reason.MOVED, target)
        self.why = why
        self.target = target


class H323Line:
    """One call. facts are what is known of it: for one that arrives they come with `CallArrived`."""

    def __init__(self, owner: LineOwner, core: H323Call, facts: CallFacts | None = None) -> None:
        self.core = core
        self.facts = facts
        self.call: Call | None = None
        self.sessions: Sessions | None = None
        self.view: ConferenceView | None = None
        self.slides: Slides | None = None
        self.jobs = Jobs(self._failed)
        self.chair = ChairWishes(self, owner.conferences)
        self._owner = owner
        self._wanted = Wanted(separate=True, camera=True, slides=True)
        self._admission: asyncio.Task[None] | None = None
        self._outcome: asyncio.Future[None] | None = None
        self._over: Reason | None = None
        self._connected = False
        self._control = ControlEvents(self, owner.now, owner.count)
        self._changed = False
        self._asked_key_frames: dict[str, float] = {}
        self._bound: int | None = None
        self._pictured = True

    # what the core reports

    def report(self, item: Any) -> None:
        """Take what the core has to tell."""
        match item:
            case events.ControlReported(event):
                self._control.take(event)
            case events.CallConnected():
                self.do(self._picked_up)
            case events.Ringing():
                self.do(self._rings)
            case events.FastStartAnswered(channels):
                self._fast_started(channels)
            case events.KeypadPressed(keys):
                self.press_all(keys, KEY_TIME, KeyWay.KEYPAD)
            case events.CallEnded(reason, cause, detail):
                self._log().info("h323_released", reason=reason.value, cause=cause, detail=detail)
                self._finish(reason)
            case events.SupplementaryService(apdus):
                self._decline(apdus)
            case events.Forwarded(why, address, aliases):
                self._forwarded(why, address, aliases)
            case _:
                pass  # Proceeding needs nothing.

    def _decline(self, apdus: tuple[bytes, ...]) -> None:
        """Say that there is no such service here: transfer, hold, pick-up (H.450)."""
        answer = decline(apdus)
        if answer:
            self._owner.count("services_declined")
            self.core.facility(None, {"h4501SupplementaryService": list(answer)})

    @property
    def whereabouts(self) -> tuple[str, str] | None:
        """The room and the id of the call, None before it is connected."""
        return (self.call.room_id, self.call.id) if self.call is not None and self._connected else None

    def tell(self, pdu: Pdu) -> None:
        """Send an H.245 message, if the call is not over."""
        if self._over is None:
            self.core.control.send(pdu)
            self.core.flush()
            self._owner.pump(self)

    def tell_room(self, people: dict[str, str], speaker: str | None) -> bool:
        """Tell the peer what is new in its room; False if the control session does not stand yet."""
        if self.view is None or not self.core.control.ready or self._over is not None:
            return self._over is not None
        for pdu in self.view.update(people, speaker):
            self.core.control.send(pdu)
        self.core.flush()
        self._owner.pump(self)
        return True

    # arriving

    def arrived(self, facts: CallFacts) -> None:
        """A SETUP came: ask the house."""
        self.facts = facts
        self.do(lambda: self._arrive(facts))

    async def _arrive(self, facts: CallFacts) -> None:
        facts = self.facts = await self._owner.screen(self, facts)
        if self._over is not None:
            return
        self.call = await self._owner.desk.arrive(facts, self)
        self._log().info("h323_call_arrived", peer=facts.source, called=facts.called, h323_call_id=facts.peer_call_id)
        self._admission = asyncio.get_running_loop().create_task(self._admit(self.call))

    async def _admit(self, call: Call) -> None:
        """Wait, beside the jobs, as long as the house lets the caller wait; then answer."""
        try:
            await call.admitted()
        except Refused as refused:
            self.drop(refused.reason, refused.detail)
        except Exception as error:
            self._failed(error)
        else:
            self.do(self._answer)

    async def _answer(self) -> None:
        if self.call is None or self._over is not None:
            return
        sessions = await self._open(self.call)
        answer_keys(self.core, sessions)
        # What fast start opens has no keys and no way through a translator: such media start slowly.
        slow = sessions.security.active or sessions.ways.role is not TraversalRole.NONE
        proposals = () if slow else self.core.facts.fast_start
        chosen = sessions.choose(proposals, self.core.writable) if proposals else []
        for one in chosen:
            self.core.control.adopt(one.facts.number, one.answer, one.ours)
        channels = tuple(one.answer for one in chosen)
        self.core.connect(write_capabilities(sessions.local), self._owner.now(), channels)
        self._owner.pump(self)
        if chosen:
            await self._tell_plane()
        await self._connect()

    async def _open(self, call: Call) -> Sessions:
        local = await call.offer(self._wanted)
        picture = None if self.core.caller else picture_limit(self.core.facts.bandwidth)
        ways = MediaWays(self.core.traversal, self._owner.peer_host(self))
        sessions = self.sessions = Sessions(local, self._owner.advertised(self), picture, ways)
        sessions.bound = self._bound
        self.slides = Slides(self.core.control, sessions, self)
        self._control.catch_up(sessions)
        return sessions

    async def _connect(self) -> None:
        if not self._connected and self.call is not None and self._over is None:
            self._connected = True
            await self.call.connected()

    # placing

    async def place(
        self, facts: CallFacts, setup: events.SetupFacts, wanted: Wanted, fast_start: bool, digits: str = ""
    ) -> Call:
        """Bring a call that we place to the house and to the peer, and wait until it is up. Raises Refused.

        digits are those that follow the SETUP (overlap sending).
        """
        self._pictured = wanted.video
        self.facts, self._wanted = facts, replace(wanted, separate=True, camera=True, slides=wanted.video)
        self.call = await self._owner.desk.arrive(facts, self)
        self._outcome = asyncio.get_running_loop().create_future()
        try:
            sessions = await self._open(self.call)
            if self._over is None:
                self._send_setup(setup, sessions, fast_start, digits)
            await self._outcome
            return self.call
        except Refused as refused:
            self.drop(refused.reason)
            raise
        except asyncio.CancelledError:
            self.drop(Reason.CANCELLED)
            raise

    def _send_setup(self, setup: events.SetupFacts, sessions: Sessions, fast_start: bool, digits: str) -> None:
        if not offer_keys(self.core, sessions, fast_start) and fast_start:
            setup = replace(setup, fast_start=tuple(sessions.proposals(None)))
        self.core.place(setup, write_capabilities(sessions.local), self._owner.now(), overlap=bool(digits))
        if digits:
            self.core.dial(digits, self._owner.now(), whole=True)
        self._owner.pump(self)

    def _fast_started(self, channels: tuple[events.Value, ...]) -> None:
        if self.sessions is None:
            return
        for channel, facts, ours in read_chosen(channels):
            self.core.control.adopt(facts.number, channel, ours)
            self.sessions.adopt(facts, ours)
        if channels:
            self.update()

    def _forwarded(self, why: str, address: events.Address | None, aliases: tuple[str, ...]) -> None:
        """The peer sends the call elsewhere: one that we place and that is not up yet goes there."""
        waiting = self._outcome is not None and not self._outcome.done() and not self._connected
        host = "" if address is None else f"@{source(address)}"
        alias = aliases[0] if aliases else self.core.facts.called_aliases[0] if self.core.facts.called_aliases else ""
        target = f"h323:{alias}{host}" if alias else f"h323:{host[1:]}"
        if waiting and self._outcome is not None and (aliases or address is not None):
            self._outcome.set_exception(CallForwarded(why, target))
            self._outcome.exception()
        else:
            self._owner.count(f"forward_declined.{why}")

    async def _rings(self) -> None:
        ringing = getattr(self.call, "ringing", None)
        if ringing is not None:
            await ringing()

    async def _picked_up(self) -> None:
        await self._connect()
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(None)

    # media

    def update(self) -> None:
        """Tell the media plane, once for all changes that come together."""
        if not self._changed:
            self._changed = True
            self.do(self._tell_plane)

    async def _tell_plane(self) -> None:
        self._changed = False
        if self.call is None or self.sessions is None or self._over is not None:
            return
        await self.call.offer(self._wanted)
        await self.call.accept(self.sessions.remote())
        if self.sessions.pictured != self._pictured:
            self._pictured = self.sessions.pictured
            self._owner.uses(self, self._pictured)

    def limit(self, bandwidth: int) -> None:
        """Take no more than so many bit/s, both directions together, of which the sound is a part."""
        self._bound = picture_share(bandwidth)
        self._log().info("h323_bandwidth_limited", bandwidth=bandwidth, picture=self._bound)
        if self.sessions is not None and self._over is None:
            self.sessions.bound = self._bound
            for number in self.sessions.pictures():
                self.core.control.limit_rate(number, self._bound)
            self.core.flush()
            self.update()
            self._owner.pump(self)

    def press_all(self, keys: str, duration: int, way: KeyWay) -> None:
        """Bring keys to the house, one after the other; duration in ms, way how they came."""
        for key in keys:
            if key != "!":  # a hook flash means nothing to a room
                self.do(lambda key=key: self._press(key, duration, way))  # type: ignore[misc]

    async def _press(self, key: str, duration: int, way: KeyWay) -> None:
        if self.call is not None:
            await self.call.dtmf(key, duration, way)

    def send_key_frame(self, role: Role | None) -> None:
        """Have the house send a whole picture; None: all that it sends."""
        self.do(lambda: self._send_key_frame(role))

    async def _send_key_frame(self, role: Role | None) -> None:
        if self.call is not None:
            await self.call.key_frame(role)

    def ask_floor(self, wanted: bool) -> None:
        """The peer asks for the presentation token, or gives it back: ask the room (`Slides`)."""
        self.do(lambda: self._ask_floor(wanted))

    async def _ask_floor(self, wanted: bool) -> None:
        call, slides = self.call, self.slides
        if call is None or slides is None:
            return
        granted = True
        try:
            await call.present(wanted)
        except Refused as refused:
            granted = False
            self._log().info("h323_token_refused", reason=refused.reason.value, detail=refused.detail)
        if wanted and self._over is None:
            slides.answered(granted, self._owner.now())
            self.core.flush()
            self._owner.pump(self)

    # what the house asks (Line)

    async def hang_up(self, reason: Reason) -> None:
        """End the call towards the peer with RELEASE COMPLETE."""
        self.drop(reason)

    def drop(self, reason: Reason, detail: str = "") -> None:
        """End the call towards the peer and here."""
        if self._over is not None:
            return
        if not self._connected:
            self._owner.count(f"refused_{reason.value}")
            self._log().info("h323_call_dropped", reason=reason.value, detail=detail)
        self.core.release(reason, self._owner.now())
        self._finish(reason)
        self._owner.pump(self)

    async def request_key_frame(self, stream: str) -> None:
        """Ask by videoFastUpdatePicture, at most once a second (H.245 §B.14.2)."""
        now = self._owner.now()
        number = None if self.sessions is None else self.sessions.peer_channel(stream)
        asked = self._asked_key_frames.get(stream, float("-inf"))
        if self._over is not None or number is None or now - asked < KEY_FRAME_INTERVAL:
            return
        self._asked_key_frames[stream] = now
        self.core.control.ask_key_frame(number)
        self.core.flush()
        self._owner.pump(self)

    async def local_candidate(self, stream: str, candidate: Candidate | None) -> None:
        """H.323 has no ICE here."""

    async def ringing(self) -> None:
        """Send ALERTING, once."""
        if self._over is None:
            self.core.ring(self._owner.now())
            self._owner.pump(self)

    async def renegotiate(self, wanted: Wanted) -> None:
        """Offer the peer new media: our set once more, and the channels that follow from it."""
        if self.call is None or self._over is not None:
            return
        self._wanted = replace(wanted, separate=True, camera=True, slides=wanted.video)
        self.do(self._offer_anew)

    async def _offer_anew(self) -> None:
        sessions = self.sessions
        if self.call is None or sessions is None or self._over is not None:
            return
        ours, theirs = sessions.change(await self.call.offer(self._wanted))
        await self.call.accept(sessions.remote())
        control, now = self.core.control, self._owner.now()
        for number in ours:
            control.close(number, now)
        for number in theirs:
            control.ask_close(number, now)
        if self.core.controlled:
            control.offer_capabilities(write_capabilities(sessions.local), now)
        self._control.open_channels(sessions)
        self.core.flush()
        self._owner.pump(self)

    async def say(self, name: str, text: str) -> None:
        """H.323 terminals have no way to show text here."""

    async def press(self, digit: str, duration: int) -> None:
        """Press a key at the peer: by H.245, or by INFORMATION where it does not speak that."""
        if self._over is not None:
            return
        if self.core.control.ready:
            value: Any = ("signal", {"signalType": digit, "duration": max(1, min(duration, 65_535))})
            takes = frozenset() if self.sessions is None else self.sessions.user_input
            if "dtmf" not in takes and "basicString" in takes:
                value = ("alphanumeric", digit)
            self.core.control.send(("indication", ("userInput", value)))
            self.core.flush()
        else:
            self.core.press(digit)
        self._owner.pump(self)

    async def floor(self, floor: Floor) -> None:
        """Show the peer the slides of others in a channel of their own, or take that away (H.239)."""
        if self._over is None and self.slides is not None:
            self.slides.floor(floor, self._owner.now())
            self.core.flush()
            self._owner.pump(self)

    async def transfer(self, target: str, replaces: Any = None) -> None:
        """Refuse: H.450.2 is not done here."""
        raise Refused(Reason.UNSUPPORTED, "an H.323 terminal cannot be transferred")

    # jobs

    def do(self, job: Job) -> None:
        """Do a job after those that wait; a peer that makes too many ends its call."""
        if self._over is None and not self.jobs.add(job):
            self._log().warning("h323_call_too_busy", reason=Reason.OVERLOAD.value)
            self.drop(Reason.OVERLOAD)

    def _finish(self, reason: Reason) -> None:
        if self._over is not None:
            return
        self._over = reason
        if self._admission is not None:
            self._admission.cancel()
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_exception(Refused(reason))
            self._outcome.exception()  # one who was cancelled will not fetch it
        self.jobs.end_with(self._last)

    async def _last(self) -> None:
        try:
            if self.call is not None and self._over is not None:
                await self.call.ended(self._over)
        finally:
            self._owner.over(self)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, Refused):
            self.drop(error.reason, error.detail)
            return
        self._owner.count("internal_errors")
        self._log().error("h323_call_fault", error=repr(error), exc_info=error)
        self.drop(Reason.INTERNAL)

    def _log(self) -> Any:
        return log.bind(call=self.call.id if self.call is not None else None)
