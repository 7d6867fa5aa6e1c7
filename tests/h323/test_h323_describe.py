"""H.245's words for formats, both ways, on what real endpoints said and on what we say."""

from __future__ import annotations

from functools import cache
from typing import Any

import h323_peer
import pytest
from h323_samples import encodings
from sip_fake_house import our_offer

from h323.describe import audio, fast_start, video
from h323.describe.capabilities import read_capabilities, write_capabilities
from h323.describe.channels import (
    AnswerFacts,
    open_request,
    read_answer,
    read_request,
    read_unicast,
    write_answer,
    write_unicast,
)
from h323.describe.fast_start import Place
from h323.describe.modes import read_mode
from h323.messages import Kind as Message
from h323.messages import decode, encode
from h323.sessions import Sessions
from h323.signalling.events import Address
from transcode.media import Codec, Format, Kind, Role

H264 = Format(
    Codec.H264, 97, 90_000, parameters=(("profile-level-id", "42e01f"), ("packetization-mode", "1"), ("max-fs", "8160"))
)
PLACES = {Kind.AUDIO: Place(Address("192.0.2.1", 4000), Address("192.0.2.1", 4001))}


@cache
def said(capture: str, name: str) -> tuple[dict[str, Any], ...]:
    """Return what a capture holds of H.245 messages of a name."""
    found = []
    for where, kind, octets in encodings():
        if kind is Message.H245 and where.startswith(capture):
            _, (found_name, value) = decode(kind, octets)
            if found_name == name:
                found.append(value)
    return tuple(found)


# capability sets


def test_the_set_of_h323plus_is_read_as_it_stands() -> None:
    value = said("c4-video-h264-cif", "terminalCapabilitySet")[0]
    abilities = read_capabilities(value)
    assert {one.format.codec for one in abilities.of(Kind.AUDIO)} >= {Codec.PCMU, Codec.PCMA, Codec.G722}
    pictures = abilities.of(Kind.VIDEO)
    assert {one.format.codec for one in pictures} >= {Codec.H264, Codec.H261}
    sharp = [one for one in pictures if one.format.codec is Codec.H264]
    assert all(one.format.parameter("packetization-mode") == "0" for one in sharp)
    assert abilities.telephone_event == 101
    assert abilities.user_input >= {"dtmf", "basicString"}
    assert not abilities.presents
    sound, picture = abilities.of(Kind.AUDIO)[0], pictures[0]
    assert abilities.fits([sound.number, picture.number])
    assert not abilities.fits([picture.number, pictures[1].number])


def test_a_set_with_slides_is_read() -> None:
    abilities = read_capabilities(said("e1-h239", "terminalCapabilitySet")[0])
    assert abilities.presents
    assert abilities.of(Kind.VIDEO, Role.SLIDES)


def test_our_set_is_read_as_it_was_meant() -> None:
    local = our_offer()
    value = write_capabilities(local)
    whole = (
        "request",
        ("terminalCapabilitySet", {"sequenceNumber": 1, "protocolIdentifier": "0.0.8.245.0.15"} | value),
    )
    _, (_, again) = decode(Message.H245, encode(Message.H245, whole))
    abilities = read_capabilities(again)
    assert [one.format.codec for one in abilities.of(Kind.AUDIO)] == [Codec.OPUS, Codec.G722, Codec.PCMU, Codec.PCMA]
    codecs = {one.format.codec for one in abilities.of(Kind.VIDEO)}
    assert {Codec.H264, Codec.H261} <= codecs
    assert Codec.VP8 not in codecs
    assert abilities.telephone_event == 101
    assert abilities.fits([abilities.of(Kind.AUDIO)[0].number, abilities.of(Kind.VIDEO)[0].number])


def test_what_can_only_be_received_is_told_under_each_of_its_names() -> None:
    written = audio.write_received(Format(Codec.G729, 18, 8000))
    assert [name for name, _ in written] == ["g729AnnexA", "g729"]
    assert {audio.read_audio(one) for one in written} == {Format(Codec.G729, 18, 8000)}
    assert audio.write_received(Format(Codec.COMFORT_NOISE, 13, 8000)) == []


def test_entries_without_meaning_are_left_out() -> None:
    value = {
        "capabilityTable": [
            {"capabilityTableEntryNumber": 1},
            {"capabilityTableEntryNumber": 2, "capability": (None, None)},
            {"capabilityTableEntryNumber": 3, "capability": ("receiveAudioCapability", ("g728", 1))},
            {"capabilityTableEntryNumber": 4, "capability": h323_peer.G711},
        ]
    }
    (only,) = read_capabilities(value).entries
    assert (only.number, only.format.codec) == (4, Codec.PCMU)


