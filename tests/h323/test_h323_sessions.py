"""What a call sends and how much: flow control, modes, conflicts, profiles, and channels of the wrong kind."""

from __future__ import annotations

from typing import Any

import pytest
from h323_peer import G711, H261, capabilities, channel
from sip_fake_house import our_offer

from h323.describe import opus, video
from h323.describe.capabilities import H239_VIDEO, ROLE, read_capabilities, write_capabilities
from h323.describe.channels import read_answer, read_request
from h323.describe.modes import read_mode
from h323.h245.parameters import read_numbers
from h323.messages import Kind as Message
from h323.messages import decode, encode
from h323.sessions import Sessions
from transcode.media import Codec, Format, Kind, MediaDescription, Role, StreamDescription

Value = dict[str, Any]


def answer(session: int, port: int, **more: Any) -> Value:
    address = ("unicastAddress", ("iPAddress", {"network": bytes((192, 0, 2, 9)), "tsapIdentifier": port}))
    parameters = {"sessionID": session, "mediaChannel": address, "mediaControlChannel": address, **more}
    return {"forwardMultiplexAckParameters": ("h2250LogicalChannelAckParameters", parameters)}


def abilities(*entries: Any) -> Any:
    _, (_, value) = capabilities(*entries)
    return read_capabilities(value)


def h264(profiles: int = 64, **more: Any) -> Any:
    listed = [video._parameter(41, "booleanArray", profiles), video._parameter(42, "unsignedMin", 71)]
    value = {"capabilityIdentifier": ("standard", video.H264), "maxBitRate": 19_200, "collapsing": listed, **more}
    return ("receiveVideoCapability", ("genericVideoCapability", value))


def sending(*entries: Any, halted: bool = False) -> Sessions:
    """Return sessions whose channels to a peer with these capabilities are open, numbered from 1."""
    sessions = Sessions(our_offer(), "192.0.2.1")
    sessions.take_abilities(abilities(*entries))
    for number, opening in enumerate(sessions.openings(), 1):
        sessions.opened(opening, number)
        said = answer(number, 5000 + 2 * number, flowControlToZero=halted)
        assert sessions.answered(number, read_answer(said))
    return sessions


def streams(sessions: Sessions) -> list[StreamDescription]:
    return list(sessions.remote().streams)


# flow control


def test_a_channel_that_was_taken_without_leave_to_send_waits_for_flow_control() -> None:
    sessions = sending(G711, h264(), halted=True)
    assert [one.receive for one in streams(sessions)] == [(), ()]
    assert sessions.limit(2, 512_000)
    _, picture = streams(sessions)
    assert picture.receive[0].codec is Codec.H264
    assert picture.bandwidth == 512_000


def test_a_limit_ends_with_its_channel() -> None:
    sessions = sending(G711, H261, h264())
    sessions.limit(2, 0)
    assert streams(sessions)[1].receive == ()
    assert sessions.closed(2, ours=True)
    (opening,) = sessions.openings()
    sessions.opened(opening, 3)
    sessions.answered(3, read_answer(answer(2, 5004)))
    assert streams(sessions)[1].bandwidth == 1_920_000


def test_a_limit_on_all_channels_leaves_the_picture_what_the_sound_does_not_take() -> None:
    sessions = sending(G711, h264())
    assert sessions.limit(0, 384_000)
    assert not sessions.limit(0, 384_000), "nothing new"
    sound, picture = streams(sessions)
    assert (sound.bandwidth, picture.bandwidth) == (None, 320_000)
    sessions.limit(0, 64_000)
    sound, picture = streams(sessions)
    assert sound.receive
    assert picture.receive == ()
    sessions.limit(0, 0)
    assert [one.receive for one in streams(sessions)] == [(), ()]
    sessions.limit(0, None)
    assert all(one.receive for one in streams(sessions))


def test_a_limit_for_a_channel_that_is_not_there_changes_nothing() -> None:
    assert not sending(G711).limit(77, 0)


# both directions by themselves


