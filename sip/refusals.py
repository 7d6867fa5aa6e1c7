"""What a peer is told whose call or change is refused: status and headers, from the one vocabulary of outcomes."""

from __future__ import annotations

from gateway.reasons import Reason

RETRY_AFTER = 30
"""Seconds after which one who was turned away for load may try again."""

HeaderList = list[tuple[str, str]]


def refusal_status(reason: Reason) -> int:
    """Return the status that refuses an INVITE for a reason; always 4xx to 6xx.

    A reason that is a success elsewhere has no failing status of its own: 480. 401 would need a challenge: 403.
    """
    status = reason.meaning.sip
    if status < 300:
        return 480
    return 403 if status == 401 else status


def refusal_headers(reason: Reason, detail: str = "") -> HeaderList:
    """Return the headers that tell a peer's user and log why (RFC 3326; RFC 3261 §20.43, §20.33)."""
    meaning = reason.meaning
    text = _quoted(meaning.text)
    headers = [
        ("Reason", f'SIP;cause={refusal_status(reason)};text="{text}"'),
        ("Reason", f'Q.850;cause={meaning.q850};text="{text}"'),
    ]
    if meaning.sip == 488:
        warning = _quoted(f"{meaning.text}: {detail}" if detail else meaning.text)
        headers.append(("Warning", f'399 roombridge "{warning}"'))
    if meaning.sip == 503:
        headers.append(("Retry-After", str(RETRY_AFTER)))
    return headers


def _quoted(text: str) -> str:
    return text.replace("\\", "").replace('"', "'")
