"""What the two sides of one call agree on for its way through a translator (H.460.18, H.460.19). Pure.

The client stands behind the translator; the server is the one that it can reach, and lets the client open everything:
connections, and by keep-alive packets the ways of media.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Any

from h323.h460.features import MEDIA, find, parameters, write_feature

Value = dict[str, Any]

SENDS_MULTIPLEXED = 1
"""Parameter of feature 19: its sender can put a multiplexID before packets."""
IS_SERVER = 2
"""Parameter of feature 19: its sender is the server."""


class Role(Enum):
    """Who we are in a call."""

    NONE = auto()
    SERVER = auto()
    CLIENT = auto()


class CallTraversal:
    """Of one call.

    offered is the role that we offer in a call that we place. serves and uses say which roles we take in one that
    comes: to serve clients, and to be one. role is what was agreed on.
    """

    def __init__(self, offered: Role = Role.NONE, serves: bool = False, uses: bool = False) -> None:
        self.offered = offered
        self.role = Role.NONE
        self.takes_multiplexed = False
        """Whether the peer can send with a multiplexID before its packets."""
        self._serves = serves
        self._uses = uses

    @property
    def waits(self) -> bool:
        """Whether the peer must open the H.245 connection, as nobody can connect to it."""
        return Role.SERVER in (self.offered, self.role)

    @property
    def connects(self) -> bool:
        """Whether we must open the H.245 connection ourselves."""
        return Role.CLIENT in (self.offered, self.role)

    def offer(self) -> list[Value]:
        """Return the features of our SETUP."""
        return self._told(self.offered)

    def take_offer(self, features: Iterable[Value]) -> None:
        """Take the features of the caller's SETUP."""
        feature = find(features, MEDIA)
        if feature is None:
            return
        if parameters(feature, IS_SERVER):
            self.role = Role.CLIENT if self._uses else Role.NONE
        elif self._serves:
            self.role = Role.SERVER
        self._learn(feature)

    def answer(self) -> list[Value]:
        """Return the features of our answers to a SETUP."""
        return self._told(self.role)

    def take_answer(self, features: Iterable[Value]) -> None:
        """Take the features of an answer to our SETUP; each one may bring them."""
        feature = find(features, MEDIA)
        if feature is None or self.offered is Role.NONE:
            return
        server = bool(parameters(feature, IS_SERVER))
        if server is (self.offered is Role.CLIENT):
            self.role = self.offered
            self._learn(feature)

    def _learn(self, feature: Value) -> None:
        self.takes_multiplexed = bool(parameters(feature, SENDS_MULTIPLEXED))

    @staticmethod
    def _told(role: Role) -> list[Value]:
        if role is Role.NONE:
            return []
        said: dict[int, Any] = {SENDS_MULTIPLEXED: None}
        if role is Role.SERVER:
            said[IS_SERVER] = None
        return [write_feature(MEDIA, said)]
