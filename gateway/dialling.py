"""The house's dialler: has each call placed by the adapter of its protocol, and sets the switchboard up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from gateway.calls import Call, CallFacts, Order
from gateway.config import Config
from gateway.config_dialling import dial_plan
from gateway.policy_client import PolicyClient, PolicySettings
from gateway.reasons import Reason, Refused
from gateway.rooms.desk import FrontDesk
from gateway.rooms.switchboard import Switchboard
from transcode.interface import Sample
from transcode.media import Wanted


class Adapter(Protocol):
    """An adapter that places calls."""

    def user_of(self, target: str) -> str | None:
        """Return the account of ours that an address means, None where it is somebody outside."""

    def reachable(self, user: str) -> bool:
        """Tell whether an account of ours is registered."""

    async def place(self, order: Order, facts: CallFacts) -> Call:
        """Place a call (see `gateway.calls.Dialler`)."""


class H323(Protocol):
    """The H.323 adapter."""

    def has(self, alias: str) -> bool:
        """Tell whether an endpoint of ours has this alias."""

    def user_of(self, target: str) -> str | None:
        """Return the alias of an endpoint of ours that an address means, None where it is somebody outside."""

    async def dial(self, target: str, facts: CallFacts, wanted: Wanted | None = None, display: str = "") -> Call:
        """Place a call to h323:alias@host, h323:host or h323:alias."""


class HouseDialler:
    """Implements `gateway.calls.Dialler` over the adapters that there are; h323 None: there is none."""

    def __init__(self, sip: Adapter) -> None:
        self.h323: H323 | None = None
        self._sip = sip

    def user_of(self, target: str) -> str | None:
        """See `Dialler.user_of`."""
        if target.lower().startswith("h323:"):
            return self.h323.user_of(target) if self.h323 is not None else None
        return self._sip.user_of(target)

    def by_h323(self, user: str) -> bool:
        """Tell whether a user of ours is called by H.323: one that is there, and not by SIP."""
        return self.h323 is not None and self.h323.has(user) and not self._sip.reachable(user)

    async def dial(self, order: Order, facts: CallFacts) -> Call:
        """See `Dialler.dial`."""
        scheme, _, user = order.target.partition(":")
        if scheme == "user" and self.by_h323(user):
            order = replace(order, target=f"h323:{user}")
        if not order.target.lower().startswith("h323:"):
            return await self._sip.place(order, facts)
        if self.h323 is None:
            raise Refused(Reason.UNSUPPORTED, "no H.323 calls are placed here")
        return await self.h323.dial(order.target, facts, order.wanted, order.display)


def set_up(desk: FrontDesk, config: Config, users: Iterable[str]) -> PolicyClient | None:
    """Give the desk's switchboard what the configuration says; return the policy client that is to be closed.

    Raises OSError where the policy's certificate cannot be read.
    """
    board, policy = desk.switchboard, config.policy
    board.plan = dial_plan(config.dial_plan)
    board.outbound = config.outbound.outbound()
    board.is_user = frozenset(users).__contains__
    if policy.url is None:
        return None
    client = PolicyClient(
        PolicySettings(policy.url, policy.timeout, policy.on_failure == "refuse", policy.token, policy.certificate)
    )
    board.policy = client
    return client


def samples(board: Switchboard) -> list[Sample]:
    """Return the switchboard's counts for metrics."""
    found = [
        Sample("outbound_refused_total", (("reason", reason.value),), count)
        for reason, count in board.outbound.refused.items()
    ]
    return [
        *found,
        Sample("outbound_calls", (), board.outbound.calls),
        Sample("dialled", (("state", "calling"),), board.desk.dial_out.calling),
        Sample("dialled", (("state", "waiting"),), board.desk.dial_out.waiting),
        Sample("gateway_calls", (), len(board.bridges)),
    ]
