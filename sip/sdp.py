"""Session descriptions as text: a tolerant parser and a strict printer (RFC 8866).

The parser takes what devices really send: bare LF, blank lines, missing o=, s= or t= lines, lines in an odd order,
letters that nobody knows. It keeps every line, and it reads no meaning out of attributes: `describe_values` does that.
Text that is not a session description at all raises `SdpError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

MAX_LENGTH = 65_536
"""Octets of a description; a browser's largest is about 20,000 and a SIP message is bounded to the same."""
MAX_MEDIA = 16
"""m= lines; as many as a media description may hold streams."""
MAX_LINES = 2_048
"""Lines of a description; a browser's largest has about 400. Bounds the objects that one message makes us build."""
MAX_FORMATS = 64
"""Formats of an m= line; a browser lists about 40."""


class SdpError(ValueError):
    """The text is not a session description that can be used; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An a= line; value None for a flag like a=rtcp-mux (RFC 8866 §5.13)."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= line; session and version are decimal numbers (RFC 8866 §5.2)."""

    user: str = "-"
    session: str = "0"
    version: str = "0"
    address: str = "0.0.0.0"

    def __str__(self) -> str:
        return f"{self.user} {self.session} {self.version} {network(self.address)}"


class _Attributes:
    """Look-ups that a session and its media share."""

    __slots__ = ()
    attributes: tuple[Attribute, ...]

    def has(self, name: str) -> bool:
        """Tell whether there is an attribute of this name."""
        return any(attribute.name == name for attribute in self.attributes)

    def first(self, name: str) -> str | None:
        """Return the value of the first attribute of this name; "" for a flag, None where there is none."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute.value or ""
        return None

    def all(self, name: str) -> list[str]:
        """Return the values of all attributes of this name, in order."""
        return [attribute.value or "" for attribute in self.attributes if attribute.name == name]


@dataclass(frozen=True, slots=True)
class Media(_Attributes):
    """An m= line and the lines under it (RFC 8866 §5.14).

    bandwidths holds (type, number) as written: "AS" in kbit/s, "TIAS" in bit/s. extra holds lines of other letters.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    ports: int = 1
    connection: str | None = None
    bandwidths: tuple[tuple[str, int], ...] = ()
    attributes: tuple[Attribute, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Session(_Attributes):
    """A whole description. connection is the address of the session's c= line, without TTL."""

    origin: Origin = Origin()
    name: str = "-"
    connection: str | None = None
    bandwidths: tuple[tuple[str, int], ...] = ()
    times: tuple[str, ...] = ("0 0",)
    attributes: tuple[Attribute, ...] = ()
    media: tuple[Media, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()

    def address(self, media: Media) -> str | None:
        """Return the address that holds for a medium: its own c= line, or the session's."""
        return media.connection if media.connection is not None else self.connection


def network(address: str) -> str:
    """Return an address with its network and address type: "IN IP4 192.0.2.1"."""
    try:
        version = ip_address(address).version
    except ValueError:
        version = 6 if ":" in address else 4
    return f"IN IP{version} {address}"


def parse(data: bytes) -> Session:
    """Read a description. Raises SdpError if there is too much of it, or no v= line or nothing after it."""
    if len(data) > MAX_LENGTH:
        raise SdpError(f"more than {MAX_LENGTH} octets")
    text = data.decode("utf-8", "replace").replace("\0", "")
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    if len(lines) > MAX_LINES:
        raise SdpError(f"more than {MAX_LINES} lines")
    reader = _Reader()
    for line in lines:
        letter, separator, value = line.lstrip().partition("=")
        if separator and len(letter) == 1:
            reader.line(letter, value.strip())
    return reader.finish()


class _Reader:
    """Collects lines; `_block` is the session's or the latest medium's fields."""

    def __init__(self) -> None:
        self._version = False
        self._origin = Origin()
        self._name = "-"
        self._times: list[str] = []
        self._blocks: list[_Block] = [_Block()]

    def line(self, letter: str, value: str) -> None:
        """Take one line."""
        block = self._blocks[-1]
        if letter == "m":
            self._media(value)
        elif letter == "c":
            block.connection = _connection(value) or block.connection
        elif letter == "b":
            block.bandwidth(value)
        elif letter == "a":
            name, separator, rest = value.partition(":")
            block.attributes.append(Attribute(name.strip().lower(), rest.strip() if separator else None))
        elif len(self._blocks) > 1 or not self._session(letter, value):
            block.extra.append((letter, value))

    def _session(self, letter: str, value: str) -> bool:
        if letter == "v":
            if value != "0":
                raise SdpError(f"version {value[:16]!r} instead of 0")
            self._version = True
        elif letter == "o":
            self._origin = _origin(value)
        elif letter == "s":
            self._name = value or "-"
        elif letter == "t":
            self._times.append(value)
        else:
            return False
        return True

    def _media(self, value: str) -> None:
        if len(self._blocks) > MAX_MEDIA:
            raise SdpError(f"more than {MAX_MEDIA} m= lines")
        words = value.split()
        if len(words) < 3:
            raise SdpError("an m= line without port or protocol")
        port, _, ports = words[1].partition("/")
        if not _is_number(port, 65_535) or (ports and not _is_number(ports, 65_535)):
            raise SdpError(f"an m= line with port {words[1][:16]!r}")
        block = _Block()
        block.media = (words[0].lower(), int(port), words[2], tuple(words[3 : 3 + MAX_FORMATS]))
        block.ports = int(ports or 1)
        self._blocks.append(block)

    def finish(self) -> Session:
        """Return what was collected. Raises SdpError if there was no v= line."""
        if not self._version:
            raise SdpError("no v= line")
        session, *media = self._blocks
        return Session(
            self._origin,
            self._name,
            session.connection,
            tuple(session.bandwidths),
            tuple(self._times) or ("0 0",),
            tuple(session.attributes),
            tuple(block.build() for block in media),
            tuple(session.extra),
        )


class _Block:
    """The fields of a session or a medium while they are read."""

    def __init__(self) -> None:
        self.media: tuple[str, int, str, tuple[str, ...]] = ("", 0, "", ())
        self.ports = 1
        self.connection: str | None = None
        self.bandwidths: list[tuple[str, int]] = []
        self.attributes: list[Attribute] = []
        self.extra: list[tuple[str, str]] = []

    def bandwidth(self, value: str) -> None:
        """Take a b= line; one that cannot be read is kept among the extra lines."""
        kind, _, number = value.partition(":")
        if _is_number(number.strip(), 10**12):
            self.bandwidths.append((kind.strip().upper(), int(number)))
        else:
            self.extra.append(("b", value))

    def build(self) -> Media:
        """Return the medium."""
        return Media(
            *self.media,
            self.ports,
            self.connection,
            tuple(self.bandwidths),
            tuple(self.attributes),
            tuple(self.extra),
        )


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 13 and int(text) <= most


def _connection(value: str) -> str | None:
    """Return the address of a c= value: "IN IP4 224.2.1.1/127/3" without what follows the slash."""
    words = value.split()
    return words[2].partition("/")[0] if len(words) >= 3 and words[0].upper() == "IN" else None


def _origin(value: str) -> Origin:
    words = value.split()
    if len(words) < 6:
        return Origin()
    return Origin(" ".join(words[:-5]) or "-", words[-5], words[-4], words[-1])


def dump(session: Session) -> bytes:
    """Write a description, lines in the order of RFC 8866 §5 and ended by CRLF."""
    lines = ["v=0", f"o={session.origin}", f"s={session.name}"]
    lines += [f"{letter}={value}" for letter, value in session.extra if letter in "iuep"]
    if session.connection is not None:
        lines.append(f"c={network(session.connection)}")
    lines += [f"b={kind}:{number}" for kind, number in session.bandwidths]
    lines += [f"t={time}" for time in session.times]
    lines += [f"{letter}={value}" for letter, value in session.extra if letter not in "iuep"]
    lines += [f"a={attribute}" for attribute in session.attributes]
    for media in session.media:
        lines += _media_lines(media)
    return "".join(f"{line}\r\n" for line in lines).encode()


def _media_lines(media: Media) -> list[str]:
    ports = f"{media.port}/{media.ports}" if media.ports != 1 else f"{media.port}"
    lines = [" ".join(["m=" + media.kind, ports, media.protocol, *media.formats])]
    lines += [f"{letter}={value}" for letter, value in media.extra if letter == "i"]
    if media.connection is not None:
        lines.append(f"c={network(media.connection)}")
    lines += [f"b={kind}:{number}" for kind, number in media.bandwidths]
    lines += [f"{letter}={value}" for letter, value in media.extra if letter != "i"]
    return lines + [f"a={attribute}" for attribute in media.attributes]
