"""The contents of Q.931's information elements, read and written (ITU-T Q.931 §4.5).

Readers take whatever a peer sends and return None, or an empty text, for what cannot be read: an odd element must not
cost the call. Writers raise ValueError for what the element cannot hold.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_DISPLAY = 82
"""Octets of Display (Q.931 §4.5.16)."""

MAX_DIGITS = 128
"""Digits of a number: H.225.0's dialledDigits has as many, Q.931's own limit is lower and depends on the network."""

MAX_KEYPAD = 34
"""Octets of Keypad facility (Q.931 §4.5.18)."""

SPEECH = 0x00
"""Information transfer capability of a call for sound alone (§4.5.5)."""
UNRESTRICTED_DIGITAL = 0x08
"""Information transfer capability of a call with picture (H.225.0 §7.2.2.1)."""
USER = 0
"""Location: the user (§4.5.12)."""
PRIVATE_LOCAL = 1
"""Location: private network serving the local user."""

_CHANNEL = 64_000
_RATES = {0x10: 64_000, 0x11: 128_000, 0x13: 384_000, 0x15: 1_536_000, 0x17: 1_920_000}
_MULTIRATE = 0x18


def _text(octets: bytes) -> str:
    """Printable text out of octets: UTF-8 where it is that, else Latin-1. Peers end it with a NUL at times."""
    octets = octets.rstrip(b"\0")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    return "".join(c for c in text if c.isprintable())


def read_display(content: bytes | None) -> str:
    """Display (§4.5.16), without control characters."""
    return _text(content or b"")


def write_display(text: str) -> bytes:
    """Display as UTF-8, cut after a whole character where it is too long."""
    return text.encode("utf-8", "replace")[:MAX_DISPLAY].decode("utf-8", "ignore").encode()


@dataclass(frozen=True, slots=True)
class BearerCapability:
    """Bearer capability (§4.5.5): transfer capability, and bits a second in both directions (0 where not told)."""

    transfer: int
    bandwidth: int


def read_bearer(content: bytes | None) -> BearerCapability | None:
    """Bearer capability; None where there is none or it ends early."""
    if not content or len(content) < 2:
        return None
    transfer = content[0] & 0x1F
    rate = content[1] & 0x1F
    if rate == _MULTIRATE:
        multiplier = content[2] & 0x7F if len(content) > 2 else 0
        return BearerCapability(transfer, multiplier * _CHANNEL)
    return BearerCapability(transfer, _RATES.get(rate, 0))


def write_bearer(bearer: BearerCapability) -> bytes:
    """Bearer capability of a packet mode call: channels of 64 kbit/s, 1 to 127 (H.225.0 §7.2.2.1).

    88    unrestricted digital information
    18    circuit mode, multirate
    86    six channels
    a5    layer 1: H.221, H.242 (what H.323 writes for a call with picture; a3 G.711 A-law for speech)
    """
    channels = min(127, max(1, -(-bearer.bandwidth // _CHANNEL)))
    layer = 0xA3 if bearer.transfer == SPEECH else 0xA5
    head = 0x80 | bearer.transfer & 0x1F
    if channels == 1:
        return bytes((head, 0x90, layer))
    return bytes((head, 0x98, 0x80 | channels, layer))


@dataclass(frozen=True, slots=True)
class Cause:
    """Cause (§4.5.12, Q.850): value 1 to 127, where it comes from, diagnostics."""

    value: int
    location: int = USER
    diagnostics: bytes = b""


def read_cause(content: bytes | None) -> Cause | None:
    """Cause; None where there is none or it ends early."""
    if not content:
        return None
    at = 1 if content[0] & 0x80 else 2
    if len(content) <= at:
        return None
    return Cause(content[at] & 0x7F, content[0] & 0x0F, content[at + 1 :])


def write_cause(cause: Cause) -> bytes:
    """Cause in ITU-T coding."""
    if not 0 <= cause.value <= 127 or not 0 <= cause.location <= 15 or len(cause.diagnostics) > 28:
        raise ValueError(f"no cause: {cause.value}")
    return bytes((0x80 | cause.location, 0x80 | cause.value)) + cause.diagnostics


@dataclass(frozen=True, slots=True)
class Number:
    """Calling, called, connected or redirecting party number (§4.5.8, §4.5.10).

    kind: type of number, 0 unknown, 1 international, 2 national ... plan: numbering plan, 0 unknown, 1 E.164, 9
    private. presentation: 0 allowed, 1 restricted, 2 not available; None where the element does not tell (a called
    number never does). screening: 0 to 3, told along with presentation.
    """

    digits: str
    kind: int = 0
    plan: int = 1
    presentation: int | None = None
    screening: int = 0


def read_number(content: bytes | None) -> Number | None:
    """A number; None where there is none. Characters that nobody can dial are left out."""
    if not content:
        return None
    kind, plan = content[0] >> 4 & 0x07, content[0] & 0x0F
    presentation: int | None = None
    screening = 0
    at = 1
    if not content[0] & 0x80 and len(content) > 1:
        presentation, screening = content[1] >> 5 & 0x03, content[1] & 0x03
        at = 2
    digits = "".join(chr(octet) for octet in content[at : at + MAX_DIGITS] if chr(octet) in _DIALLABLE)
    return Number(digits, kind, plan, presentation, screening)


def write_number(number: Number) -> bytes:
    """A number; with octet 3a where presentation is given."""
    if len(number.digits) > MAX_DIGITS or not set(number.digits) <= _DIALLABLE:
        raise ValueError("a number has at most 128 digits")
    if not (0 <= number.kind <= 7 and 0 <= number.plan <= 15):
        raise ValueError(f"no type or plan of a number: {number.kind}, {number.plan}")
    head = number.kind << 4 | number.plan
    if number.presentation is None:
        return bytes((0x80 | head,)) + number.digits.encode()
    shown = 0x80 | (number.presentation & 0x03) << 5 | number.screening & 0x03
    return bytes((head, shown)) + number.digits.encode()


_DIALLABLE = frozenset("0123456789*#,ABCD+")


def read_keypad(content: bytes | None) -> str:
    """Keypad facility (§4.5.18): the keys pressed, as DTMF names them; in INFORMATION and SETUP."""
    return "".join(chr(octet) for octet in (content or b"")[:MAX_KEYPAD] if chr(octet) in _DIALLABLE or octet == 0x21)


def write_keypad(keys: str) -> bytes:
    """Keypad facility; `!` is a hook flash."""
    if len(keys) > MAX_KEYPAD or not set(keys) <= _DIALLABLE | {"!"}:
        raise ValueError("no keys")
    return keys.encode()


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress indicator (§4.5.23): description, as 8 for tones or announcements in band, and location."""

    description: int
    location: int = PRIVATE_LOCAL


