"""Asks another program about each call by HTTP GET, and holds nobody up for longer than is allowed.

The call's facts stand in the query; the answer is JSON (`gateway.rooms.policy`). What is no good answer in time counts
as a failure: then the call goes on as if nobody had been asked, or is refused, as the configuration says.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import structlog

from gateway.calls import CallFacts
from gateway.reasons import Reason, Refused
from gateway.rooms.dial_plan import Destination
from gateway.rooms.policy import NOTHING_SAID, Decision, question, read_answer
from transcode.interface import Sample

log = structlog.get_logger()

MAX_ANSWER = 16 * 1024
"""Octets of an answer; a long one has 300."""
MAX_ASKING = 200
"""Questions under way at once: a program that takes two seconds is asked about 100 calls a second."""
MAX_CONNECTIONS = 50
"""Connections to the program."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """url is asked, for timeout seconds at most; token is a bearer token; certificate a PEM file to trust beside none.

    refuse says that a call is refused where no good answer comes.
    """

    url: str
    timeout: float = 2.0
    refuse: bool = True
    token: str | None = None
    certificate: str | None = None


class PolicyClient:
    """Implements `gateway.rooms.policy.Policy`; close it at the end."""

    def __init__(self, settings: PolicySettings) -> None:
        """Raises OSError or ssl.SSLError where the certificate cannot be read."""
        self.outcomes: Counter[str] = Counter()
        """How often it was decided, failed, timed out."""
        self._settings = settings
        self._asking = 0
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        verify: ssl.SSLContext | bool = True
        if settings.certificate is not None:
            verify = ssl.create_default_context(cafile=settings.certificate)
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=settings.timeout,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
            follow_redirects=False,
            trust_env=False,
            verify=verify,
        )

    async def decide(self, facts: CallFacts, destination: Destination) -> Decision:
        """Return what is decided of a call. Raises `Refused` where no good answer comes and that is fatal."""
        if self._asking >= MAX_ASKING:
            return self._failed("too-many", "too many questions are open")
        self._asking += 1
        try:
            # The client's own limits hold for each step; a server that drips must not keep a caller either.
            async with asyncio.timeout(self._settings.timeout):
                decision = read_answer(await self._ask(question(facts, destination)))
        except TimeoutError:
            return self._failed("timeout", "no answer in time")
        except httpx.TimeoutException:
            return self._failed("timeout", "no answer in time")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            return self._failed("failed", str(error)[:200] or type(error).__name__)
        finally:
            self._asking -= 1
        self.outcomes["decided"] += 1
        return decision

    async def _ask(self, asked: dict[str, str]) -> bytes:
        async with self._client.stream("GET", self._settings.url, params=asked) as answer:
            if answer.status_code != 200:
                raise ValueError(f"HTTP status {answer.status_code}")
            body = b""
            async for part in answer.aiter_raw():  # nothing is unpacked: a small answer could be a large one then
                body += part
                if len(body) > MAX_ANSWER:
                    raise ValueError(f"the answer is larger than {MAX_ANSWER} octets")
            return body

    def _failed(self, outcome: str, why: str) -> Decision:
        self.outcomes[outcome] += 1
        log.warning("policy_failed", outcome=outcome, error=why, refuse=self._settings.refuse)
        if self._settings.refuse:
            raise Refused(Reason.OVERLOAD, "the external policy does not answer")
        return NOTHING_SAID

    async def samples(self) -> Iterable[Sample]:
        """Return counts for metrics."""
        return [Sample("policy_total", (("outcome", name),), count) for name, count in self.outcomes.items()]

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
