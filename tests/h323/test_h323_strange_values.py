"""Messages that the schema allows and that nobody would send: none of them is a fault of ours, and nothing is left."""

from __future__ import annotations

import random

import pytest
from h323_strangers import Strangers
from sip_fake_house import FakeDesk

from h323.adapter import H323Adapter
from h323.h245.control import Control

pytestmark = pytest.mark.usefixtures("quiet")
CALLS = 60
"""Calls of each kind, of about ten messages each; some ten thousand were made by hand."""


@pytest.mark.parametrize("placed", [False, True], ids=["they call", "they are called"])
async def test_strange_values_are_no_fault(
    adapter: H323Adapter, desk: FakeDesk, placed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread: list[str] = []
    strays = Control._strays

    def noted(self: Control, what: str) -> None:
        if what.endswith("cannot be read"):
            unread.append(what)
        strays(self, what)

    monkeypatch.setattr(Control, "_strays", noted)
    first = random.SystemRandom().randrange(1 << 32)
    print(f"seed {first}")
    heard = 0
    for seed in range(first, first + CALLS):
        strangers = Strangers(adapter, desk, random.Random(seed))
        await (strangers.be_called() if placed else strangers.call())
        heard += sum(len(call.said) for call in desk.calls)
        assert adapter.counters().get("internal_errors", 0) == 0, f"seed {seed}"
        assert not unread, f"seed {seed}"  # what the codec has read is read by us
    assert heard > CALLS  # they come far enough to be heard of in the house
    assert not adapter._calls
    assert not adapter._legs
