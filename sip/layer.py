"""The transaction layer: finds the transaction of each message, makes new ones, and answers without one where it must.

Server transactions are found by branch, sent-by and method (RFC 3261 §17.2.3), those of peers without the magic
branch by the fields that RFC 2543 compares. Client transactions are found by branch and method (§17.1.3).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

from sip.building import make_response
from sip.config import StackConfig
from sip.events import Event, Flow, Send, Target
from sip.headers import Headers
from sip.message import Message, Request, Response
from sip.parser import Malformed, parse
from sip.routing import mark_source, own_via, reply_way
from sip.timers import Timers
from sip.transaction import (
    CLIENT_INVITE,
    CLIENT_OTHER,
    SERVER_INVITE,
    SERVER_OTHER,
    ClientTransaction,
    Input,
    Key,
    OnFailure,
    OnResponse,
    ServerTransaction,
    State,
    Transaction,
)
from sip.values import MAGIC, parse_via

RESERVE = 1.2
"""Transactions over the bound, as a factor, that calls in progress may still use: they must be able to end."""
RETRY_AFTER = 5
"""Seconds that a refused peer is told to wait at overload: some calls will have ended by then."""


class TransactionLayer:
    """All transactions of one stack, its clock of timers, and what is to go out."""

    def __init__(self, config: StackConfig, rng: random.Random) -> None:
        """Start empty."""
        self.config = config
        self.rng = rng
        self.timers = Timers()
        self.out: list[Send | Event] = []
        self.counts: Counter[str] = Counter()
        self.host = config.host
        self.clients: dict[Key, ClientTransaction] = {}
        self.servers: dict[Key, ServerTransaction] = {}
        self._merged: dict[Key, Key] = {}
        self._by_way: dict[Flow | Target, set[ClientTransaction]] = {}

    # what a transaction needs

    def transmit(self, send: Send) -> None:
        """Put on the wire."""
        self.counts["sent"] += 1
        self.out.append(send)

    def forget(self, transaction: Transaction) -> None:
        """Drop a transaction that is over."""
        key = transaction.key
        if isinstance(transaction, ClientTransaction):
            self.clients.pop(key, None)
            way = transaction.target.target if transaction.target else None
            same = self._by_way.get(way) if way is not None else None
            if same is not None and way is not None:
                same.discard(transaction)
                if not same:
                    del self._by_way[way]
        elif self.servers.pop(key, None) is not None:
            merged = _merge_key(transaction.request)
            if self._merged.get(merged) == key:
                del self._merged[merged]

    def token(self) -> str:
        """Return 64 bits of chance as text, for tags, branches and Call-IDs (§19.3)."""
        return f"{self.rng.getrandbits(64):016x}"

    def crowded(self, reserve: bool = False) -> bool:
        """Tell whether there are as many transactions as there may be."""
        most = self.config.max_transactions
        return len(self.clients) + len(self.servers) >= (most * RESERVE if reserve else most)

    # reading

    def read(self, data: bytes, flow: Flow) -> Message | None:
        """Return the message in data; what is unfit is answered where it can be, and counted."""
        try:
            return parse(data)
        except Malformed as fault:
            self.counts["malformed"] += 1
            request = fault.request
            if fault.status and request is not None and request.method != "ACK":
                self.refuse_unread(request, fault, flow)
            return None

    def refuse_unread(self, request: Request, fault: Malformed, flow: Flow) -> None:
        """Answer a request that only part of could be read, if its Via says where (§8.1.1, §21.4.1)."""
        top = request.headers.values("Via")[:1]
        try:
            request.vias = [parse_via(value) for value in top]
            mark_source(request, flow)
        except ValueError:
            self.counts["dropped.headless"] += 1
            return
        names = [name for name, _ in request.headers]
        if any(name not in names for name in ("From", "To", "Call-ID", "CSeq")):
            self.counts["dropped.headless"] += 1
            return
        kept = [item for item in request.headers if item[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        tag = "" if any(name == "To" and "tag=" in value for name, value in kept) else f";tag={self.token()}"
        items = [(name, value + tag) if name == "To" else (name, value) for name, value in kept]
        phrase = f"Bad Request: {fault.text}" if fault.status == 400 else ""
        self.counts[f"refused.{fault.status}"] += 1
        target, fallback = reply_way(request, flow)
        self.transmit(Send(Response(fault.status, phrase, Headers(items)).to_bytes(), target, fallback))

    # server side

    def server_key(self, request: Request, method: str | None = None) -> Key:
        """Return what a request's transaction is found by; ACK and CANCEL ask with method INVITE."""
        via = request.via
        method = method or request.method
        if via.branch.startswith(MAGIC) and len(via.branch) > len(
            MAGIC
        ):  # RFC 4475 §3.2.1: the cookie alone tells none
            return (via.branch, via.sent_by, method)
        number = str(request.cseq.number)
        return (request.target, request.from_.tag, request.call_id, number, via.sent_by, via.branch, method)

    def absorb(self, request: Request, now: float) -> bool:
        """Feed a request to the transaction that it belongs to; False where it is new."""
        ack = request.method == "ACK"
        server = self.servers.get(self.server_key(request, "INVITE" if ack else None))
        if server is None or (ack and server.state is State.ACCEPTED):
            return False
        server.feed(Input.ACK if ack else Input.AGAIN, now)
        return True

    def merged(self, request: Request) -> bool:
        """Tell whether the same request came another way already (§8.2.2.2)."""
        return not request.to.tag and _merge_key(request) in self._merged

    def open_server(self, request: Request, flow: Flow) -> ServerTransaction:
        """Return a new transaction for a request."""
        table = SERVER_INVITE if request.method == "INVITE" else SERVER_OTHER
        key = self.server_key(request)
        way = reply_way(request, flow)
        server = ServerTransaction(self, table, key, request, way, flow.transport.reliable)
        self.servers[key] = server
        if not request.to.tag:
            self._merged.setdefault(_merge_key(request), key)
        return server

    def answer(self, server: ServerTransaction, response: Response, now: float) -> Send:
        """Send a response within its transaction, and return what was sent."""
        send = Send(response.to_bytes(), *server.way)
        if response.status >= 300:
            self.counts[f"refused.{response.status}"] += 1
        server.answer(response, send, now)
        return send

    def reply(self, request: Request, response: Response, flow: Flow) -> None:
        """Send a response without a transaction (§8.2.7)."""
        target, fallback = reply_way(request, flow)
        self.counts[f"refused.{response.status}"] += 1
        self.transmit(Send(response.to_bytes(), target, fallback))

    def refuse(
        self, request: Request, status: int, flow: Flow, now: float, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Refuse a new request within a transaction of its own, or without one where there are too many."""
        response = make_response(request, status, tag=self.token(), headers=list(headers))
        if self.crowded():
            self.reply(request, response, flow)
        else:
            self.answer(self.open_server(request, flow), response, now)

    # client side

    def send_request(
        self,
        request: Request,
        way: Flow | Target,
        fallback: Target | None,
        on_response: OnResponse,
        on_failure: OnFailure,
        now: float,
        branch: str = "",
    ) -> ClientTransaction:
        """Send a request in a new transaction; Via is put on top. branch: that of the INVITE for its CANCEL."""
        branch = branch or MAGIC + self.token()
        top = ("Via", own_via(self.config, way, branch, self.host))
        request.headers = Headers.trusted([top, *request.headers])
        table = CLIENT_INVITE if request.method == "INVITE" else CLIENT_OTHER
        key = (branch, request.method)
        client = ClientTransaction(self, table, key, request, way.transport.reliable)
        self.clients[key] = client
        if way.transport.reliable:
            self._by_way.setdefault(way, set()).add(client)
        client.start(Send(request.to_bytes(), way, fallback), on_response, on_failure, now)
        return client

    def send_ack(self, request: Request, way: Flow | Target, fallback: Target | None) -> Send:
        """Send the ACK of a 2xx, which has no transaction (§13.2.2.4), and return what was sent."""
        top = ("Via", own_via(self.config, way, MAGIC + self.token(), self.host))
        request.headers = Headers.trusted([top, *request.headers])
        send = Send(request.to_bytes(), way, fallback)
        self.transmit(send)
        return send

    def receive_response(self, response: Response, flow: Flow, now: float) -> None:
        """Feed a response to its transaction; others are dropped and counted (§18.1.2)."""
        client = self.clients.get((response.via.branch, response.cseq.method))
        if client is None or len(response.vias) != 1:
            self.counts["dropped.response"] += 1
            return
        client.received(response, flow, now)

    # transport failures

    def closed(self, flow: Flow, now: float) -> None:
        """End the requests that a lost connection leaves without hope; ringing ones may be answered on another.

        They were sent on that flow, or to the address that it led to; those sent to a name wait for their timer.
        """
        transport, address, port = flow.transport, flow.remote_address, flow.remote_port
        ways: list[Flow | Target] = [flow, Target(transport, address, port)]
        if port == transport.default_port:
            ways.append(Target(transport, address))
        for way in ways:
            for client in tuple(self._by_way.get(way, ())):
                client.feed(Input.ERROR, now)

    def unreachable(self, send: Send, now: float) -> None:
        """End the request that could not be sent. Responses and ACKs are left to retransmission and time."""
        try:
            message = parse(send.data)
        except Malformed:
            return
        if isinstance(message, Request):
            client = self.clients.get((message.via.branch, message.method))
            if client is not None:
                client.feed(Input.ERROR, now)


def _merge_key(request: Request) -> Key:
    return (request.from_.tag, request.call_id, str(request.cseq.number), request.method)
