"""The calls that are up, and those that have jobs left to do after their end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.reasons import Reason
from sip.adapter_call import SipCall
from sip.events import SessionId
from sip.transport import Network


class CallTable:
    """All calls of the adapter; a call's connection is held open as long as the call is up."""

    def __init__(self, network: Network) -> None:
        self.by_session: dict[SessionId, SipCall] = {}
        self.working: set[SipCall] = set()
        self._network = network
        self._stopping = False
        self._idle = asyncio.Event()

    def __len__(self) -> int:
        """Return how many calls are up."""
        return len(self.by_session)

    def get(self, session: SessionId | None) -> SipCall | None:
        """Return the call of a session; None for none."""
        return self.by_session.get(session) if session is not None else None

    def begin(self, call: SipCall) -> None:
        """Keep a call that is to be placed, and has no session yet."""
        self.working.add(call)

    def keep(self, session: SessionId, call: SipCall) -> None:
        """Keep a call from now on."""
        self.by_session[session] = call
        self.working.add(call)
        self._network.hold(call.flow)

    def forget(self, session: SessionId, call: SipCall) -> None:
        """A call's session is over."""
        del self.by_session[session]
        self._network.release(call.flow)
        asyncio.get_running_loop().call_soon(self.settle, call)

    def settle(self, call: SipCall) -> None:
        """Keep a call among those at work until its last job is done."""
        if call.task is None:
            self._leave(call)
        else:
            call.task.add_done_callback(lambda _: self._leave(call))

    def _leave(self, call: SipCall) -> None:
        self.working.discard(call)
        self._settled()

    def _settled(self) -> None:
        if self._stopping and not self.by_session and not self.working:
            self._idle.set()

    async def end(self, reason: Reason, patience: float) -> None:
        """End all calls, and wait so many seconds at most for their peers and their jobs."""
        self._stopping = True
        for call in tuple(self.by_session.values()):
            call.drop(reason)
        self._settled()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), patience)

    async def abandon(self) -> None:
        """Give up what jobs there are still."""
        tasks = [call.task for call in self.working if call.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
