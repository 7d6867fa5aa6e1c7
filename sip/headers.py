"""Header fields: ordered, case-insensitive, compact names known; and how their values are cut (RFC 3261 §7.3, §25).

Values are kept as text exactly as they came (octets that are not UTF-8 as surrogate escapes), so that what is copied
into a response goes back unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

_COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}
_SPELLED = {
    "call-id": "Call-ID",
    "cseq": "CSeq",
    "www-authenticate": "WWW-Authenticate",
    "mime-version": "MIME-Version",
    "rseq": "RSeq",
    "rack": "RAck",
    "min-se": "Min-SE",
    "sip-etag": "SIP-ETag",
    "sip-if-match": "SIP-If-Match",
}
_UNFIT = re.compile(r"[\r\n\x00]+\s*")


@lru_cache(maxsize=512)  # the names in use are about a hundred; peers may make up others
def canonical(name: str) -> str:
    """Return the usual spelling of a header name: "i" and "call-id" are "Call-ID"."""
    lower = name.lower()
    known = _COMPACT.get(lower) or _SPELLED.get(lower)
    return known or "-".join(part.capitalize() for part in lower.split("-"))


def one_line(value: str) -> str:
    """Return a value without line ends, so that no text from elsewhere can add a header."""
    return _UNFIT.sub(" ", value) if _UNFIT.search(value) else value


class Headers:
    """The header fields of one message, in order; a field that is repeated stands as often as it came."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        """Take (name, value) pairs."""
        self._items = [(canonical(name), one_line(value)) for name, value in items]

    @classmethod
    def trusted(cls, items: list[tuple[str, str]]) -> Headers:
        """Take the list itself, its names canonical and its values single lines already."""
        self = cls.__new__(cls)
        self._items = items
        return self

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"

    def get(self, name: str) -> str | None:
        """Return the first value of a field, or None."""
        name = canonical(name)
        for key, value in self._items:
            if key == name:
                return value
        return None

    def all(self, name: str) -> list[str]:
        """Return the value of each field of that name, uncut."""
        name = canonical(name)
        return [value for key, value in self._items if key == name]

    def values(self, name: str) -> list[str]:
        """Return the comma-separated values of all fields of that name as one list."""
        found: list[str] = []
        for value in self.all(name):
            found += split_values(value)
        return found

    def tokens(self, name: str) -> set[str]:
        """Return `values` in lower case, without parameters: option tags, methods, media types."""
        return {value.partition(";")[0].strip().lower() for value in self.values(name)}

    def add(self, name: str, value: str) -> None:
        """Append a field."""
        self._items.append((canonical(name), one_line(value)))

    def extend(self, items: Iterable[tuple[str, str]]) -> None:
        """Append fields."""
        for name, value in items:
            self.add(name, value)

    def set(self, name: str, value: str) -> None:
        """Replace the first field of that name and drop the others; append it where there is none."""
        name = canonical(name)
        at = next((i for i, (key, _) in enumerate(self._items) if key == name), len(self._items))
        self._items = [item for i, item in enumerate(self._items) if item[0] != name or i < at]
        self._items.insert(at, (name, one_line(value)))

    def remove(self, name: str) -> None:
        """Drop every field of that name."""
        name = canonical(name)
        self._items = [item for item in self._items if item[0] != name]


def split_values(text: str, separator: str = ",") -> list[str]:
    """Cut at separators that stand outside of quoted strings and of angle brackets; empty parts are left out."""
    if separator not in text:
        text = text.strip()
        return [text] if text else []
    if '"' not in text and "<" not in text:
        return [part for part in map(str.strip, text.split(separator)) if part]
    parts = []
    start = 0
    for at in _separators(text, separator):
        parts.append(text[start:at].strip())
        start = at + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def _separators(text: str, separator: str) -> Iterator[int]:
    quoted = bracketed = False
    skip = -1
    for at, char in enumerate(text):
        if at == skip:
            continue
        if quoted:
            if char == "\\":
                skip = at + 1
            elif char == '"':
                quoted = False
        elif char == '"' and not bracketed:
            quoted = True
        elif char == "<":
            bracketed = True
        elif char == ">":
            bracketed = False
        elif char == separator and not bracketed:
            yield at


def parse_parameters(text: str) -> dict[str, str]:
    """Return `;name=value;flag` as a dict, names in lower case, a flag's value "", quotes taken off; first one wins."""
    found: dict[str, str] = {}
    for part in split_values(text, ";"):
        name, _, value = part.partition("=")
        name = name.strip().lower()
        if name and name not in found:
            found[name] = unquote(value.strip())
    return found


def print_parameters(parameters: dict[str, str]) -> str:
    """Return parameters as `;name=value;flag`, quoted where the value is no token."""
    return "".join(f";{name}={_token_or_quoted(value)}" if value else f";{name}" for name, value in parameters.items())


def unquote(text: str) -> str:
    """Return a quoted string's content, or the text itself where it is not quoted (RFC 3261 §25.1)."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    text = text[1:-1]
    return re.sub(r"\\(.)", r"\1", text) if "\\" in text else text


def quote(text: str) -> str:
    """Return a text as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~\-\[\]:/]+")


def _token_or_quoted(value: str) -> str:
    return value if _TOKEN.fullmatch(value) else quote(value)
