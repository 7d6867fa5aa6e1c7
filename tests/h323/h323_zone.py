"""Adapters with a gatekeeper of their own, for tests of registrations and of what builds on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sip_fake_house import FakeDesk

from gateway.calls import CallFacts
from h323.adapter import H323Adapter, H323Config
from h323.adapter_config import RasConfig
from h323.ras.events import Leads


class Rooms:
    """A dial plan with one room."""

    def leads(self, facts: CallFacts) -> Leads:
        return Leads.HERE if facts.called == "100" else Leads.NOWHERE

    def reserved(self, alias: str) -> bool:
        return alias == "100"


@asynccontextmanager
async def zone(reactor: Any) -> AsyncIterator[Callable[..., Any]]:
    """Start adapters on free ports; in the end they are stopped, the last one first, and nothing has gone wrong."""
    made: list[H323Adapter] = []

    async def build(desk: FakeDesk, tunnelling: bool = True, **ras: Any) -> H323Adapter:
        told = RasConfig(**{"port": 0} | ras)
        config = H323Config(address="127.0.0.1", signalling=0, tunnelling=tunnelling, ras=told)
        adapter = H323Adapter(config, desk, reactor, plan=Rooms())
        await adapter.start()
        made.append(adapter)
        return adapter

    yield build
    for adapter in reversed(made):
        await adapter.stop()
        assert adapter.counters().get("internal_errors", 0) == 0
        assert adapter.ras.counters().get("ras.internal_errors", 0) == 0