def test_each_direction_has_a_codec_of_its_own() -> None:
    sessions = sending(G711, H261)
    offered = channel(7, ("audioData", ("g722-64k", 20)), 1, 5005)
    assert isinstance(sessions.offered(read_request(offered), False), dict)
    picture = channel(8, ("videoData", h264()[1]), 2, 5007, dynamicRTPPayloadType=99)
    assert isinstance(sessions.offered(read_request(picture), False), dict)
    sound, seen = streams(sessions)
    assert (sound.receive[0].codec, sound.send[0].codec) == (Codec.PCMU, Codec.G722)
    assert (seen.receive[0].codec, seen.send[0].codec) == (Codec.H261, Codec.H264)
    assert seen.send[0].payload_type == 99


def test_a_master_that_sees_a_conflict_is_sent_what_it_sends() -> None:
    sessions = Sessions(our_offer(), "192.0.2.1")
    g722 = ("receiveAudioCapability", ("g722-64k", 20))
    sessions.take_abilities(abilities(g722, G711))
    (opening,) = sessions.openings()
    assert opening.format.codec is Codec.G722
    sessions.opened(opening, 1)
    sessions.offered(read_request(channel(7, ("audioData", ("g711Ulaw64k", 20)), 1, 5005)), False)
    sessions.refused(1, "masterSlaveConflict")
    (again,) = sessions.openings()
    assert again.format.codec is Codec.PCMU


def test_a_mode_that_the_peer_no_longer_takes_binds_nobody() -> None:
    sessions = sending(G711, H261, h264())
    assert sessions.ask([[{"type": ("videoMode", ("h261VideoMode", {}))}]])
    assert sessions.unasked() == [2]
    sessions.closed(2, ours=True)
    sessions.take_abilities(abilities(G711, h264()))
    (opening,) = sessions.openings()
    assert opening.format.codec is Codec.H264


# H.264's profiles and H.239's roles


def _profile(data: Any) -> int:
    name, value = data
    if name == "extendedVideoCapability":
        return _profile(value["videoCapability"][0])
    return int(read_numbers(value["collapsing"])[video.PROFILE])


def data_type(request: Value) -> Any:
    whole = ("request", ("openLogicalChannel", {"forwardLogicalChannelNumber": 1, **request}))
    _, (_, again) = decode(Message.H245, encode(Message.H245, whole))
    return again["forwardLogicalChannelParameters"]["dataType"][1]


@pytest.mark.parametrize(("profiles", "chosen"), [(64, 64), (64 | 8, 64), (32 | 8, 32), (8, 8)])
def test_a_channel_names_the_one_profile_that_is_sent(profiles: int, chosen: int) -> None:
    sessions = Sessions(our_offer(), "192.0.2.1")
    sessions.take_abilities(abilities(h264(profiles)))
    (opening,) = sessions.openings()
    assert _profile(data_type(opening.request)) == chosen
    facts = read_request({"forwardLogicalChannelNumber": 1, **opening.request})
    assert facts.format is not None
    assert facts.format.parameter("profile-level-id")[:2] == {64: "42", 32: "4d", 8: "64"}[chosen]


def extended(*inside: Any, roles: int | None = 1) -> Any:
    role = {"parameterIdentifier": ("standard", ROLE), "parameterValue": ("booleanArray", roles)}
    extension: Value = {"capabilityIdentifier": ("standard", H239_VIDEO)}
    if roles is not None:
        extension["collapsing"] = [role]
    value = {"videoCapability": [one[1] for one in inside], "videoCapabilityExtension": [extension]}
    return ("receiveVideoCapability", ("extendedVideoCapability", value))


@pytest.mark.parametrize(("roles", "taken"), [(1, True), (3, True), (None, True), (2, False)])
def test_only_a_capability_with_the_presentation_role_is_for_slides(roles: int | None, taken: bool) -> None:
    found = abilities(G711, extended(h264(), roles=roles))
    assert bool(found.of(Kind.VIDEO, Role.SLIDES)) is taken
    assert not found.of(Kind.VIDEO, Role.MAIN), "a second camera is no main picture either"


