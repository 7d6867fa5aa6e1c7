"""One control session: H.245 messages and time in, messages and events out.

Theory of operation. A session is the sum of the machines of H.245 Annex C: one for determining the master, one for
capabilities, one for each logical channel, and those of questions. `receive` hands each message to the machine that
its name belongs to; `tick` rings the timers that are due; `take` returns what is to be sent and told, in order. What
no machine wants is answered with functionNotSupported if it is a request, and handed up as `Told` otherwise.

The same class plays both roles. It neither knows how its messages travel (tunnelled or on a connection of their own)
nor what the channels carry.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from gateway.reasons import Reason
from h323.h245.capability_exchange import CapabilityExchange
from h323.h245.channels import CAUSES, OwnChannel, PeerChannel
from h323.h245.channels import State as ChannelState
from h323.h245.determination import Determination
from h323.h245.events import (
    CapabilitiesWanted,
    ControlEvent,
    ControlFailed,
    KeyFrameAsked,
    Keys,
    Pdu,
    RateLimited,
    SessionEnded,
    Told,
    Value,
)
from h323.h245.machine import Machine
from h323.h245.presentation import Presentation
from h323.h245.questions import OwnModeRequest, PeerModeRequest, RoundTripDelay

MAX_CHANNELS = 32
"""Channels of one side in one call: audio, main video, slides, camera control and text take five."""
MAX_CHANNEL_NUMBER = 65_535
END_TIME = 3.0
"""Seconds to wait for the peer's endSession after ours; real endpoints wait as long."""
MAX_STRAY = 100
"""Messages that make no sense before the session ends: a peer that goes on like that is not worth its load."""
MULTIPOINT_MCU = 190
"""Terminal type of an MCU with audio, video and data (H.323 Table 1)."""
KEY_FRAME_COMMANDS = frozenset(
    {"videoFastUpdatePicture", "videoFastUpdateGOB", "videoFastUpdateMB", "lostPicture", "lostPartialPicture"}
)
"""Miscellaneous commands that a whole new picture answers (H.245 §B.14.2)."""
KEYS = frozenset("0123456789#*ABCD!")
MAX_KEYS = 128
"""Keys taken of one alphanumeric string: nobody types more between two messages."""


