"""Conference state documents (RFC 4575): whole and partial, read back with a parser that is not ours."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from sip.conference_info import NAMESPACE, ConferenceInfo, Person, RoomState

ANN = Person("p1", 'Ann <&> "O\'Neil"', "sip:ann@example.com", True, False, 0.0, False)
BOB = Person("p2", "Bob", "", False, True, 86_400.0, True, video=True)
ROOM = RoomState("Room 100", False, (ANN, BOB))


def q(path: str) -> str:
    return "/".join(f"{{{NAMESPACE}}}{part}" for part in path.split("/"))


def read(body: bytes | None) -> ElementTree.Element:
    assert body is not None
    return ElementTree.fromstring(body)


def users(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {user.get("entity", ""): user for user in root.findall(q("users/user"))}


def test_the_whole_state_names_everybody() -> None:
    root = read(ConferenceInfo("sip:100@example.com").full(ROOM))
    assert (root.get("entity"), root.get("state"), root.get("version")) == ("sip:100@example.com", "full", "1")
    assert root.findtext(q("conference-description/display-text")) == "Room 100"
    assert root.findtext(q("conference-state/user-count")) == "2"
    assert root.findtext(q("conference-state/locked")) == "false"
    found = users(root)
    assert list(found) == ["sip:p1@example.com", "sip:p2@example.com"]
    ann, bob = found.values()
    assert ann.findtext(q("display-text")) == ANN.name
    assert ann.findtext(q("associated-aors/entry/uri")) == "sip:ann@example.com"
    assert [ann.findtext(q("roles/entry")), bob.findtext(q("roles/entry"))] == ["host", "participant"]
    assert bob.findtext(q("endpoint/joining-method")) == "dialed-out"
    assert bob.findtext(q("endpoint/joining-info/when")) == "1970-01-02T00:00:00Z"
    media = [(one.findtext(q("type")), one.findtext(q("status"))) for one in bob.findall(q("endpoint/media"))]
    assert media == [("audio", "recvonly"), ("video", "sendrecv")]


def test_a_partial_state_names_what_changed_and_who_is_gone() -> None:
    info = ConferenceInfo("sip:100@example.com")
    info.full(ROOM)
    assert info.partial(ROOM) is None
    root = read(info.partial(replace(ROOM, people=(replace(ANN, muted=True),))))
    assert (root.get("state"), root.get("version")) == ("partial", "2")
    assert root.findtext(q("conference-state/user-count")) == "1"
    assert {entity: user.get("state") for entity, user in users(root).items()} == {
        "sip:p1@example.com": "full",
        "sip:p2@example.com": "deleted",
    }


def test_a_change_of_the_room_alone_names_nobody() -> None:
    info = ConferenceInfo("sip:100@example.com")
    info.full(ROOM)
    root = read(info.partial(replace(ROOM, locked=True)))
    assert root.findtext(q("conference-state/locked")) == "true"
    assert users(root) == {}


def test_who_was_told_nothing_is_told_all() -> None:
    assert read(ConferenceInfo("sip:100@x").partial(ROOM)).get("state") == "full"


def test_versions_count_up_over_whole_and_partial_states() -> None:
    info = ConferenceInfo("sip:100@x")
    bodies = [info.full(ROOM), info.partial(replace(ROOM, people=())), info.full(ROOM)]
    assert [read(body).get("version") for body in bodies] == ["1", "2", "3"]


def test_text_that_is_no_unicode_does_not_stop_it() -> None:
    broken = RoomState("\udcff", False, (replace(ANN, name="\udc80"),))
    assert ConferenceInfo("sip:100@x").full(broken)


CHILDREN = {
    "conference-info": "conference-description host-info conference-state users sidebars-by-ref sidebars-by-val",
    "conference-description": "display-text subject free-text keywords conf-uris service-uris maximum-user-count "
    "available-media",
    "conference-state": "user-count active locked",
    "users": "user",
    "user": "display-text associated-aors roles languages cascaded-focus endpoint",
    "associated-aors": "entry",
    "roles": "entry",
    "endpoint": "display-text referred status joining-method joining-info disconnection-method disconnection-info "
    "media call-info",
    "joining-info": "when reason by",
    "media": "display-text type label src-id status",
}
"""The schema's sequences (RFC 4575 §6.1); entries of addresses begin with uri."""
MANY = {"users", "associated-aors", "roles", "endpoint"}
ATTRIBUTES = {
    "conference-info": {"entity", "state", "version"},
    "users": {"state"},
    "user": {"entity", "state"},
    "endpoint": {"entity"},
    "media": {"id"},
}
VALUES = {
    "active": {"true", "false"},
    "locked": {"true", "false"},
    "joining-method": {"dialed-in", "dialed-out", "focus-owner"},
}
STATES = {"full", "partial", "deleted"}


def check(element: ElementTree.Element) -> None:
    """Look at an element and all below as the schema does."""
    space, _, name = element.tag.partition("}")
    assert space == "{" + NAMESPACE
    assert set(element.attrib) == ATTRIBUTES.get(name, set())
    assert element.get("state", "full") in STATES
    assert name not in VALUES or element.text in VALUES[name]
    names = [child.tag.partition("}")[2] for child in element]
    if names != ["uri"]:
        order = CHILDREN.get(name, "").split()
        places = [order.index(one) for one in names]
        assert places == sorted(places)
        assert name in MANY or len(set(places)) == len(places) or {*names} >= {"media"}
    for child in element:
        check(child)


def test_every_document_is_as_the_schema_wants_it() -> None:
    info = ConferenceInfo("sip:100@example.com")
    states = [ROOM, replace(ROOM, locked=True), replace(ROOM, people=()), ROOM, replace(ROOM, people=(BOB,))]
    for state in states:
        check(read(info.partial(state)))
        check(read(info.full(state)))