def test_a_capability_for_slides_may_hold_several_codecs_and_a_channel_holds_one() -> None:
    local = our_offer()
    slides = StreamDescription(
        "2", Kind.VIDEO, local.streams[1].receive, local.streams[1].send, local.streams[1].transport, Role.SLIDES
    )
    sessions = Sessions(MediaDescription((*local.streams, slides)), "192.0.2.1")
    control = ("genericControlCapability", {"capabilityIdentifier": ("standard", "0.0.8.239.1.1")})
    sessions.take_abilities(abilities(G711, extended(H261, h264(64 | 8)), control))
    opening = sessions.slides_opening(True)
    assert opening is not None
    name, value = data_type(opening.request)
    assert name == "extendedVideoCapability"
    assert [one[0] for one in value["videoCapability"]] == ["genericVideoCapability"]
    assert _profile((name, value)) == 64
    two = {**value, "videoCapability": [H261[1], h264()[1]]}
    facts = read_request(channel(9, ("videoData", ("extendedVideoCapability", two)), 32, 5005))
    assert sessions.offered(facts, True) == "dataTypeNotSupported"


# fast start


def test_an_answer_to_what_was_never_proposed_is_left_alone() -> None:
    sessions = Sessions(our_offer(video=False), "192.0.2.1")
    facts = read_request(channel(1, ("videoData", H261[1]), 2, 5005))
    sessions.adopt(facts, True)
    sessions.adopt(read_request(channel(2, ("audioData", ("g728", 2)), 1, 5005)), False)
    assert not sessions.carries


# Opus


OPUS = Format(Codec.OPUS, 107, 48_000, 2, (("maxaveragebitrate", "64000"), ("useinbandfec", "1")))


@pytest.mark.parametrize(
    "format",
    [OPUS, Format(Codec.OPUS, 107, 48_000, 2), Format(Codec.OPUS, 107, 48_000, 2, (("useinbandfec", "1"),))],
)
def test_opus_is_read_as_it_was_written(format: Format) -> None:
    read = opus.read_opus(opus.write_opus(format))
    assert read is not None
    assert (read.codec, read.clock_rate, read.channels) == (Codec.OPUS, 48_000, 2)
    assert read.parameters == format.parameters


def test_a_generic_capability_of_others_is_no_opus() -> None:
    value = {**opus.write_opus(OPUS), "capabilityIdentifier": ("uuid", bytes(16))}
    assert opus.read_opus(value) is None
    entry = ("receiveAudioCapability", ("genericAudioCapability", value))
    assert [one.format.codec for one in abilities(entry, G711).entries] == [Codec.PCMU]
    assert read_mode([{"type": ("audioMode", ("genericAudioMode", value))}]) == {Kind.AUDIO: None}
    assert read_mode([{"type": ("audioMode", ("genericAudioMode", opus.write_opus(OPUS)))}]) == {Kind.AUDIO: Codec.OPUS}


def test_two_of_us_speak_opus_on_a_dynamic_payload_type_with_keys_beside_it() -> None:
    ours, theirs = Sessions(our_offer(video=False), "192.0.2.1"), Sessions(our_offer(video=False), "192.0.2.2")
    set_ = ("request", ("terminalCapabilitySet", {"sequenceNumber": 1, "protocolIdentifier": "0.0.8.245.0.15"}))
    set_[1][1].update(write_capabilities(theirs.local))  # type: ignore[attr-defined]
    _, (_, value) = decode(Message.H245, encode(Message.H245, set_))
    ours.take_abilities(read_capabilities(value))
    (opening,) = ours.openings()
    assert data_type(opening.request)[0] == "genericAudioCapability"
    ours.opened(opening, 1)
    facts = read_request({"forwardLogicalChannelNumber": 1, **opening.request})
    said = theirs.offered(facts, True)
    assert isinstance(said, dict)
    assert ours.answered(1, read_answer(said))
    (sent,) = ours.remote().streams
    assert [(one.codec, one.clock_rate) for one in sent.receive] == [
        (Codec.OPUS, 48_000),
        (Codec.TELEPHONE_EVENT, 48_000),
    ]
    assert sent.receive[0].payload_type >= 96
    assert sent.receive[0].parameter("useinbandfec") == "1"
    (heard,) = theirs.remote().streams
    assert (heard.send[0].codec, heard.send[0].payload_type) == (Codec.OPUS, sent.receive[0].payload_type)
    assert heard.send[1].clock_rate == 48_000


def test_who_knows_no_opus_is_sent_what_it_knows() -> None:
    assert streams(sending(G711))[0].receive[0].codec is Codec.PCMU
