"""Placing calls: to an address that DNS knows, or to the contacts of an account of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from gateway.calls import MAX_HOPS, Call, CallFacts, CallProtocol, Direction
from gateway.reasons import Reason, Refused
from sip.adapter_call import CallOwner, SipCall
from sip.adapter_calls import CallTable
from sip.adapter_config import SipConfig
from sip.adapter_dial import dial_in_turn
from sip.adapter_facts import source
from sip.adapter_names import Names
from sip.adapter_registrations import Registrations
from sip.describe_exchange import Exchange
from sip.dialling import Dialling, Servers, dialled_uri, own_ways
from sip.events import Flow, SessionId, Target
from sip.refusals import HeaderList
from sip.registrar import Binding
from sip.transport import Network
from sip.uri import Uri
from transcode.media import Wanted


class PlacingOwner(CallOwner, Protocol):
    """What is needed of the adapter."""

    calls: CallTable
    names: Names
    registrar: Registrations | None

    def exchange(self, flow: Flow) -> Exchange:
        """Return what keeps the offers and answers of a new call on a flow."""


class Placing:
    """Places the calls of the house."""

    def __init__(self, owner: PlacingOwner, config: SipConfig, network: Network, servers: Servers) -> None:
        self._owner = owner
        self._config = config
        self._network = network
        self._servers = servers

    async def dial(
        self, target: str, facts: CallFacts, wanted: Wanted, display: str, headers: HeaderList, sender: str = ""
    ) -> Call:
        """Place a call as `SipAdapter.dial` says."""
        scheme, _, user = target.partition(":")
        uri = None if scheme == "user" else dialled_uri(target)
        bindings = self._bindings(user) if uri is None else self._registered(uri)
        sender = sender or facts.called
        if bindings is not None:
            return await dial_in_turn(bindings, partial(self._dial_binding, facts, wanted, display, headers, sender))
        return await self._dial(self._dialling(str(uri), wanted), (), facts, wanted, display, headers, sender)

    def user_of(self, target: str) -> str | None:
        """Return the account of ours that a SIP URI means; None where it means somebody else."""
        try:
            uri = dialled_uri(target)
        except Refused:
            return None
        return None if self._registered(uri) is None else uri.name

    def _bindings(self, user: str) -> list[Binding]:
        return self._owner.registrar.bindings(user) if self._owner.registrar is not None else []

    def _dialling(self, uri: str, wanted: Wanted, fixed: Sequence[Flow | Target] = ()) -> Dialling:
        ways = own_ways(self._config.udp is not None, self._config.tcp is not None, wanted.video)
        return Dialling(uri, ways, self._servers, self._network, self._owner.now, fixed)

    def _registered(self, uri: Uri) -> list[Binding] | None:
        """Return the contacts of the account that an address names; None where it is none of ours."""
        known, names = self._owner.registrar, self._owner.names
        if known is None or uri.name not in known.accounts or not names.is_ours(uri) or not names.is_our_port(uri.port):
            return None
        return known.bindings(uri.name)

    async def _dial_binding(
        self, facts: CallFacts, wanted: Wanted, display: str, headers: HeaderList, sender: str, binding: Binding
    ) -> Call:
        dialling = self._dialling(str(binding.contact), wanted, binding.ways)
        return await self._dial(dialling, binding.path, facts, wanted, display, headers, sender)

    async def _dial(
        self,
        dialling: Dialling,
        route: Sequence[str],
        facts: CallFacts,
        wanted: Wanted,
        display: str,
        headers: HeaderList,
        user: str,
    ) -> Call:
        flow = await dialling.next()
        call = SipCall(self._owner, None, flow, self._owner.exchange(flow))
        facts = replace(
            facts,
            protocol=CallProtocol.SIP,
            direction=Direction.OUTGOING,
            source=source(flow),
            secure=flow.transport.secure,
        )
        sender = self._owner.names.sender(user, display, flow)
        self._owner.calls.begin(call)
        try:
            return await call.place(
                facts,
                wanted,
                lambda body: self._invite(call, dialling.uri, sender, route, body, headers),
                dialling.next,
            )
        finally:
            if call.session is None:
                self._owner.calls.settle(call)

    def _invite(
        self, call: SipCall, uri: str, sender: str, route: Sequence[str], body: bytes, headers: HeaderList
    ) -> SessionId:
        try:
            hops = call.facts.hops if call.facts is not None else MAX_HOPS
            session = self._owner.stack.invite(
                call.flow, uri, sender, self._owner.now(), body, route=route, headers=headers, max_forwards=hops
            )
        except ValueError as error:
            raise Refused(Reason.BAD_REQUEST, str(error)) from None
        self._owner.calls.keep(session, call)
        return session
