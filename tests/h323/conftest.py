"""What the tests of H.323's shells share."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from twisted.internet.asyncioreactor import AsyncioSelectorReactor

from gateway.certificates import keep_certificate

sys.path.append(str(Path(__file__).parents[1] / "sip"))  # its fake house serves here too


@pytest.fixture
async def reactor() -> AsyncIterator[Any]:
    """Return a Twisted reactor on the test's own loop; it is not installed, and needs no running."""
    made = AsyncioSelectorReactor(asyncio.get_running_loop())
    yield made
    await asyncio.sleep(0.02)  # connections that were aborted say so in the next turns
    made.removeAll()
    for call in made.getDelayedCalls():
        call.cancel()
    made.waker.connectionLost(None)
    if made._timerHandle is not None:
        made._timerHandle.cancel()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Log nothing: a test sends very much that is worth a line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return PEM files with a certificate and its key."""
    return keep_certificate(tmp_path_factory.mktemp("tls"), ["127.0.0.1"])
