"""SDP as text (RFC 8866): lines in, sections out, with bounds; it knows no meaning of any attribute."""

from __future__ import annotations

import re
from dataclasses import dataclass

from transcode.media import MAX_STREAMS

MAX_SIZE = 64 * 1024
"""Octets; Chromium's offer with two cameras and simulcast is about 12 KiB."""
MAX_LINES = 2000
"""Lines; the same offer has about 300."""
MAX_FORMAT_TOKENS = 128
"""Formats on one m= line: there are no more payload types."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+\-./0-9A-Z^_`a-z{|}~]+\Z")


@dataclass(frozen=True, slots=True)
class Attributes:
    """The a= lines of one part, in order: name and value, "" for those that have none."""

    pairs: tuple[tuple[str, str], ...]

    def has(self, name: str) -> bool:
        """Tell whether an attribute is there."""
        return any(key == name for key, _ in self.pairs)

    def all(self, name: str) -> list[str]:
        """Return all values of an attribute."""
        return [value for key, value in self.pairs if key == name]

    def first(self, name: str) -> str | None:
        """Return an attribute's first value."""
        return next((value for key, value in self.pairs if key == name), None)


@dataclass(frozen=True, slots=True)
class Section:
    """One m= line with what belongs to it; connection is the address of its c= line or the session's."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    connection: str | None
    bandwidth: tuple[tuple[str, int], ...]
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Session:
    """A whole description."""

    attributes: Attributes
    sections: tuple[Section, ...]


def is_token(text: str) -> bool:
    """Tell whether a text is a token (RFC 8866 §9)."""
    return _TOKEN.match(text) is not None


def parse(text: str) -> Session:
    """Read a description. Raises ValueError if it is none, or larger than the bounds."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SIZE:
        raise ValueError("the description is too large")
    if _CONTROL.search(text):
        raise ValueError("the description holds control characters")
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line]
    if len(lines) > MAX_LINES:
        raise ValueError("the description has too many lines")
    if not lines or lines[0] != "v=0":
        raise ValueError("the description does not begin with v=0")
    parts: list[list[tuple[str, str]]] = [[]]
    for line in lines[1:]:
        if len(line) < 2 or line[1] != "=" or not line[0].isalpha():
            raise ValueError("a line of the description has no type")
        if line[0] == "m":
            parts.append([])
            if len(parts) > MAX_STREAMS + 1:
                raise ValueError("the description has too many m= lines")
        parts[-1].append((line[0], line[2:]))
    connection = _connection(parts[0])
    return Session(_attributes(parts[0]), tuple(_section(part, connection) for part in parts[1:]))


def _section(lines: list[tuple[str, str]], connection: str | None) -> Section:
    words = lines[0][1].split()
    if len(words) < 4:
        raise ValueError("an m= line is too short")
    media, port, protocol, *formats = words
    if len(formats) > MAX_FORMAT_TOKENS:
        raise ValueError("an m= line has too many formats")
    if not all(is_token(word) for word in (media, *formats)) or not all(map(is_token, protocol.split("/"))):
        raise ValueError("an m= line holds something that is no token")
    number = unsigned(port.partition("/")[0], 65535)
    bandwidth = []
    for kind, value in lines:
        if kind == "b":
            name, _, amount = value.partition(":")
            bandwidth.append((name, unsigned(amount, 10**12)))
    found = _connection(lines)
    return Section(media, number, protocol, tuple(formats), found or connection, tuple(bandwidth), _attributes(lines))


def _attributes(lines: list[tuple[str, str]]) -> Attributes:
    pairs = []
    for kind, value in lines:
        if kind == "a":
            name, _, rest = value.partition(":")
            pairs.append((name, rest.strip()))
    return Attributes(tuple(pairs))


def _connection(lines: list[tuple[str, str]]) -> str | None:
    for kind, value in lines:
        if kind == "c":
            words = value.split()
            if len(words) != 3 or words[0] != "IN" or words[1] not in ("IP4", "IP6"):
                raise ValueError("a c= line makes no sense")
            return words[2].partition("/")[0]
    return None


def unsigned(text: str, highest: int) -> int:
    """Read a decimal number from 0 to highest. Raises ValueError."""
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise ValueError("a number was expected in the description")
    number = int(text)
    if number > highest:
        raise ValueError("a number in the description is too large")
    return number
