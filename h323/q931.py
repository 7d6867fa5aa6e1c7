"""Q.931 messages as H.225.0 §7.2 uses them: the frame around the User-user element.

    08        protocol discriminator (Q.931 §4.2)
    02 91 38  call reference: its length, a flag (from the side that was called), 15 bits (§4.3)
    05        message type (§4.4)
    28 03 ... information elements: identifier, length, content (§4.5); the User-user element has a length of 16 bits,
              and an element whose identifier has its first bit set is one octet

Elements that nobody knows are kept as they are; of an element that comes twice the first counts (§5.8.5.3). Those of
other codesets than 0 are left out. What the single elements hold is read and written in h323.elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

DISCRIMINATOR = 0x08
MAX_ELEMENTS = 64
"""Elements of a message: SETUP, the richest, can have about 25."""

MAX_REFERENCE = 0x7FFF
"""Call references have 15 bits in H.225.0; 0 is the connection as a whole."""

USER_USER_ASN1 = 0x05
"""The protocol discriminator within the User-user element: X.680 coded (Q.931 §4.5.30)."""


class Type(IntEnum):
    """Message types (Q.931 Table 4-2; FACILITY of Q.932)."""

    ALERTING = 0x01
    CALL_PROCEEDING = 0x02
    PROGRESS = 0x03
    SETUP = 0x05
    CONNECT = 0x07
    SETUP_ACKNOWLEDGE = 0x0D
    CONNECT_ACKNOWLEDGE = 0x0F
    USER_INFORMATION = 0x20
    DISCONNECT = 0x45
    RELEASE = 0x4D
    RELEASE_COMPLETE = 0x5A
    FACILITY = 0x62
    NOTIFY = 0x6E
    STATUS_INQUIRY = 0x75
    INFORMATION = 0x7B
    STATUS = 0x7D


class Element(IntEnum):
    """Identifiers of information elements (Q.931 Table 4-3), in the order in which they go into a message."""

    SENDING_COMPLETE = 0xA1
    BEARER_CAPABILITY = 0x04
    CAUSE = 0x08
    CALL_IDENTITY = 0x10
    CALL_STATE = 0x14
    CHANNEL_IDENTIFICATION = 0x18
    FACILITY = 0x1C
    PROGRESS_INDICATOR = 0x1E
    NOTIFICATION_INDICATOR = 0x27
    DISPLAY = 0x28
    DATE_TIME = 0x29
    KEYPAD = 0x2C
    SIGNAL = 0x34
    CONNECTED_NUMBER = 0x4C
    CALLING_NUMBER = 0x6C
    CALLING_SUBADDRESS = 0x6D
    CALLED_NUMBER = 0x70
    CALLED_SUBADDRESS = 0x71
    REDIRECTING_NUMBER = 0x74
    LOW_LAYER_COMPATIBILITY = 0x7C
    HIGH_LAYER_COMPATIBILITY = 0x7D
    USER_USER = 0x7E


class Q931Error(ValueError):
    """Bytes that are no Q.931 message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One Q.931 message.

    type: one of Type, or a number that is not known to us. from_callee: the call reference's flag, set in messages
    of the side that was called. elements: identifier and content in the order of the message; an element of one octet
    stands there with the octet's upper half for identifier (whole for those of type 2, as SENDING_COMPLETE) and its
    lower half for content.
    """

    type: int
    reference: int
    from_callee: bool = False
    elements: tuple[tuple[int, bytes], ...] = ()

    def element(self, identifier: int) -> bytes | None:
        """The content of the first element of this kind."""
        for found, content in self.elements:
            if found == identifier:
                return content
        return None

    @property
    def user_user(self) -> bytes | None:
        """The encoded H323-UserInformation; None when there is none."""
        content = self.element(Element.USER_USER)
        return content[1:] if content and content[0] == USER_USER_ASN1 else None


def user_user(encoded: bytes) -> tuple[int, bytes]:
    """The element that carries an encoded H323-UserInformation."""
    return (Element.USER_USER, bytes((USER_USER_ASN1,)) + encoded)


def parse(data: bytes) -> Message:
    """Read a message, the content of one TPKT. Raises Q931Error."""
    if len(data) < 3:
        raise Q931Error(f"{len(data)} octets")
    if data[0] != DISCRIMINATOR:
        raise Q931Error(f"protocol discriminator {data[0]:#04x}")
    size = data[1]
    if size > 2:
        raise Q931Error(f"a call reference of {size} octets")
    if len(data) < 3 + size:
        raise Q931Error("ends in the call reference")
    reference = int.from_bytes(data[2 : 2 + size], "big")
    flag = 1 << (8 * size - 1) if size else 0
    kind = data[2 + size]
    if kind & 0x80 or not kind:
        raise Q931Error(f"message type {kind:#04x}")
    return Message(kind, reference & ~flag, bool(reference & flag), _elements(data, 3 + size))


def _elements(data: bytes, at: int) -> tuple[tuple[int, bytes], ...]:
    elements: list[tuple[int, bytes]] = []
    locked = codeset = 0
    for _ in range(MAX_ELEMENTS):
        if at >= len(data):
            return tuple(elements)
        identifier = data[at]
        if identifier & 0xF0 == 0x90:  # shift (§4.5.3, §4.5.4): of all elements to come, or of the next alone
            codeset = identifier & 0x07
            locked = locked if identifier & 0x08 else codeset
            at += 1
            continue
        if identifier & 0x80:
            content = b"" if identifier & 0xF0 == 0xA0 else bytes((identifier & 0x0F,))
            identifier = identifier if identifier & 0xF0 == 0xA0 else identifier & 0xF0
            at += 1
        else:
            width = 2 if identifier == Element.USER_USER and codeset == 0 else 1
            start = at + 1 + width
            end = start + int.from_bytes(data[at + 1 : start], "big")
            if start > len(data) or end > len(data):
                raise Q931Error(f"ends in element {identifier:#04x}")
            content = data[start:end]
            at = end
        if codeset == 0:
            elements.append((identifier, content))
        codeset = locked
    if at < len(data):
        raise Q931Error(f"over {MAX_ELEMENTS} elements")
    return tuple(elements)


_PLACE = {int(identifier): place for place, identifier in enumerate(Element)}


def build(message: Message) -> bytes:
    """Write a message; elements are put into the order that Q.931 asks for. Raises ValueError for what has no room."""
    if not 0 <= message.reference <= MAX_REFERENCE:
        raise ValueError(f"call reference {message.reference}")
    reference = message.reference | (0x8000 if message.from_callee else 0)
    parts = [bytes((DISCRIMINATOR, 2)), reference.to_bytes(2, "big"), bytes((message.type,))]
    for identifier, content in sorted(message.elements, key=lambda element: _PLACE.get(element[0], element[0])):
        if identifier & 0x80:
            parts.append(bytes((identifier | (content[0] & 0x0F if content else 0),)))
            continue
        width = 2 if identifier == Element.USER_USER else 1
        if len(content) >= 1 << (8 * width):
            raise ValueError(f"element {identifier:#04x} of {len(content)} octets")
        parts.append(bytes((identifier,)) + len(content).to_bytes(width, "big") + content)
    return b"".join(parts)
