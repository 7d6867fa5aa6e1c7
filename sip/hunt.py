"""Hunting for the one who takes our call: redirections (RFC 3261 §8.1.3.4), and the bounds that end them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.reasons import Reason
from sip.message import Response
from sip.uri import BadUri, parse_uri

MAX_REDIRECTIONS = 5
"""3xx that are followed for one call; forwarding goes one or two steps."""
MAX_TARGETS = 16
"""URIs that are tried for one call; a 3xx with a dozen contacts is already rare."""
BACK_OFF = 30.0
"""Seconds for which a server is left alone that could not be reached, did not answer, or said 503 without a time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one attempt failed. response None: none came. contacts are those of a 3xx, best first."""

    status: int
    reason: Reason
    response: Response | None = None
    contacts: tuple[str, ...] = ()

    @property
    def of_server(self) -> bool:
        """Whether another server of the same domain may do better (RFC 3263 §4.3)."""
        if self.response is None:
            return self.reason in (Reason.TIMEOUT, Reason.UNREACHABLE)
        return self.status == 503

    @property
    def redirects(self) -> bool:
        """Whether the peer said where else to look. 305 names a proxy and is not followed (RFC 3261 §21.3.4)."""
        return 300 <= self.status < 400 and self.status not in (305, 380)


class Hunt:
    """Which URI to try next. No URI is tried twice, so that two that name each other make no loop."""

    def __init__(self, uri: str) -> None:
        """Begin with one URI."""
        self._waiting: deque[str] = deque([uri])
        self._seen = {_same(uri)}
        self._secure = uri.lower().startswith("sips:")
        self.redirections = 0

    def next(self) -> str | None:
        """Return the URI to try, or None where all were."""
        return self._waiting.popleft() if self._waiting else None

    def redirected(self, contacts: Sequence[str]) -> bool:
        """Take the contacts of a 3xx, to be tried before what waits; False where none of them is worth trying.

        A sips URI is not redirected to one without protection (§26.4.4).
        """
        self.redirections += 1
        if self.redirections > MAX_REDIRECTIONS:
            self._waiting.clear()
            return False
        fresh = []
        for contact in contacts:
            key = _same(contact)
            scheme = contact.partition(":")[0].lower()
            if key in self._seen or len(self._seen) >= MAX_TARGETS or scheme not in ("sip", "sips"):
                continue
            if self._secure and scheme != "sips":
                continue
            self._seen.add(key)
            fresh.append(contact)
        self._waiting.extendleft(reversed(fresh))
        return bool(fresh)


def _same(text: str) -> str:
    """Return what two spellings of one URI share: no headers, host in lower case, usual port left out."""
    try:
        uri = parse_uri(text)
    except BadUri:
        return text
    port = "" if uri.port in (None, 5060 if uri.scheme == "sip" else 5061) else f":{uri.port}"
    way = uri.parameters.get("transport", "").lower()
    return f"{uri.scheme}:{uri.user or ''}@{uri.host.lower()}{port};{way}"
