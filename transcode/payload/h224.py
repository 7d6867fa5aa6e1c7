"""H.224: messages of clients over a data channel, and what its management says of them. Pure.

A frame of ours on the wire, the start of a camera's move: address 0071, control 03, to everybody 0000, from 0000,
client 01, one whole segment c0, then the client's data:

    >>> write(Message(1, bytes.fromhex("018000"))).hex()
    '0071030000000001c0018000'

Several segments of one message are put together by the receiver; we send none that need it.
"""

from __future__ import annotations

from dataclasses import dataclass

MANAGEMENT = 0x00
"""The client management entity (H.224 §9)."""
CAMERA = 0x01
"""Far-end camera control (H.281)."""
EXTENDED, NON_STANDARD = 0x7E, 0x7F
MAX_DATA = 251
"""Octets of client data in one frame: 260 of information without the header of H.224."""
_HIGH, _LOW = b"\x00\x71\x03", b"\x00\x61\x03"
"""Address and control: priority high (DLCI 7) or low (DLCI 6), unnumbered information."""
_EVERYBODY = b"\0\0"
_WHOLE = 0xC0
"""Begins and ends with this segment."""
_LIST, _CAPABILITIES = 0x01, 0x02
_MESSAGE, _COMMAND = 0x00, 0xFF


@dataclass(frozen=True, slots=True)
class Message:
    """Data for one client."""

    client: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ClientList:
    """The clients that the peer has."""

    clients: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a client of the peer's can do."""

    client: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """The peer wants to be told our client list, or our capabilities."""

    capabilities: bool


Managed = ClientList | Capabilities | Asked


def write(message: Message) -> bytes:
    """Return the frame of a message; the camera's and the management's have high priority."""
    return _HIGH + _EVERYBODY + _EVERYBODY + bytes((message.client, _WHOLE)) + message.data[:MAX_DATA]


def read(frame: bytes) -> Message:
    """Read a frame. Raises ValueError for one that is none, or is a part of a message."""
    if frame[:3] not in (_HIGH, _LOW) or len(frame) < 10:
        raise ValueError("no frame of H.224")
    if frame[8] & _WHOLE != _WHOLE:
        raise ValueError("a segment of a message")
    return Message(frame[7] & 0x7F, frame[9:])


def client_list(clients: tuple[int, ...]) -> Message:
    """Return the message that tells our clients, all of which have capabilities to tell."""
    return Message(MANAGEMENT, bytes((_LIST, _MESSAGE, len(clients), *(0x80 | one for one in clients))))


def capabilities(client: int, data: bytes) -> Message:
    """Return the message that tells what a client of ours can do."""
    return Message(MANAGEMENT, bytes((_CAPABILITIES, _MESSAGE, 0x80 | client)) + data)


def ask(list_: bool) -> Message:
    """Return the command that asks for the peer's client list, or for its capabilities."""
    return Message(MANAGEMENT, bytes((_LIST if list_ else _CAPABILITIES, _COMMAND)))


def read_management(data: bytes) -> Managed:
    """Read a message of the management. Raises ValueError."""
    if len(data) < 2:
        raise ValueError("an empty message of the management")
    code, word = data[0], data[1]
    if code not in (_LIST, _CAPABILITIES) or word not in (_MESSAGE, _COMMAND):
        raise ValueError("an unknown message of the management")
    if word == _COMMAND:
        return Asked(code == _CAPABILITIES)
    if len(data) < 3:
        raise ValueError("a message of the management that ends early")
    if code == _CAPABILITIES:
        return Capabilities(data[2] & 0x7F, data[3:])
    clients = []
    place = 3
    for _ in range(data[2]):
        if place >= len(data):
            raise ValueError("a client list that ends early")
        client = data[place] & 0x7F
        clients.append(client)
        place += {EXTENDED: 2, NON_STANDARD: 6}.get(client, 1)
    return ClientList(tuple(clients))
