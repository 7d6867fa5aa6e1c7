"""Slides of one H.323 call: between the room's floor, the H.239 token and the channels with the presentation role.

Theory of operation. What the room says leads. While somebody else presents (TAKEN), the token is asked of the peer,
which tells it that it cannot present now; whether it yields or not the token is ours then, for the room has decided,
and a channel is opened and closed again when the room sees other slides or none. While the peer has the floor, its own
channel is all there is. A peer that asks for the token asks the room; one that gives it back, or closes its channel,
gives back the floor. A peer without H.239 sees slides in its main picture.

Pure but for the House, which is asked for the floor and answers by `answered`.
"""

from __future__ import annotations

from typing import Protocol

from gateway.calls import Floor
from h323.h245 import events
from h323.h245.control import Control
from h323.h245.presentation import State
from h323.sessions import Sessions
from transcode.media import Role


class House(Protocol):
    """Who asks the room for a call."""

    def ask_floor(self, wanted: bool) -> None:
        """Ask for the room's floor, or give it back; a request is answered by `Slides.answered`."""


class Slides:
    """One call's slides, in both directions."""

    def __init__(self, control: Control, sessions: Sessions, house: House) -> None:
        self._control = control
        self._sessions = sessions
        self._house = house
        self._floor = Floor.FREE
        self._theirs: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._number: int | None = None
        self._asked = self._asking = self._open = self._refused = False

    # what the house says

    def floor(self, floor: Floor, now: float) -> None:
        """Take who presents in the room."""
        token = self._control.presentation
        self._floor = floor
        self._refused = False
        if floor is Floor.FREE and token.state is State.PEERS:  # the room took it from the peer, not it from itself
            token.take(0, now)
            token.give_back(now)
            self._close_theirs(now)
        self.update(now)

    def answered(self, granted: bool, now: float) -> None:
        """The room answered the peer's request."""
        if granted:
            self._floor = Floor.PEER  # what `floor` will say, perhaps a moment later
        self._control.presentation.answer(granted, now)
        self.update(now)

    # what the peer says

    def heard(self, event: events.ControlEvent, now: float) -> None:
        """Take an event of the control session, behind the sessions."""
        match event:
            case events.TokenAsked():
                self._house.ask_floor(True)
            case events.TokenReleased():
                self._house.ask_floor(False)
            case events.TokenAnswered(granted):
                self._asking = False
                if self._open and self._number is not None and not granted:
                    self._control.presentation.take(self._number, now)  # the room has decided all the same
            case events.TokenLost():
                self._withdraw(now)
                self._refused = True
            case events.ChannelAnswered(number) if number == self._number:
                self._indicate(number, "logicalChannelActive")
            case events.ChannelRefused(number) if number == self._number:
                self._open, self._number = False, None
            case events.ChannelClosed(number, True) if number == self._number:
                self._open, self._number, self._refused = False, None, True
            case events.ChannelClosed(number, False) if number == self._theirs and self._floor is Floor.PEER:
                self._house.ask_floor(False)
            case _:
                pass

    # both

    def update(self, now: float) -> None:
        """Do what is due by now."""
        before, self._theirs = self._theirs, self._sessions.peer_number(Role.SLIDES)
        if self._floor is not Floor.TAKEN:
            self._end(now)
        elif self._theirs not in (before, None) and self._control.presentation.state is State.OURS:
            self._close_theirs(now)  # it was under way when the peer lost the token
        elif self._control.ready and self._sessions.shows and not (self._open or self._asking or self._refused):
            self._show(now)

    def _show(self, now: float) -> None:
        """Come nearer to a channel of ours: the token first."""
        token = self._control.presentation
        if token.state is State.DECIDING:
            return  # the room's answer comes
        if self._sessions.own_number(Role.SLIDES) is not None:
            return  # the last one is being closed
        if self._number is None:
            self._number = self._control.next_number()
        if token.state is State.FREE and not self._asked:
            self._asked = self._asking = token.ask(self._number, now)
            if self._asking:
                return
        opening = self._sessions.slides_opening(bool(self._control.master))
        if opening is None:
            self._refused = True
            return
        if token.state is not State.OURS or token.channel != self._number:
            token.take(self._number, now)
        self._close_theirs(now)
        opened = self._control.open(opening.request, now, self._number)
        if opened is None:
            self._refused = True
            return
        self._number = opened
        self._open = True
        self._sessions.opened(opening, opened)

    def _end(self, now: float) -> None:
        self._withdraw(now)
        self._control.presentation.give_back(now)
        self._reset()

    def _withdraw(self, now: float) -> None:
        if self._open and self._number is not None:
            self._indicate(self._number, "logicalChannelInactive")
            self._control.close(self._number, now)
            self._open, self._number = False, None

    def _close_theirs(self, now: float) -> None:
        number = self._sessions.peer_number(Role.SLIDES)
        if number is not None:
            self._control.ask_close(number, now)

    def _indicate(self, number: int, what: str) -> None:
        value = {"logicalChannelNumber": number, "type": (what, None)}
        self._control.send(("indication", ("miscellaneousIndication", value)))
