"""The four transaction machines, timer by timer, and the timers themselves."""

from __future__ import annotations

import pytest

from gateway.reasons import Reason
from sip.events import Flow, Send, Target, Transport
from sip.headers import Headers
from sip.message import Request, Response
from sip.timers import PATIENCE, T1, T2, T4, Timers
from sip.transaction import (
    CLIENT_INVITE,
    CLIENT_OTHER,
    SERVER_INVITE,
    SERVER_OTHER,
    TIMER_D,
    ClientTransaction,
    Input,
    ServerTransaction,
    State,
    Table,
    Transaction,
)

FLOW = Flow(Transport.UDP, "192.0.2.1", 5060, "192.0.2.2", 5060)
FIELDS = [("Via", "SIP/2.0/UDP a;branch=z9hG4bK1"), ("From", "<sip:a@b>;tag=1"), ("To", "<sip:c@d>"), ("Call-ID", "x")]


class Layer:
    """Counts what a transaction does."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.sent: list[Send] = []
        self.gone: list[Transaction] = []
        self.heard: list[int] = []
        self.failed: list[Reason] = []

    def transmit(self, send: Send) -> None:
        self.sent.append(send)

    def forget(self, transaction: Transaction) -> None:
        self.gone.append(transaction)

    def client(self, method: str, reliable: bool = False) -> ClientTransaction:
        request = Request(method, "sip:c@d", Headers([*FIELDS, ("CSeq", f"1 {method}")]))
        table = CLIENT_INVITE if method == "INVITE" else CLIENT_OTHER
        made = ClientTransaction(self, table, ("k",), request, reliable)
        send = Send(b"request", Target(Transport.UDP, "d"))
        made.start(send, lambda r, f, n: self.heard.append(r.status), lambda r, n: self.failed.append(r), 0.0)
        return made

    def server(self, method: str, reliable: bool = False) -> ServerTransaction:
        request = Request(method, "sip:c@d", Headers([*FIELDS, ("CSeq", f"1 {method}")]))
        table = SERVER_INVITE if method == "INVITE" else SERVER_OTHER
        return ServerTransaction(self, table, ("k",), request, (FLOW, None), reliable)

    def until(self, end: float) -> list[float]:
        """Run the clock; return when something was sent."""
        times = []
        while (due := self.timers.next()) is not None and due <= end:
            before = len(self.sent)
            self.timers.run(due)
            times += [due] * (len(self.sent) - before)
        return times


def response(status: int) -> Response:
    return Response(status, "", Headers([*FIELDS, ("CSeq", "1 INVITE")]))


def answer(server: ServerTransaction, status: int, now: float) -> None:
    server.answer(response(status), Send(str(status).encode(), FLOW), now)


def test_timer_a_doubles_and_timer_b_gives_up() -> None:
    layer = Layer()
    layer.client("INVITE")
    assert layer.until(100) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert layer.failed == [Reason.TIMEOUT]
    assert len(layer.gone) == 1
    assert len(layer.timers) == 0


def test_timer_e_doubles_to_t2_and_timer_f_gives_up_even_after_a_provisional() -> None:
    layer = Layer()
    client = layer.client("OPTIONS")
    assert layer.until(1.6) == [0.5, 1.5]
    client.received(response(100), FLOW, 1.6)
    assert layer.until(12) == [3.5, 7.5, 11.5]
    layer.until(100)
    assert layer.failed == [Reason.TIMEOUT]


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_over_a_reliable_transport_nothing_is_sent_again(method: str) -> None:
    layer = Layer()
    layer.client(method, reliable=True)
    assert layer.until(31.9) == []
    layer.until(33)
    assert layer.failed == [Reason.TIMEOUT]


def test_a_provisional_response_stops_repeating_an_invite_for_as_long_as_it_rings() -> None:
    layer = Layer()
    client = layer.client("INVITE")
    client.received(response(180), FLOW, 0.1)
    assert layer.until(1000) == []
    assert (client.state, layer.heard) == (State.PROCEEDING, [180])


def test_timer_d_absorbs_repeated_refusals_with_an_ack_each() -> None:
    layer = Layer()
    client = layer.client("INVITE")
    for _ in range(3):
        client.received(response(486), FLOW, 1.0)
    assert (layer.heard, len(layer.sent)) == ([486], 4)
    assert layer.sent[1].data.startswith(b"ACK sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n")
    layer.until(1.0 + TIMER_D)
    assert client.ended


def test_timer_m_hands_on_every_2xx() -> None:
    layer = Layer()
    client = layer.client("INVITE")
    for _ in range(3):
        client.received(response(200), FLOW, 1.0)
    client.received(response(486), FLOW, 1.0)
    assert layer.heard == [200, 200, 200]
    layer.until(1.0 + PATIENCE)
    assert client.ended


def test_timer_k_absorbs_repeated_answers() -> None:
    layer = Layer()
    client = layer.client("BYE")
    client.received(response(200), FLOW, 1.0)
    client.received(response(200), FLOW, 1.1)
    assert layer.heard == [200]
    layer.until(1.0 + T4)
    assert client.ended
    assert layer.gone == [client]


def test_an_error_of_the_transport_is_told_while_nothing_was_heard() -> None:
    for method in ("INVITE", "BYE"):
        layer = Layer()
        layer.client(method).feed(Input.ERROR, 0.1)
        assert layer.failed == [Reason.UNREACHABLE]
        ringing = layer.client(method)
        ringing.received(response(180), FLOW, 0.1)
        ringing.feed(Input.ERROR, 0.2)
        assert not ringing.ended


def test_timer_g_repeats_a_refusal_and_timer_h_gives_up() -> None:
    layer = Layer()
    server = layer.server("INVITE")
    answer(server, 100, 0.0)
    answer(server, 486, 0.0)
    assert layer.until(100) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert server.ended
    assert (T1, T2, PATIENCE) == (0.5, 4.0, 32.0)


def test_an_ack_ends_a_refusal_after_timer_i_or_at_once_over_tcp() -> None:
    for reliable, state in ((False, State.CONFIRMED), (True, State.TERMINATED)):
        layer = Layer()
        server = layer.server("INVITE", reliable)
        answer(server, 486, 0.0)
        server.feed(Input.ACK, 0.2)
        assert server.state is state
        server.feed(Input.AGAIN, 0.3)
        assert len(layer.sent) == 1
        layer.until(0.2 + T4)
        assert server.ended


def test_a_repeated_request_gets_the_last_response() -> None:
    layer = Layer()
    server = layer.server("INVITE")
    for status in (100, 180):
        answer(server, status, 0.0)
        server.feed(Input.AGAIN, 0.1)
    assert [send.data for send in layer.sent] == [b"100", b"100", b"180", b"180"]
    other = layer.server("BYE")
    other.feed(Input.AGAIN, 0.1)
    assert len(layer.sent) == 4
    answer(other, 200, 0.2)
    other.feed(Input.AGAIN, 0.3)
    assert [send.data for send in layer.sent[4:]] == [b"200", b"200"]
    layer.until(0.2 + PATIENCE)
    assert other.ended


def test_a_2xx_to_an_invite_absorbs_its_repetitions_for_timer_l() -> None:
    layer = Layer()
    server = layer.server("INVITE", reliable=True)
    answer(server, 200, 0.0)
    server.feed(Input.AGAIN, 0.1)
    assert len(layer.sent) == 1
    assert layer.until(PATIENCE - 0.1) == []
    assert not server.ended
    layer.until(PATIENCE)
    assert server.ended


def test_after_a_final_response_no_other_is_sent() -> None:
    for method in ("INVITE", "BYE"):
        layer = Layer()
        server = layer.server(method)
        answer(server, 486, 0.0)
        answer(server, 200, 0.1)
        answer(server, 180, 0.1)
        server.feed(Input.AGAIN, 0.2)
        assert {send.data for send in layer.sent} == {b"486"}


@pytest.mark.parametrize("table", [CLIENT_INVITE, CLIENT_OTHER, SERVER_INVITE, SERVER_OTHER])
def test_every_state_of_a_table_can_be_reached_and_left(table: Table) -> None:
    states = {state for state, _ in table}
    reached = {rule[0] for rule in table.values()}
    assert states - reached <= {State.TRYING}
    for state in states:
        seen, todo = set(), [state]
        while todo:
            one = todo.pop()
            if one not in seen:
                seen.add(one)
                todo += [rule[0] for (source, _), rule in table.items() if source is one]
        assert State.TERMINATED in seen or table is CLIENT_INVITE


def test_timers_ring_in_order_and_stopped_ones_do_not_pile_up() -> None:
    timers, rung = Timers(), []
    for delay in (3, 1, 2):
        timers.start(delay, lambda now, delay=delay: rung.append((delay, now)))
    timers.run(2.5)
    assert rung == [(1, 2.5), (2, 2.5)]
    assert timers.next() == 3
    for _ in range(10_000):
        timers.start(1e6, lambda now: None).stop()
    assert len(timers._heap) < 300
    assert len(timers) == 1
