"""What goes wrong with aligned PER; nothing else leaves the codec."""

from __future__ import annotations

MAX_ERROR_TEXT = 300
"""Characters of an error's text: it goes into a log line, and values from the network can be of any length."""


class PerError(ValueError):
    """A value or an encoding that does not fit; `path` says where, outermost member first."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.path: list[str] = []

    def within(self, name: str) -> None:
        """Note on the way out that it happened inside the member or alternative of this name."""
        self.path.append(name)

    def __str__(self) -> str:
        where = ".".join(reversed(self.path))
        text = f"{where}: {self.text}" if where else self.text
        return text if len(text) <= MAX_ERROR_TEXT else text[: MAX_ERROR_TEXT - 3] + "..."


class EncodeError(PerError):
    """A value that is not one of its type."""


class DecodeError(PerError):
    """Bytes that are no encoding of the type, or go over a bound."""


class CompileError(PerError):
    """ASN.1 that the codec cannot do; only our own modules can cause it."""


def shown(value: object) -> str:
    """A value for an error's text, cut before it is spelled out at length."""
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} octets"
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
    return type(value).__name__
