"""What a MESSAGE says: plain text, alone or wrapped in CPIM, and what is no text at all (RFC 3428, RFC 3862). Pure."""

from __future__ import annotations

import codecs

TEXT = "text/plain"
CPIM = "message/cpim"
UTF8_TEXT = "text/plain;charset=UTF-8"
ACCEPTED = f"{TEXT}, {CPIM}, application/im-iscomposing+xml"
"""The Accept header that goes with a 415."""
MAX_BODY = 16_384
"""Octets of a MESSAGE's body: the longest message of a room in four octets a character, with its CPIM headers twice."""
MAX_PIECE = 1_000
"""Octets of a body of ours on UDP: with its headers it must fit 1,300 (RFC 3428 §8)."""
_SILENT = frozenset({"application/im-iscomposing+xml", "message/imdn+xml"})
"""Taken and not shown: somebody is typing (RFC 3994), or a message was delivered (RFC 5438)."""
_CHARSETS = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16", "utf-16-le", "utf-16-be"})
"""Charsets that are read, by Python's names; others are none or rare enough to be refused."""


class BadBody(ValueError):
    """A body that is not taken, with the status that says so."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def read_message(content_type: str, encoding: str, body: bytes) -> str:
    """Return the text of a MESSAGE, "" if there is nothing to show. Raises BadBody: 400, 413 or 415.

    content_type is the whole value of the header; encoding that of Content-Encoding.
    """
    if len(body) > MAX_BODY:
        raise BadBody(413, f"a message has at most {MAX_BODY} octets")
    if encoding.strip().lower() not in ("", "identity"):
        raise BadBody(415, "compressed messages are not read here")
    kind = _kind(content_type)
    if kind == CPIM:
        content_type, body = _unwrapped(body)
        kind = _kind(content_type)
    if kind in _SILENT or not body:
        return ""
    if kind not in ("", TEXT):
        raise BadBody(415, f"{kind[:64]} is not read here")
    return _decoded(content_type, body)


def pieces(text: str, most: int) -> list[str]:
    """Return a text cut into parts of so many octets, at blanks where there are any."""
    parts = []
    while len(text.encode()) > most:
        cut = len(text.encode()[:most].decode("utf-8", "ignore"))
        blank = max(text.rfind(" ", 0, cut), text.rfind("\n", 0, cut))
        cut = blank if blank > cut // 2 else cut
        parts.append(text[:cut])
        text = text[cut:].lstrip()
    return [*parts, text] if text else parts


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _unwrapped(body: bytes) -> tuple[str, bytes]:
    """Return content type and content of a CPIM message: its headers, an empty line, MIME headers, an empty line."""
    plain = body.replace(b"\r\n", b"\n")
    _, blank, rest = plain.partition(b"\n\n")
    head, second, content = rest.partition(b"\n\n")
    if not blank or not second:
        raise BadBody(400, "a CPIM message without content")
    for line in head.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-type":
            return value.strip().decode("utf-8", "replace"), content
    return TEXT, content


def _decoded(content_type: str, body: bytes) -> str:
    charset = "utf-8"
    for part in content_type.split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"') or charset
    try:
        known = codecs.lookup(charset).name
    except (LookupError, ValueError):
        known = ""
    if known not in _CHARSETS:
        raise BadBody(415, f"the charset {charset[:32]} is not known here")
    return body.decode(known, "replace")