# pictures


@pytest.mark.parametrize(
    ("parameters", "level"),
    [
        ((("profile-level-id", "42e00b"),), "42e00b"),
        ((("profile-level-id", "42f00b"),), "42f00b"),
        ((("profile-level-id", "42e01f"),), "42e01f"),
        ((("profile-level-id", "4d0028"),), "4d0028"),
        ((("profile-level-id", "64001f"),), "64001f"),
    ],
)
def test_h264_keeps_profile_and_level(parameters: tuple[tuple[str, str], ...], level: str) -> None:
    written = video.write_video(Format(Codec.H264, 97, 90_000, parameters=parameters), 1_000_000)
    assert written is not None
    assert video.bandwidth_of(written) == 1_000_000
    read = video.read_video(written)
    assert read is not None
    assert read.parameter("profile-level-id") == level


def test_h264_tells_what_it_takes_beyond_its_level() -> None:
    written = video.write_video(H264, None)
    assert written is not None
    read = video.read_video(written, frozenset({video.NON_INTERLEAVED}))
    assert read is not None
    assert (read.parameter("max-fs"), read.parameter("packetization-mode")) == ("8192", "1")


def test_pictures_of_old_have_sizes() -> None:
    written = video.write_video(Format(Codec.H261, 31, 90_000), 64_000)
    assert written is not None
    assert written[1]["maxBitRate"] == 640
    read = video.read_video(written)
    assert read is not None
    assert dict(read.parameters) == {"cif": "1", "qcif": "1"}
    assert video.write_video(Format(Codec.VP8, 99, 90_000), None) is None


# channels


def test_channels_of_h323plus_are_read() -> None:
    sound, picture = map(read_request, said("c4-video-h264-cif", "openLogicalChannel")[:2])
    assert (sound.kind, sound.session, sound.number) == (Kind.AUDIO, 1, 101)
    assert (picture.kind, picture.session, picture.role) == (Kind.VIDEO, 2, Role.MAIN)
    assert picture.format is not None
    assert (picture.format.codec, picture.format.parameter("packetization-mode")) == (Codec.H264, "0")
    assert picture.control is not None
    assert picture.control.port % 2 == 1
    answers = [read_answer(one) for one in said("c4-video-h264-cif", "openLogicalChannelAck")]
    assert all(one.media is not None and one.control is not None for one in answers)
    assert {one.session for one in answers} == {1, 2}


def test_a_channel_of_ours_is_read_as_it_was_meant() -> None:
    control = Address("192.0.2.1", 4003)
    request = {"forwardLogicalChannelNumber": 5, **open_request(H264, Role.MAIN, 2, control, 500_000)}
    whole = ("request", ("openLogicalChannel", request))
    _, (_, again) = decode(Message.H245, encode(Message.H245, whole))
    facts = read_request(again)
    assert (facts.number, facts.kind, facts.session, facts.control) == (5, Kind.VIDEO, 2, control)
    assert facts.bandwidth == 500_000
    assert facts.format is not None
    assert (facts.format.payload_type, facts.format.parameter("packetization-mode")) == (97, "1")


@pytest.mark.parametrize(
    "data",
    [
        ("nonStandard", {"nonStandardIdentifier": ("object", "1.2.3"), "data": b"x"}),
        ("h235Control", {"nonStandardIdentifier": ("object", "1.2.3"), "data": b"x"}),
    ],
)
def test_a_channel_of_data_that_nobody_here_knows_is_read_as_such(data: Any) -> None:
    request = open_request(H264, Role.MAIN, 2, Address("192.0.2.1", 4003))
    request["forwardLogicalChannelParameters"]["dataType"] = data
    written = encode(Message.FAST_START, {"forwardLogicalChannelNumber": 5, **request})
    facts = read_request(decode(Message.FAST_START, written))
    assert (facts.number, facts.kind, facts.format) == (5, None, None)
    assert fast_start.choose([decode(Message.FAST_START, written)], PLACES, lambda _: True, lambda _: True) == []


def test_a_channel_without_the_parameters_of_rtp_is_refused_and_not_started_fast() -> None:
    request = open_request(Format(Codec.PCMU, 0, 8000), Role.MAIN, 1, Address("192.0.2.1", 4001))
    request["forwardLogicalChannelParameters"]["multiplexParameters"] = ("none", None)
    proposal = {"forwardLogicalChannelNumber": 5, **request}
    facts = read_request(decode(Message.FAST_START, encode(Message.FAST_START, proposal)))
    assert facts.format is not None
    assert not facts.rtp
    assert fast_start.choose([proposal], PLACES, lambda _: True, lambda _: True) == []
    assert Sessions(our_offer(), "192.0.2.1").offered(facts, True) == "dataTypeALCombinationNotSupported"


