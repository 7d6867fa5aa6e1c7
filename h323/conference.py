"""What an MCU says of a conference to one terminal, and answers it (H.245 §B.9, §B.16.9; H.243). Pure.

Participants of a room are numbered from 1 as they come; a number is free again when its owner has left. A terminal is
told its own number, who comes and goes, whom it sees largest, and that it is seen. There is no chair in a room: that
and what only a chair may do are denied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from h323.h245.events import Pdu

Value = dict[str, Any]

MCU = 0
"""Our own number among MCUs; there are no others in a room."""
MAX_NUMBER = 192
"""The highest number of a terminal (H.243 §5.1); who comes later stays without."""
MAX_ID = 128
"""Octets of a terminal's id."""
_DENIED = {
    "makeMeChair": ("makeMeChairResponse", ("deniedChairToken", None)),
    "dropTerminal": ("terminalDropReject", None),
    "broadcastMyLogicalChannel": ("broadcastMyLogicalChannelResponse", ("deniedBroadcastMyLogicalChannel", None)),
    "makeTerminalBroadcaster": ("makeTerminalBroadcasterResponse", ("deniedMakeTerminalBroadcaster", None)),
    "sendThisSource": ("sendThisSourceResponse", ("deniedSendThisSource", None)),
}


class TerminalNumbers:
    """The numbers of one room's participants."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def settle(self, present: Mapping[str, str]) -> None:
        """Give each of those present a number, and take those back whose owners have left."""
        self._numbers = {who: number for who, number in self._numbers.items() if who in present}
        taken = set(self._numbers.values())
        free = (number for number in range(1, MAX_NUMBER + 1) if number not in taken)
        for who in present:
            if who not in self._numbers:
                number = next(free, None)
                if number is None:
                    return
                self._numbers[who] = number

    def get(self, who: str | None) -> int | None:
        """Return somebody's number."""
        return None if who is None else self._numbers.get(who)

    def owner(self, number: int) -> str | None:
        """Return whose number it is."""
        return next((who for who, one in self._numbers.items() if one == number), None)


def _label(number: int) -> Value:
    return {"mcuNumber": MCU, "terminalNumber": number}


def _indication(name: str, value: Any = None) -> Pdu:
    return ("indication", ("conferenceIndication", (name, value)))


class ConferenceView:
    """A room as one terminal in it is told."""

    def __init__(self, numbers: TerminalNumbers, me: str) -> None:
        self.me = me
        self._numbers = numbers
        self._names: dict[str, str] = {}
        self._told: dict[str, int] | None = None
        self._sees: int | None = None
        self._seen = False

    def counts_by(self, numbers: TerminalNumbers) -> bool:
        """Whether these are its room's numbers; a call may be moved to another room."""
        return self._numbers is numbers

    def update(self, people: Mapping[str, str], speaker: str | None) -> list[Pdu]:
        """Return what to tell after a change; people are the names of those present by id, numbered already."""
        own = self._numbers.get(self.me)
        if self.me not in people or own is None:
            return []
        self._names = dict(people)
        others = {who: number for who in people if who != self.me and (number := self._numbers.get(who)) is not None}
        pdus: list[Pdu] = []
        if self._told is None:
            pdus.append(_indication("terminalNumberAssign", _label(own)))
        else:
            gone = {number for who, number in self._told.items() if others.get(who) != number}
            new = {number for who, number in others.items() if self._told.get(who) != number}
            pdus += [_indication("terminalLeftConference", _label(number)) for number in sorted(gone)]
            pdus += [_indication("terminalJoinedConference", _label(number)) for number in sorted(new)]
        self._told = others
        if bool(others) != self._seen:
            self._seen = bool(others)
            pdus.append(_indication("seenByAll" if self._seen else "cancelSeenByAll"))
        sees = others.get(speaker or "", self._sees if self._sees in others.values() else None)
        if sees is not None and sees != self._sees:
            pdus.append(_indication("terminalYouAreSeeing", _label(sees)))
        self._sees = sees
        return pdus

    def answer(self, name: str, value: Any) -> Pdu | None:
        """Return the response to a conferenceRequest; None for one that is not understood here."""
        if name in _DENIED:
            return self._response(*_DENIED[name])
        if name == "terminalListRequest":
            numbers = sorted(number for who in self._names if (number := self._numbers.get(who)) is not None)
            return self._response("terminalListResponse", [_label(number) for number in numbers]) if numbers else None
        if name == "requestTerminalID":
            return self._identify(value)
        if name == "requestAllTerminalIDs":
            known = sorted((number, who) for who in self._names if (number := self._numbers.get(who)) is not None)
            listed = [{"terminalLabel": _label(number), "terminalID": self._id(who)} for number, who in known]
            return self._response("requestAllTerminalIDsResponse", {"terminalInformation": listed}) if listed else None
        return None

    def _identify(self, label: Value) -> Pdu | None:
        who = self._numbers.owner(label["terminalNumber"]) if label["mcuNumber"] == MCU else None
        if who is None or who not in self._names:
            return None
        return self._response("mCTerminalIDResponse", {"terminalLabel": label, "terminalID": self._id(who)})

    def _id(self, who: str) -> bytes:
        """Return a name as a terminal's id; never cut inside a character."""
        return self._names[who].encode()[:MAX_ID].decode("utf-8", "ignore").encode() or b"?"

    @staticmethod
    def _response(name: str, value: Any) -> Pdu:
        return ("response", ("conferenceResponse", (name, value)))
