"""Leads visitors through the menu: between its pure core and a visitor's media, its keys and the loop's clock.

Theory of operation. Inputs are given to the core at once, in their order. What it wants played, shown and asked is done
by one task, in its order but for what is out of date by then: of several prompts or slates only the last one counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gateway.ivr.menu import Ask, HangUp, Input, Menu, Output, Play, Show, Wait
from gateway.ivr.voice import Voice
from gateway.reasons import Reason, Refused
from gateway.rooms.entrance import Entrance, Guide, Visitor

log = structlog.get_logger()

MENU_TIME = 300.0
"""Seconds that a caller may spend in the menu: somebody looks for the invitation; nobody needs longer."""


def menu(entrance: Entrance, voice: Voice) -> Callable[[Visitor], Guide]:
    """Return what leads visitors through the menu."""
    return lambda visitor: MenuGuide(entrance, visitor, voice)


class MenuGuide:
    """Leads one visitor; a `gateway.rooms.entrance.Guide`."""

    def __init__(self, entrance: Entrance, visitor: Visitor, voice: Voice) -> None:
        wish = "" if visitor.wish is None else str(visitor.wish.settings.id)
        self._entrance = entrance
        self._visitor = visitor
        self._voice = voice
        self._menu = Menu(entrance.knows, wish, visitor.fault)
        self._timer: asyncio.TimerHandle | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._play: Play | None = None
        self._show: Show | None = None
        self._last: Ask | HangUp | None = None
        self._over = False

    # what the visitor tells

    def begin(self) -> None:
        """Greet it."""
        self._limit = asyncio.get_running_loop().call_later(MENU_TIME, self._take, Input.EXPIRED)
        self._take(Input.BEGUN)

    def pressed(self, digit: str) -> None:
        """Take a key. It may be one of a PIN: nobody else is told."""
        self._do(self._menu.press(digit))

    def played(self, number: int) -> None:
        """Go on where a prompt ended; it counts no more where something else is to be played already."""
        if self._play is None:
            self._take(Input.PLAYED)

    def end(self) -> None:
        """Ask no more."""
        self._over = True
        for timer in (self._timer, self._limit):
            if timer is not None:
                timer.cancel()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    # what the menu wants

    @property
    def language(self) -> str:
        """What the visitor is spoken to in."""
        wish = self._visitor.wish
        return self._voice.language(self._visitor.language, wish.settings.language if wish is not None else "")

    def _take(self, input: Input) -> None:
        self._do(self._menu.take(input))

    def _do(self, outputs: list[Output]) -> None:
        if self._over:
            return
        for output in outputs:
            match output:
                case Play():
                    self._play = output
                case Show():
                    self._show = output
                case Wait():
                    self._wait(output)
                case Ask() | HangUp():
                    self._last = output
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    def _wait(self, wait: Wait) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if wait.then is not None:
            self._timer = asyncio.get_running_loop().call_later(wait.seconds, self._take, wait.then)

    async def _work(self) -> None:
        try:
            while not self._over and (self._play or self._show or self._last):
                await self._do_next()
        except Exception:
            # The outermost shell of one caller's menu: what goes wrong here must not reach the others.
            log.exception("menu_broke", call=self._visitor.call.id)
            await self._visitor.call.hang_up(Reason.INTERNAL)

    async def _do_next(self) -> None:
        play, show, last = self._play, self._show, self._last
        try:
            if play is not None:
                self._play = None
                await self._visitor.play(self._voice.prompts(self.language, *play.names))
            elif show is not None:
                self._show = None
                slate, title = self._written(*show.lines), self._written(show.title)
                await self._visitor.show(slate, show.entry, title)
            elif isinstance(last, HangUp):
                self._last = None
                await self._visitor.call.hang_up(last.reason)
            elif last is not None:
                self._last = None
                await self._enter(last)
        except Refused as refused:  # the menu's timers go on: a caller without sound or picture is not stuck
            log.info("menu_not_served", call=self._visitor.call.id, reason=refused.reason.value)

    async def _enter(self, asked: Ask) -> None:
        try:
            await self._entrance.enter(self._visitor.call, self._entrance.meant(asked.room), asked.pin)
        except Refused as refused:
            log.info("entry_refused", call=self._visitor.call.id, reason=refused.reason.value)
            self._do(self._menu.decided(refused.reason))
        else:
            self._do(self._menu.decided(None))

    def _written(self, *names: str) -> str:
        return self._voice.written(self.language, *names)