def read_progress(content: bytes | None) -> Progress | None:
    """Progress indicator; None where there is none or it ends early."""
    if not content or len(content) < 2:
        return None
    return Progress(content[1] & 0x7F, content[0] & 0x0F)


def write_progress(progress: Progress) -> bytes:
    """Progress indicator in ITU-T coding."""
    return bytes((0x80 | progress.location & 0x0F, 0x80 | progress.description & 0x7F))


def read_call_state(content: bytes | None) -> int | None:
    """Call state (§4.5.7), as 10 for active; in STATUS."""
    return content[0] & 0x3F if content else None


def write_call_state(state: int) -> bytes:
    """Call state in ITU-T coding."""
    return bytes((state & 0x3F,))


def read_notification(content: bytes | None) -> int | None:
    """Notification indicator (§4.5.22), as 0 for user suspended and 121 for hold (Q.932)."""
    return content[0] & 0x7F if content else None


def write_notification(notification: int) -> bytes:
    """Notification indicator of one octet."""
    return bytes((0x80 | notification & 0x7F,))


def read_signal(content: bytes | None) -> int | None:
    """Signal (§4.5.28): the tone that the peer should play, as 0 for dial tone and 63 for none."""
    return content[0] if content else None


def write_signal(signal: int) -> bytes:
    """Signal."""
    return bytes((signal & 0xFF,))
