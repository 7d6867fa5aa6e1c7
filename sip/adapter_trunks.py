"""All trunks of the house: which one a call came through, and the way out through each."""

from __future__ import annotations

import asyncio
import random

from gateway.reasons import Reason, Refused
from sip.adapter_trunk import TrunkLine, TrunkOwner
from sip.dialling import Finder
from sip.events import Flow, RequestAnswered
from sip.message import Request
from sip.transport import Network
from sip.trunk import Trunk, TrunkInfo

LEAVE_TIME = 1.0
"""Seconds that carriers have to answer when we un-register at the end."""


class Trunks:
    """The configured trunks by name."""

    def __init__(
        self, trunks: tuple[Trunk, ...], owner: TrunkOwner, network: Network, finder: Finder, rng: random.Random
    ) -> None:
        self._network = network
        self._lines = {trunk.name: TrunkLine(trunk, owner, network, finder, rng) for trunk in trunks}

    def start(self) -> None:
        """Register and ask as configured."""
        for line in self._lines.values():
            line.start()

    async def stop(self) -> None:
        """Un-register, all at once, and ask no more."""
        await asyncio.gather(*(line.stop(LEAVE_TIME) for line in self._lines.values()))

    def get(self, name: str) -> TrunkLine:
        """Return a trunk. Raises Refused where there is none of that name."""
        found = self._lines.get(name)
        if found is None:
            raise Refused(Reason.UNREACHABLE, f"there is no trunk {name}")
        return found

    def recognise(self, request: Request, flow: Flow) -> TrunkLine | None:
        """Return the trunk that a call comes through, None for none.

        A carrier that calls the Contact that we registered is known by that, as no one else has heard of it; any
        other by its address, or over TLS by the certificate that it showed.
        """
        if flow.transport.web:  # a page on a machine of the carrier's is not the carrier
            return None
        user = request.uri.name
        for line in self._lines.values():
            if line.contact_user and line.contact_user == user:
                return line
        for line in self._lines.values():
            if line.is_source(flow.remote_address):
                return line
        shown = self._network.peer_names(flow) if flow.transport.secure else frozenset()
        for line in self._lines.values():
            if shown & set(line.trunk.certificates):
                return line
        return None

    def closed(self, flow: Flow) -> None:
        """Take note of a connection that is gone."""
        for line in self._lines.values():
            line.closed(flow)

    def answered(self, event: RequestAnswered) -> None:
        """Take what became of a request; it may be somebody else's."""
        for line in self._lines.values():
            if line.answered(event):
                break

    def listing(self) -> tuple[TrunkInfo, ...]:
        """Return how each trunk is."""
        return tuple(line.info() for line in self._lines.values())
