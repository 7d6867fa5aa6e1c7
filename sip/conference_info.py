"""Conference state documents (RFC 4575): who is in a room, whole or as what changed since the last one.

One `ConferenceInfo` speaks to one subscriber: versions count its documents, and what it was told last decides what is
new. Each person is a user with one endpoint; what is said of it is what people in the room see of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

CONTENT_TYPE = "application/conference-info+xml"
PACKAGE = "conference"
NAMESPACE = "urn:ietf:params:xml:ns:conference-info"


@dataclass(frozen=True, slots=True)
class Person:
    """One participant. id is unique in the room; address the caller's as its protocol writes it; joined in s of 1970.

    audio and video say which media it has; muted that nobody hears it.
    """

    id: str
    name: str
    address: str
    host: bool
    dialled_out: bool
    joined: float
    muted: bool
    audio: bool = True
    video: bool = False


@dataclass(frozen=True, slots=True)
class RoomState:
    """One room at one moment."""

    title: str
    locked: bool
    people: tuple[Person, ...]


class ConferenceInfo:
    """What one subscriber of one room is told. entity is the room's URI."""

    def __init__(self, entity: str) -> None:
        """Begin with nothing said."""
        self._entity = entity
        self._domain = entity.rpartition("@")[2].partition(";")[0]
        self._version = 0
        self._said: RoomState | None = None

    def full(self, state: RoomState) -> bytes:
        """Return the whole state."""
        root = self._root("full")
        self._head(root, state)
        self._users(root, "full", [self._user(person) for person in state.people])
        self._said = state
        return _bytes(root)

    def partial(self, state: RoomState) -> bytes | None:
        """Return what changed, None where nothing did; the whole state where none was said yet (§4.6)."""
        said = self._said
        if said is None:
            return self.full(state)
        if state == said:
            return None
        before = {person.id: person for person in said.people}
        after = {person.id for person in state.people}
        changed = [self._user(person) for person in state.people if before.get(person.id) != person]
        gone = [self._gone(id) for id in before if id not in after]
        root = self._root("partial")
        self._head(root, state)
        if changed or gone:
            self._users(root, "partial", changed + gone)
        self._said = state
        return _bytes(root)

    def _root(self, state: str) -> Element:
        self._version += 1
        return Element(
            "conference-info",
            {"xmlns": NAMESPACE, "entity": self._entity, "state": state, "version": str(self._version)},
        )

    def _head(self, root: Element, state: RoomState) -> None:
        description = SubElement(root, "conference-description")
        SubElement(description, "display-text").text = state.title
        status = SubElement(root, "conference-state")
        SubElement(status, "user-count").text = str(len(state.people))
        SubElement(status, "active").text = "true" if state.people else "false"
        SubElement(status, "locked").text = "true" if state.locked else "false"

    def _users(self, root: Element, state: str, users: Sequence[Element]) -> None:
        SubElement(root, "users", {"state": state}).extend(users)

    def _uri(self, id: str) -> str:
        return f"sip:{id}@{self._domain}"

    def _gone(self, id: str) -> Element:
        return Element("user", {"entity": self._uri(id), "state": "deleted"})

    def _user(self, person: Person) -> Element:
        user = Element("user", {"entity": self._uri(person.id), "state": "full"})
        SubElement(user, "display-text").text = person.name
        if person.address:
            entry = SubElement(SubElement(user, "associated-aors"), "entry")
            SubElement(entry, "uri").text = person.address
        SubElement(SubElement(user, "roles"), "entry").text = "host" if person.host else "participant"
        endpoint = SubElement(user, "endpoint", {"entity": person.address or self._uri(person.id)})
        SubElement(endpoint, "status").text = "connected"
        SubElement(endpoint, "joining-method").text = "dialed-out" if person.dialled_out else "dialed-in"
        when = datetime.fromtimestamp(person.joined, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        SubElement(SubElement(endpoint, "joining-info"), "when").text = when
        if person.audio:
            self._media(endpoint, "audio", "recvonly" if person.muted else "sendrecv")
        if person.video:
            self._media(endpoint, "video", "sendrecv")
        return user

    def _media(self, endpoint: Element, kind: str, status: str) -> None:
        media = SubElement(endpoint, "media", {"id": kind})
        SubElement(media, "type").text = kind
        SubElement(media, "status").text = status


def _bytes(root: Element) -> bytes:
    return b'<?xml version="1.0" encoding="UTF-8"?>\r\n' + tostring(root, encoding="unicode").encode("utf-8", "replace")
