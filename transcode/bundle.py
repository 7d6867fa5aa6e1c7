"""Streams that share one transport: whose description of it counts, who rides along, how packets name them. Pure."""

from __future__ import annotations

from transcode.carrier import Carrier
from transcode.media import MediaDescription, Mid, StreamDescription
from transcode.negotiate import Chosen


def transport_of(remote: MediaDescription, chosen: dict[str, Chosen], id: str) -> StreamDescription:
    """Return the stream whose transport counts: the first one of the bundle that we take (RFC 9143 §7.3.1)."""
    if id not in remote.bundle:
        return chosen[id].stream
    return next((chosen[other].stream for other in remote.bundle if other in chosen), chosen[id].stream)


def agreed_mid(ours: Mid | None, theirs: Mid | None) -> Mid | None:
    """Return how packets name a stream, where both sides have said the same (RFC 8285 §6)."""
    return theirs if ours is not None and theirs is not None and ours.extension == theirs.extension else None


def sharing(carriers: dict[str, Carrier]) -> tuple[str, ...]:
    """Return the streams that share the first one's carrier; none if it is alone on it."""
    first = next(iter(carriers.values()), None)
    together = tuple(id for id, carrier in carriers.items() if carrier is first)
    return together if len(together) > 1 else ()


def rides_along(offered: MediaDescription, answer: MediaDescription, id: str) -> bool:
    """Tell whether a stream can flow as answered: of a bundle that we offered, only what the answer has in it too, or
    its first stream alone (RFC 9143 §7.3.3)."""
    return id not in offered.bundle[1:] or id in answer.bundle
