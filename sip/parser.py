"""Reads one SIP message from bytes: liberal in form, strict in what it means (RFC 3261 §7, §25; RFC 4475).

Taken: leading CRLF, LF alone as line end, folded headers, compact names, blanks before the colon, octets that are not
UTF-8. A message that cannot be used gives a verdict with `Malformed`: the status to answer with, or 0 to drop it.
"""

from __future__ import annotations

import re

from sip.headers import Headers, canonical
from sip.message import Message, Request, Response
from sip.values import BadValue, parse_number

MAX_MESSAGE = 65_536
"""Octets of a message: what a datagram can hold, and many times what a large SDP needs."""
MAX_LINE = 8_192
"""Octets of one header field with its folds; long Record-Route and Identity values stay under 4 KiB."""
MAX_HEADERS = 256
"""Header fields of one message; long proxy chains reach about 60."""

_REQUEST = re.compile(r"([A-Za-z0-9.!%*_+`'~\-]{1,64})[ \t]+(\S(?:.*\S)?)[ \t]+(SIP/(\d+)\.(\d+))[ \t]*", re.IGNORECASE)
_STATUS = re.compile(r"SIP/(\d+)\.(\d+)[ \t]+(\d{3})(?:[ \t](.*))?", re.IGNORECASE)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(r"\n[ \t]+")
_NAME = re.compile(r"[A-Za-z0-9.!%*_+`'~\-]+")


class Malformed(ValueError):
    """A message that cannot be used. status: what to answer, 0 to drop it; request: what could be read of it."""

    def __init__(self, status: int, text: str, request: Request | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.request = request


def parse(data: bytes) -> Message:
    """Return the message in a datagram, or the whole one cut from a stream. Raises Malformed."""
    head, body = _split(data)
    start, _, rest = head.partition("\n")
    if status := _STATUS.fullmatch(start):
        return _response(status, _headers(rest, None), body)
    request = _REQUEST.fullmatch(start)
    if request is None:
        raise Malformed(0, "neither a request nor a response")
    partial = Request(request[1], request[2], Headers())
    partial.headers = _headers(rest, partial)
    return _request(partial, request[3].upper(), body, len(data))


def _split(data: bytes) -> tuple[str, bytes]:
    data = data.lstrip(b"\r\n") if data[:1] in (b"\r", b"\n") else data
    if not data:
        raise Malformed(0, "empty")
    end = _HEAD_END.search(data)
    if end is None:
        head, body = data.rstrip(b"\r\n"), b""  # a head without an end: nothing that follows can be missed
    else:
        head, body = data[: end.start()], data[end.end() :]
    text = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    if "\r" in text:
        text = text.replace("\r", " ")
    return text, body


def _headers(text: str, request: Request | None) -> Headers:
    """Cut header lines. What follows a fault is still read, so that a 400 can be sent to where it belongs."""
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    items: list[tuple[str, str]] = []
    fault = ""
    for line in text.split("\n"):
        if len(line) > MAX_LINE:
            fault = "a header is too long"
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not _NAME.fullmatch(name):
            fault = fault or "a header makes no sense" if line.strip() else fault
            continue
        if len(items) >= MAX_HEADERS:
            fault = "too many headers"
            break
        items.append((canonical(name), value.strip(" \t").replace("\x00", " ")))
    headers = Headers.trusted(items)
    if fault:
        if request is not None:
            request.headers = headers
        raise Malformed(400 if request else 0, fault, request)
    return headers


def _response(match: re.Match[str], headers: Headers, body: bytes) -> Response:
    status = int(match[3])
    if match[1] != "2" or not 100 <= status <= 699:
        raise Malformed(0, "no response of SIP/2.0")
    response = Response(status, (match[4] or "").strip(), headers, body)
    try:
        response.check()
        response.body = _body(headers, body)
    except ValueError as fault:
        raise Malformed(0, str(fault)) from None
    return response


def _request(request: Request, version: str, body: bytes, size: int) -> Request:
    if version != "SIP/2.0":
        raise Malformed(505, "", request)
    if size > MAX_MESSAGE:
        raise Malformed(513, "", request)
    try:
        request.check()
        request.body = _body(request.headers, body)
        target = request.target
        if target.startswith("<") or " " in target or "\t" in target:
            raise BadValue("the Request-URI makes no sense")
        scheme = request.uri.scheme
    except ValueError as fault:
        raise Malformed(400, str(fault), request) from None
    if scheme not in ("sip", "sips", "tel"):
        raise Malformed(416, "", request)
    return request


def _body(headers: Headers, body: bytes) -> bytes:
    """Return the body that Content-Length says; what comes behind it in a datagram is dropped (§18.3)."""
    lengths = headers.all("Content-Length")
    if not lengths:
        return body
    length = parse_number(lengths[0], MAX_MESSAGE)
    if any(parse_number(other, MAX_MESSAGE) != length for other in lengths[1:]):
        raise BadValue("Content-Length is repeated")
    if length > len(body):
        raise BadValue("the body is shorter than Content-Length")
    return body[:length]