@pytest.mark.parametrize("number", [video.PROFILE, video.LEVEL, video.MAX_MBPS, video.MAX_FS])
@pytest.mark.parametrize(
    "value",
    [("octetString", b"\x40"), ("genericParameter", []), ("logical", None), (None, None)],
    ids=lambda one: one[0],
)
def test_a_parameter_of_h264_that_is_no_number_is_passed_over(number: int, value: Any) -> None:
    name, capability = video.write_video(H264, 2_000_000) or ("", {})
    listed = [
        {**one, "parameterValue": value} if one["parameterIdentifier"] == ("standard", number) else one
        for one in capability["collapsing"]
    ]
    read = video.read_video((name, {**capability, "collapsing": listed}))
    whole = value[0] == "logical" and number == video.PROFILE  # 1 is a profile that nobody knows
    assert (read is None) == whole


def test_an_answer_of_ours_is_read_as_it_was_meant() -> None:
    media, control = Address("2001:db8::1", 4002), Address("2001:db8::1", 4003)
    assert read_answer(write_answer(2, media, control, 97)) == AnswerFacts(2, media, control, 97)
    assert read_answer(write_answer(1, media, control, 0)).payload_type is None
    assert read_answer({}) == AnswerFacts(0, None, None, None)


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_addresses_are_kept(host: str) -> None:
    assert read_unicast(write_unicast(Address(host, 5004))) == Address(host, 5004)
    assert read_unicast(write_unicast(Address(host, 0))) is None
    assert read_unicast(None) is None


def test_nobody_s_address_is_none() -> None:
    assert read_unicast(write_unicast(Address("0.0.0.0", 5004))) is None


# fast start


def proposals(capture: str) -> list[dict[str, Any]]:
    found = [octets for where, kind, octets in encodings() if kind is Message.FAST_START and where.startswith(capture)]
    return [decode(Message.FAST_START, octets) for octets in found]


def test_the_first_that_fits_is_chosen_each_way() -> None:
    offered = proposals("a-faststart-tunnel")
    chosen = fast_start.choose(
        offered, PLACES, lambda one: one.codec is Codec.PCMU, lambda one: one.codec in (Codec.PCMA, Codec.PCMU)
    )
    assert [one.ours for one in chosen] == [False, True] or [one.ours for one in chosen] == [True, False]
    for one in chosen:
        facts = read_request(decode(Message.FAST_START, encode(Message.FAST_START, one.answer)))
        assert facts.control == PLACES[Kind.AUDIO].control
        if not one.ours:
            assert facts.media == PLACES[Kind.AUDIO].media
            assert facts.format is not None
            assert facts.format.codec is Codec.PCMU


def test_nothing_is_chosen_where_nothing_fits() -> None:
    assert fast_start.choose(proposals("a-faststart-tunnel"), PLACES, lambda _: False, lambda _: False) == []
    assert fast_start.choose(proposals("a-faststart-tunnel"), {}, lambda _: True, lambda _: True) == []


def test_our_proposals_are_chosen_from_by_ourselves() -> None:
    caller, callee = Sessions(our_offer(), "192.0.2.1"), Sessions(our_offer(), "192.0.2.2")
    proposed = caller.proposals(1_000_000)
    assert all("forwardLogicalChannelNumber" in one for one in proposed)
    chosen = callee.choose([decode(Message.FAST_START, encode(Message.FAST_START, one)) for one in proposed])
    assert len(chosen) == 4
    for _, facts, ours in fast_start.read_chosen([one.answer for one in chosen]):
        caller.adopt(facts, ours)
    for one in (caller, callee):
        sound, picture = one.remote().streams
        assert [format.codec for format in sound.receive] == [Codec.OPUS]
        assert sound.send[0].codec is Codec.OPUS
        assert picture.receive[0].codec is picture.send[0].codec is Codec.H264


# modes


def test_modes_name_codecs() -> None:
    generic = ("genericVideoMode", {"capabilityIdentifier": ("standard", video.H264)})
    assert read_mode([{"type": ("audioMode", ("g722-64k", None))}, {"type": ("videoMode", generic)}]) == {
        Kind.AUDIO: Codec.G722,
        Kind.VIDEO: Codec.H264,
    }
    assert read_mode([{"type": ("audioMode", ("g728", None))}]) == {Kind.AUDIO: None}
    assert read_mode([{"type": ("dataMode", None)}]) == {}
