"""Placing calls: to an address that DNS knows, to the contacts of an account of ours, or through a trunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from gateway.calls import MAX_HOPS, Call, CallFacts, CallProtocol, Direction
from gateway.reasons import Reason, Refused
from gateway.text import clean
from sip.adapter_call import CallOwner, SipCall
from sip.adapter_calls import CallTable
from sip.adapter_config import SipConfig
from sip.adapter_dial import dial_in_turn
from sip.adapter_facts import MAX_NAME, source
from sip.adapter_names import Names
from sip.adapter_registrations import Registrations
from sip.adapter_trunk import TrunkLine
from sip.adapter_trunks import Trunks
from sip.describe_exchange import Exchange
from sip.dialling import Dialling, Servers, dialled_uri, own_ways, trunk_target
from sip.digest_client import Login
from sip.events import Flow, SessionId, Target
from sip.identity import carried_user, request_uri
from sip.refusals import HeaderList
from sip.registrar import Binding
from sip.rewriting import rewritten
from sip.routing import target_of
from sip.transport import Network
from sip.trunk_limits import Slot
from sip.uri import Uri
from transcode.media import Wanted


@dataclass(frozen=True, slots=True)
class Manner:
    """How a call is placed. sender gives From and further headers for a flow; slot is the call's place in a trunk.

    account is the user of ours who is called.
    """

    sender: Callable[[Flow], tuple[str, HeaderList]]
    route: Sequence[str] = ()
    login: Login | None = None
    slot: Slot | None = None
    account: str = ""


class PlacingOwner(CallOwner, Protocol):
    """What is needed of the adapter."""

    calls: CallTable
    names: Names
    registrar: Registrations | None
    trunks: Trunks

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
        plain = self._plain(sender or facts.called, display, headers)
        bindings = self._bindings(user) if uri is None else self._registered(uri)
        if bindings is not None:
            return await dial_in_turn(bindings, partial(self._dial_binding, facts, wanted, plain))
        return await self._dial(self._dialling(str(uri), wanted), facts, wanted, plain)

    def user_of(self, target: str) -> str | None:
        """Return the account of ours that a SIP URI means; None where it means somebody else.

        It may be the user's address here, or the Contact that it registered: so peers name each other in a transfer.
        """
        try:
            uri = dialled_uri(target)
        except Refused:
            return None
        if self._registered(uri) is not None:
            return uri.name
        known, place = self._owner.registrar, (uri.host.lower(), uri.port)
        if known is None or uri.name not in known.accounts:
            return None
        contacts = (binding.contact for binding in known.bindings(uri.name))
        return uri.name if any((one.host.lower(), one.port) == place for one in contacts) else None

    def _bindings(self, user: str) -> list[Binding]:
        return self._owner.registrar.bindings(user) if self._owner.registrar is not None else []

    async def dial_through(
        self,
        line: TrunkLine,
        target: str,
        facts: CallFacts,
        wanted: Wanted,
        display: str,
        headers: HeaderList,
        caller: str,
        private: bool,
    ) -> Call:
        """Place a call through a trunk as `SipAdapter.dial` says."""
        trunk = line.trunk
        number, kept, phone = carried_user(trunk_target(target))
        number = rewritten(number, trunk.rewrite_out)
        if not number:
            raise Refused(Reason.BAD_REQUEST, "a trunk needs a number to call")
        slot = line.limits.take(self._owner.now())
        try:
            uri = request_uri(number, kept, trunk.realm, phone)
            dialling = Dialling(uri, [trunk.transport], line.servers, self._network, self._owner.now)
            facts = replace(facts, trunk=trunk.name, srtp=trunk.srtp)
            manner = self._through(line, facts, display, headers, caller, private, slot)
            return await self._dial(dialling, facts, wanted, manner)
        except BaseException:
            slot.release()
            raise

    def _plain(self, user: str, display: str, headers: HeaderList) -> Manner:
        """Return how calls are placed that take no trunk, from a user of this house."""
        return Manner(lambda flow: (self._owner.names.sender(user, display, flow), headers))

    def _through(
        self,
        line: TrunkLine,
        facts: CallFacts,
        display: str,
        headers: HeaderList,
        caller: str,
        private: bool,
        slot: Slot,
    ) -> Manner:
        name = clean(display, MAX_NAME)

        def sender(flow: Flow) -> tuple[str, HeaderList]:
            host = self._config.domain or self._owner.names.advertised(flow)
            from_, more = line.sender(caller, name, host, private, facts.diverted_from)
            return from_, [*more, *headers]

        return Manner(sender, line.route, line.login, slot)

    def _dialling(self, uri: str, wanted: Wanted, fixed: Sequence[Flow | Target] = ()) -> Dialling:
        ways = own_ways(self._config.udp is not None, self._config.tcp is not None, wanted.video)
        return Dialling(uri, ways, self._servers, self._network, self._owner.now, fixed)

    def _registered(self, uri: Uri) -> list[Binding] | None:
        """Return the contacts of the account that an address names; None where it is none of ours."""
        known, names = self._owner.registrar, self._owner.names
        if known is None or uri.name not in known.accounts or not names.is_ours(uri) or not names.is_our_port(uri.port):
            return None
        return known.bindings(uri.name)

    async def _dial_binding(self, facts: CallFacts, wanted: Wanted, manner: Manner, binding: Binding) -> Call:
        if target_of(binding.contact).transport.web:  # a browser takes nothing else (RFC 8827 §6.5, RFC 8834 §4.5)
            wanted = replace(wanted, encrypted=True, dtls=True, ice=True, bundle=True)
        dialling = self._dialling(str(binding.contact), wanted, binding.ways)
        return await self._dial(dialling, facts, wanted, replace(manner, route=binding.path, account=binding.account))

    async def _dial(self, dialling: Dialling, facts: CallFacts, wanted: Wanted, manner: Manner) -> Call:
        flow = await dialling.next()
        call = SipCall(self._owner, None, flow, self._owner.exchange(flow))
        call.slot, call.account = manner.slot, manner.account
        facts = replace(
            facts,
            protocol=CallProtocol.SIP,
            direction=Direction.OUTGOING,
            source=source(flow),
            secure=flow.transport.secure,
            srtp=self._owner.media.encryption(flow.transport, facts.srtp),
        )
        self._owner.calls.begin(call)
        try:
            return await call.place(
                facts,
                wanted,
                lambda body: self._invite(call, dialling.uri, manner, body),
                dialling.next,
            )
        finally:
            if call.session is None:
                self._owner.calls.settle(call)

    def _invite(self, call: SipCall, uri: str, manner: Manner, body: bytes) -> SessionId:
        sender, headers = manner.sender(call.flow)
        try:
            hops = call.facts.hops if call.facts is not None else MAX_HOPS
            session = self._owner.stack.invite(
                call.flow,
                uri,
                sender,
                self._owner.now(),
                body,
                route=manner.route,
                headers=headers,
                login=manner.login,
                max_forwards=hops,
            )
        except ValueError as error:
            raise Refused(Reason.BAD_REQUEST, str(error)) from None
        self._owner.calls.keep(session, call)
        return session
