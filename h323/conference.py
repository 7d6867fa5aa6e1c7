"""What an MCU says of a conference to one terminal, and answers it (H.245 §B.9, §B.16.9; H.243). Pure.

Participants of a room are numbered from 1 as they come; a number is free again when its owner has left. A terminal is
told its own number, who comes and goes, whom it sees largest, and that it is seen.

The chair's token goes to the first that asks, until it gives it back or leaves. It names who leads, and gives no rights
that its owner has not got in the room anyhow: a chair that is a host may drop terminals, end the conference, and choose
whom all see large (`adapter_chair`). What nobody can do here, for the room shows everybody the same picture, is denied.
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
NO_DROP: Pdu = ("response", ("conferenceResponse", ("terminalDropReject", None)))
_DENIED = {
    "sendThisSource": ("sendThisSourceResponse", ("deniedSendThisSource", None)),
    "remoteMCRequest": ("remoteMCResponse", ("reject", ("functionNotSupported", None))),
    "requestTerminalCertificate": ("terminalCertificateResponse", {}),
}
"""Requests that get one answer always. An empty certificate response says that there is none."""


def broadcast_response(name: str, granted: bool) -> Pdu:
    """Return the answer to makeTerminalBroadcaster or broadcastMyLogicalChannel."""
    word = ("granted" if granted else "denied") + name[0].upper() + name[1:]
    return ("response", ("conferenceResponse", (f"{name}Response", (word, None))))


class TerminalNumbers:
    """The numbers of one room's participants; chair is who has the chair's token."""

    def __init__(self) -> None:
        self.chair: str | None = None
        self._numbers: dict[str, int] = {}

    def settle(self, present: Mapping[str, str]) -> None:
        """Give each of those present a number, and take those back whose owners have left."""
        self._numbers = {who: number for who, number in self._numbers.items() if who in present}
        if self.chair not in present:
            self.chair = None
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


def read_label(label: Value) -> int:
    """Return the label that another MCU gave us, as H.239 says it in one number: the MCU's in the upper octet."""
    return int(label["mcuNumber"]) << 8 | int(label["terminalNumber"])


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

    def answer(self, name: str, value: Any) -> list[Pdu] | None:
        """Return what answers a conferenceRequest, nothing where none is due; None for one not understood here."""
        if name in _DENIED:
            return [self._response(*_DENIED[name])]
        match name:
            case "makeMeChair":
                return [self._response("makeMeChairResponse", self._take_chair())]
            case "cancelMakeMeChair":
                if self._numbers.chair == self.me:
                    self._numbers.chair = None
                return []
            case "requestChairTokenOwner":
                return self._identify(self._numbers.get(self._numbers.chair), "chairTokenOwnerResponse")
            case "requestTerminalID" if value["mcuNumber"] == MCU:
                return self._identify(value["terminalNumber"], "mCTerminalIDResponse")
            case "terminalListRequest" if self._known():
                return [self._response("terminalListResponse", [_label(number) for number, _ in self._known()])]
            case "requestAllTerminalIDs" if self._known():
                listed = [
                    {"terminalLabel": _label(number), "terminalID": self._id(who)} for number, who in self._known()
                ]
                return [self._response("requestAllTerminalIDsResponse", {"terminalInformation": listed})]
        return None

    def _take_chair(self) -> Any:
        if self.me in self._names and self._numbers.chair in (None, self.me):
            self._numbers.chair = self.me
        return ("grantedChairToken" if self._numbers.chair == self.me else "deniedChairToken", None)

    def _known(self) -> list[tuple[int, str]]:
        return sorted((number, who) for who in self._names if (number := self._numbers.get(who)) is not None)

    def meant(self, label: Value) -> str | None:
        """Return whom the chair means by a label; None if we are not the chair, or nobody is meant."""
        who = self._numbers.owner(label["terminalNumber"]) if label["mcuNumber"] == MCU else None
        return who if self.chairs and who in self._names else None

    @property
    def chairs(self) -> bool:
        """Whether the terminal has the chair's token."""
        return self._numbers.chair == self.me and self.me in self._names

    def _identify(self, number: int | None, response: str) -> list[Pdu] | None:
        who = self._numbers.owner(number) if number is not None else None
        if number is None or who is None or who not in self._names:
            return None
        return [self._response(response, {"terminalLabel": _label(number), "terminalID": self._id(who)})]

    def _id(self, who: str) -> bytes:
        """Return a name as a terminal's id; never cut inside a character."""
        return self._names[who].encode()[:MAX_ID].decode("utf-8", "ignore").encode() or b"?"

    @staticmethod
    def _response(name: str, value: Any) -> Pdu:
        return ("response", ("conferenceResponse", (name, value)))
