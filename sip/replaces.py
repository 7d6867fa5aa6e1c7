"""The Replaces header: names a dialog that a new call takes the place of (RFC 3891 §6.1)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from sip.headers import parse_parameters, split_values
from sip.message import Message

REPLACES = "replaces"
"""The option tag in Supported and Require."""


@dataclass(frozen=True, slots=True)
class Replaces:
    """The dialog, from the side of who receives the header: to_tag is its own tag there."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What the dialog is found by at the receiver: Call-ID, local tag, remote tag."""
        return (self.call_id, self.to_tag, self.from_tag)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"

    def escaped(self) -> str:
        """Return it as a header of a URI in Refer-To (RFC 3261 §19.1.1)."""
        return quote(str(self), safe="-_.!~*'()", errors="surrogateescape")


def parse_replaces(message: Message) -> Replaces | None:
    """Return the one Replaces of a message; None where it is repeated or makes no sense."""
    values = message.headers.all("Replaces")
    return read_replaces(values[0]) if len(values) == 1 else None


def read_replaces(text: str) -> Replaces | None:
    """Return a Replaces value, None where it makes no sense. A tag "0" stands for none (§6.1)."""
    if len(split_values(text)) != 1:
        return None
    call_id, _, rest = text.partition(";")
    found = parse_parameters(rest)
    if not call_id.strip() or not found.get("to-tag") or not found.get("from-tag"):
        return None
    return Replaces(call_id.strip(), _tag(found["to-tag"]), _tag(found["from-tag"]), "early-only" in found)


def _tag(text: str) -> str:
    return "" if text == "0" else text
