"""The messages that we make: responses to a request, and the headers that say who we are and what we can."""

from __future__ import annotations

from gateway.reasons import Reason, from_q850, from_sip
from sip.config import StackConfig
from sip.headers import Headers, one_line, parse_parameters, quote
from sip.message import Message, Request, Response

HeaderList = tuple[tuple[str, str], ...] | list[tuple[str, str]]
_COPIED = frozenset(("Via", "From", "To", "Call-ID", "CSeq"))
_COPIED_DIALOG = _COPIED | {"Record-Route"}
_COPIED_TRYING = _COPIED | {"Timestamp"}


def make_response(
    request: Request,
    status: int,
    *,
    tag: str = "",
    phrase: str = "",
    headers: HeaderList = (),
    body: bytes = b"",
    content_type: str = "",
    dialog: bool = False,
) -> Response:
    """Return a response to a request (RFC 3261 §8.2.6).

    tag is put into To where the request has none there. dialog copies Record-Route (§12.1.1).
    """
    copied = _COPIED_DIALOG if dialog else _COPIED_TRYING if status == 100 else _COPIED
    items = [item for item in request.headers if item[0] in copied]
    if tag and not request.to.tag:
        items = [(name, request.tagged_to(tag) if name == "To" else value) for name, value in items]
    response = Headers.trusted(items)
    response.extend(headers)
    if body:
        response.add("Content-Type", content_type)
    return Response(status, one_line(phrase), response, body)


def abilities(config: StackConfig) -> list[tuple[str, str]]:
    """Return Allow, and Supported where there is something to support."""
    found = [("Allow", ", ".join(config.methods))]
    if config.supported:
        found.append(("Supported", ", ".join(config.supported)))
    return found


def reason_headers(reason: Reason, text: str = "") -> list[tuple[str, str]]:
    """Return the Reason headers of an outcome: the Q.850 cause, and the SIP status of a refusal (RFC 3326)."""
    meaning = reason.meaning
    words = quote(text or meaning.text)
    found = [("Reason", f"Q.850;cause={meaning.q850};text={words}")]
    if meaning.sip >= 300:
        found.insert(0, ("Reason", f"SIP;cause={meaning.sip};text={words}"))
    return found


_GENERAL = frozenset((480, 500, 502, 503, 504, 603))
"""Refusals by which gateways mean many things, so that their Q.850 cause says more (RFC 6432, RFC 3398 §7.2)."""


def reason_of_refusal(response: Response) -> Reason:
    """Return why a request was refused: by its status, or the Q.850 cause where that says more."""
    cause = _causes(response).get("Q.850") if response.status in _GENERAL else None
    known = from_q850(cause) if cause is not None else Reason.INTERNAL
    return from_sip(response.status) if known in (Reason.INTERNAL, Reason.NORMAL) else known


def reason_of(request: Request) -> Reason:
    """Return what the Reason header of a BYE or CANCEL says; NORMAL where it says nothing that we know."""
    causes = _causes(request)
    if "Q.850" in causes:
        return from_q850(causes["Q.850"])
    return from_sip(causes["SIP"]) if "SIP" in causes else Reason.NORMAL


def _causes(message: Message) -> dict[str, int]:
    """Return the causes of Reason by protocol, the first of each (RFC 3326 §2)."""
    causes: dict[str, int] = {}
    for value in message.headers.values("Reason"):
        protocol, _, parameters = value.partition(";")
        cause = parse_parameters(parameters).get("cause", "")
        if cause.isascii() and cause.isdigit() and len(cause) <= 3:
            causes.setdefault(protocol.strip().upper(), int(cause))
    return causes