class Control:
    """One session. terminal_type is what the determination compares; rng draws its numbers."""

    def __init__(self, rng: Random, terminal_type: int = MULTIPOINT_MCU) -> None:
        self.ended = False
        self.dress: Callable[[Value], Value] = lambda capabilities: capabilities
        """What our capability sets go through before they are told."""
        self._out: deque[Pdu | ControlEvent] = deque()
        self._determination = Determination(self, terminal_type, rng)
        self._capabilities = CapabilityExchange(self)
        self._round_trip = RoundTripDelay(self)
        self._own_mode = OwnModeRequest(self)
        self._peer_mode = PeerModeRequest(self)
        self.presentation = Presentation(self, rng)
        self._own: dict[int, OwnChannel] = {}
        self._peer: dict[int, PeerChannel] = {}
        self._last_number = 0
        self._ending: float | None = None
        self._stray = 0

    # what goes out

    def send(self, pdu: Pdu) -> None:
        """Put a message on the wire; for those that belong to no machine also from above."""
        if not self.ended:
            self._out.append(pdu)

    def report(self, event: ControlEvent) -> None:
        """Tell above."""
        self._out.append(event)

    def take(self) -> list[Pdu | ControlEvent]:
        """Return what is to be sent and told since the last time, in order."""
        taken = list(self._out)
        self._out.clear()
        return taken

    @property
    def master(self) -> bool | None:
        """Whether we are the master; None until it is known."""
        return self._determination.master

    @property
    def ready(self) -> bool:
        """Whether channels may be opened: both sets are known, ours was taken, and the master is known."""
        return self.master is not None and self._capabilities.accepted and self._capabilities.received is not None

    @property
    def peer_capabilities(self) -> Value | None:
        """The peer's last set; None before it came."""
        return self._capabilities.received

    def next_timeout(self) -> float | None:
        """Return when `tick` is wanted; None if nothing waits."""
        due = [one.due for one in self._machines() if one.due is not None]
        if self._ending is not None:
            due.append(self._ending)
        return min(due, default=None)

    def census(self) -> dict[str, int]:
        """Return how many channels and timers there are."""
        timers = sum(1 for one in self._machines() if one.due is not None)
        return {"own": len(self._own), "peer": len(self._peer), "timers": timers}

    def _machines(self) -> list[Machine[Any]]:
        single: list[Machine[Any]] = [
            self._determination,
            self._capabilities,
            self._round_trip,
            self._own_mode,
            self._peer_mode,
            self.presentation,
        ]
        return [*single, *self._own.values(), *self._peer.values()]

    # what comes from above

    def start(self, capabilities: Value, now: float) -> None:
        """Tell our capabilities and ask who is the master."""
        self.offer_capabilities(capabilities, now)
        self._determination.start(now)

    def offer_capabilities(self, capabilities: Value, now: float) -> None:
        """Tell new capabilities: a terminalCapabilitySet without sequence number; {} asks the peer to stop sending."""
        self._capabilities.offer(self.dress(capabilities), now)

    def open(self, request: Value, now: float, number: int | None = None) -> int | None:
        """Open a channel; request is an openLogicalChannel without number. None if there are too many.

        number is given for channels that fast connect numbered already.
        """
        self._drop_released()
        if len(self._own) >= MAX_CHANNELS:
            return None
        if number is None or number in self._own:
            number = self._free_number()
        channel = self._own[number] = OwnChannel(self, number, request)
        channel.feed("open", None, now)
        return number

    def adopt(self, number: int, request: Value, ours: bool) -> None:
        """Take a channel for open that fast connect agreed on (H.323 §8.1.7.1)."""
        if ours:
            channel = self._own[number] = OwnChannel(self, number, request)
            channel.state = ChannelState.ESTABLISHED
        else:
            peer = self._peer[number] = PeerChannel(self, number)
            peer.state = ChannelState.ESTABLISHED

    def next_number(self) -> int:
        """Return the number of a channel that is to be opened later, by `open`."""
        return self._free_number()

    def _free_number(self) -> int:
        while True:
            self._last_number = self._last_number % MAX_CHANNEL_NUMBER + 1
            if self._last_number not in self._own:
                return self._last_number

    def accept(self, number: int, answer: Value, now: float) -> bool:
        """Take a channel of the peer's; answer is an openLogicalChannelAck without number. False if it is gone."""
        channel = self._peer.get(number)
        return channel is not None and channel.feed("accept", answer, now)

    def reject(self, number: int, cause: str, now: float) -> bool:
        """Refuse a channel of the peer's for one of `CAUSES`. False if it is gone."""
        if cause not in CAUSES:
            raise ValueError(f"{cause} is no cause of a reject")
        channel = self._peer.get(number)
        refused = channel is not None and channel.feed("reject", cause, now)
        self._drop_released()
        return refused

    def close(self, number: int, now: float) -> bool:
        """Close a channel of ours. False if there is none."""
        channel = self._own.get(number)
        return channel is not None and channel.feed("close", None, now)

    def give_up(self, number: int) -> None:
        """A channel of ours could not even be asked for: it counts as refused."""
        channel = self._own.get(number)
        if channel is not None:
            channel.feed("openLogicalChannelReject", {"cause": ("unspecified", None)}, 0.0)
            self._drop_released()

    def ask_close(self, number: int, now: float, reason: str = "normal") -> bool:
        """Ask the peer to close a channel of its own: unknown, normal, reopen or reservationFailure."""
        channel = self._peer.get(number)
        return channel is not None and channel.feed("ask close", reason, now)

    def grant_close(self, number: int, agreed: bool, now: float) -> None:
        """Answer the peer's request to close a channel of ours, and close it if we agree."""
        if agreed:
            self.send(("response", ("requestChannelCloseAck", {"forwardLogicalChannelNumber": number})))
            self.close(number, now)
        else:
            self._reject(number, "requestChannelCloseReject")

    def ask_mode(self, modes: list[Any], now: float) -> None:
        """Ask the peer to send in one of these modes, best first."""
        self._own_mode.feed("ask", modes, now)

    def answer_mode(self, accepted: bool, now: float, preferred: bool = True, cause: str = "modeUnavailable") -> None:
        """Answer the peer's request for a mode."""
        if accepted:
            self._peer_mode.feed("accept", preferred, now)
        else:
            self._peer_mode.feed("refuse", cause, now)

    def ask_round_trip(self, now: float) -> None:
        """Measure the round trip, and see whether the peer lives."""
        self._round_trip.feed("start", None, now)

    def ask_key_frame(self, number: int) -> None:
        """Ask for a key frame on a channel of the peer's."""
        kind = ("videoFastUpdatePicture", None)
        self.send(("command", ("miscellaneousCommand", {"logicalChannelNumber": number, "type": kind})))

    def limit_rate(self, number: int, rate: int | None) -> None:
        """Tell the peer to send no more than rate bit/s on a channel of its own; None lifts the limit."""
        # The unit is 100 bit/s (§B.14.4).
        limit = ("noRestriction", None) if rate is None else ("maximumBitRate", max(0, rate // 100))
        value = {"scope": ("logicalChannelNumber", number), "restriction": limit}
        self.send(("command", ("flowControlCommand", value)))

    def end(self, now: float) -> None:
        """End the session; after `END_TIME`, or the peer's own end, it is over."""
        if not self.ended and self._ending is None:
            self.send(("command", ("endSessionCommand", ("disconnect", None))))
            self._ending = now + END_TIME

    def stop(self) -> None:
        """End the session here and now, for its call is over: nothing more is sent or told."""
        self.ended = True
        self._ending = None
        for machine in self._machines():
            machine.due = None
        self._own.clear()
        self._peer.clear()

    # what comes from the peer

    def receive(self, pdu: Pdu, now: float) -> None:
        """Take one message. It never raises for what a peer can send."""
        if self.ended:
            return
        kind, body = pdu
        if body is None or body[0] is None:  # an alternative of a later version than ours
            self._not_supported(kind, "unknownFunction")
            return
        name, value = body
        try:
            handler = _HANDLERS.get(name)
            if handler is None:
                self.report(Told(kind, name, value))
            else:
                handler(self, value, now)
        except (KeyError, IndexError, TypeError, ValueError):
            self._strays(f"{name} cannot be read")
        self._drop_released()

    def _heed(self, machine: Machine[Any] | None, name: str, value: Any, now: float) -> None:
        if machine is None or not machine.feed(name, value, now):
            self._strays(name)

    def _strays(self, what: str) -> None:
        """Count what has no place here; a peer may cross messages, but not without end."""
        self._stray += 1
        if self._stray == MAX_STRAY:
            self.report(ControlFailed(Reason.BAD_REQUEST, f"too many control messages without sense, last {what}"))

    def refuse_function(self, pdu: Pdu) -> None:
        """Answer a request, response or command that nobody here handles (functionNotUnderstood)."""
        if pdu[0] != "indication":
            self.send(("indication", ("functionNotUnderstood", pdu)))

    def _not_supported(self, kind: str, cause: str) -> None:
        if kind != "indication":
            self.send(("indication", ("functionNotSupported", {"cause": (cause, None)})))
        self._strays(f"an unknown {kind}")

    def unreadable(self) -> None:
        """Answer a message that the codec could not read (H.245 §B.16.13)."""
        self._not_supported("request", "syntaxError")

    def tick(self, now: float) -> None:
        """Ring the timers that are due."""
        for machine in self._machines():
            machine.tick(now)
        if self._ending is not None and now >= self._ending:
            self._end()
        self._drop_released()

    def _end(self) -> None:
        self._ending = None
        if not self.ended:
            self.report(SessionEnded())
            self.stop()

    def _drop_released(self) -> None:
        for table in (self._own, self._peer):
            for number in [number for number, one in table.items() if one.state is ChannelState.RELEASED]:
                del table[number]

    # handlers

    def _take_capabilities(self, value: Value, now: float) -> None:
        self._capabilities.take(value)

    def _want_capabilities(self, value: Any, now: float) -> None:
        self.report(CapabilitiesWanted())

    def _offered(self, value: Value, now: float) -> None:
        number = value["forwardLogicalChannelNumber"]
        channel = self._peer.get(number)
        if channel is None:
            if self._conflicts(value):
                self._reject(number, "openLogicalChannelReject", "masterSlaveConflict")
                return
            if len(self._peer) >= MAX_CHANNELS:
                self._reject(number, "openLogicalChannelReject")
                return
            channel = self._peer[number] = PeerChannel(self, number)
        channel.feed("openLogicalChannel", value, now)

    def _conflicts(self, value: Value) -> bool:
        """Tell whether the peer opens what we, the master, are opening: both ways for the same data (§C.5.1.3)."""
        if "reverseLogicalChannelParameters" not in value or not self.master:
            return False
        data = value["forwardLogicalChannelParameters"]["dataType"]
        return any(
            one.bidirectional
            and one.state is ChannelState.OPENING
            and one.request["forwardLogicalChannelParameters"]["dataType"] == data
            for one in self._own.values()
        )

    def _reject(self, number: int, name: str, cause: str = "unspecified") -> None:
        self.send(("response", (name, {"forwardLogicalChannelNumber": number, "cause": (cause, None)})))

    def _close_own(self, value: Value, now: float) -> None:
        number = value["forwardLogicalChannelNumber"]
        channel = self._own.get(number)
        if channel is None or not channel.feed("requestChannelClose", value, now):
            self._reject(number, "requestChannelCloseReject")

    def _close_peer(self, value: Value, now: float) -> None:
        number = value["forwardLogicalChannelNumber"]
        channel = self._peer.get(number) or PeerChannel(self, number)
        channel.feed("closeLogicalChannel", value, now)

    def _answer_round_trip(self, value: Value, now: float) -> None:
        self.send(("response", ("roundTripDelayResponse", {"sequenceNumber": value["sequenceNumber"]})))

    def _miscellaneous(self, value: Value, now: float) -> None:
        name = value["type"][0]
        if name in KEY_FRAME_COMMANDS:
            self.report(KeyFrameAsked(value["logicalChannelNumber"]))
        else:
            self.report(Told("command", "miscellaneousCommand", value))

    def _flow(self, value: Value, now: float) -> None:
        scope, number = value["scope"]
        word, units = value["restriction"]
        rate = units * 100 if word == "maximumBitRate" else None
        if scope in ("logicalChannelNumber", "wholeMultiplex"):
            self.report(RateLimited(number if scope == "logicalChannelNumber" else 0, rate))

    def _pressed(self, value: tuple[str, Any], now: float) -> None:
        name, said = value
        if name == "signal":
            key = str(said["signalType"])[:1].upper()
            if key in KEYS:
                self.report(Keys(key, said.get("duration") or 0, signal=True))
        elif name == "signalUpdate":
            self.report(Keys("", said["duration"], update=True))
        elif name in ("alphanumeric", "extendedAlphanumeric"):
            typed = str(said if name == "alphanumeric" else said["alphanumeric"])
            keys = "".join(one for one in typed.upper()[:MAX_KEYS] if one in KEYS)
            if keys:
                self.report(Keys(keys))

    def _present(self, kind: str, value: Value, now: float) -> None:
        if not self.presentation.receive(kind, value, now):
            self.report(Told(kind, f"generic{kind.capitalize()}", value))

    def _peer_ended(self, value: Any, now: float) -> None:
        if self._ending is None:
            self.send(("command", ("endSessionCommand", ("disconnect", None))))
        self._end()

    def _ignored(self, value: Any, now: float) -> None:
        """Take what asks for nothing."""


def _generic() -> dict[str, Any]:
    """Return handlers for generic messages, all of which H.239's machine may know."""

    def handler(kind: str) -> Any:
        return lambda session, value, now: session._present(kind, value, now)

    return {f"generic{kind.capitalize()}": handler(kind) for kind in ("request", "response", "command", "indication")}


def _of(attribute: str, *names: str) -> dict[str, Any]:
    """Return handlers that hand messages by their own names to a machine of the session."""

    def handler(name: str) -> Any:
        return lambda session, value, now: session._heed(getattr(session, attribute), name, value, now)

    return {name: handler(name) for name in names}


def _of_channel(table: str, *names: str) -> dict[str, Any]:
    """Return handlers that hand messages to the channel that they name."""

    def handler(name: str) -> Any:
        def hand(session: Control, value: Value, now: float) -> None:
            channel = getattr(session, table).get(value["forwardLogicalChannelNumber"])
            session._heed(channel, name, value, now)

        return hand

    return {name: handler(name) for name in names}


_HANDLERS: dict[str, Any] = {
    "terminalCapabilitySet": Control._take_capabilities,
    "sendTerminalCapabilitySet": Control._want_capabilities,
    "terminalCapabilitySetRelease": Control._ignored,
    "openLogicalChannel": Control._offered,
    "requestChannelClose": Control._close_own,
    "requestChannelCloseRelease": Control._ignored,
    "closeLogicalChannel": Control._close_peer,
    "roundTripDelayRequest": Control._answer_round_trip,
    "miscellaneousCommand": Control._miscellaneous,
    "flowControlCommand": Control._flow,
    "userInput": Control._pressed,
    "endSessionCommand": Control._peer_ended,
    **_generic(),
    **_of(
        "_determination",
        "masterSlaveDetermination",
        "masterSlaveDeterminationAck",
        "masterSlaveDeterminationReject",
        "masterSlaveDeterminationRelease",
    ),
    **_of("_capabilities", "terminalCapabilitySetAck", "terminalCapabilitySetReject"),
    **_of("_round_trip", "roundTripDelayResponse"),
    **_of("_own_mode", "requestModeAck", "requestModeReject"),
    **_of("_peer_mode", "requestMode", "requestModeRelease"),
    **_of_channel("_own", "openLogicalChannelAck", "openLogicalChannelReject", "closeLogicalChannelAck"),
    **_of_channel("_peer", "openLogicalChannelConfirm", "requestChannelCloseAck", "requestChannelCloseReject"),
}
