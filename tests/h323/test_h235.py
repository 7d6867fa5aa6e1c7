"""Media encryption: tokens and keys against a captured call, agreement of two of our own calls, channels, new keys."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from call_pair import CallPair
from h323_samples import encodings

from gateway.reasons import Reason
from h323.describe.capabilities import read_capabilities, write_capabilities
from h323.describe.channels import read_answer, read_request
from h323.h235.capabilities import read_security, secure
from h323.h235.channels import policy_of
from h323.h235.groups import Group, make_half_key
from h323.h235.keys import read_sync, write_sync
from h323.h235.security import MediaSecurity
from h323.h235.tokens import EDITION, read_tokens, write_tokens
from h323.h235.updates import read_update, write_update, write_update_ack
from h323.h245.events import CapabilitiesReceived
from h323.messages import Kind, decode, encode
from h323.sessions import Sessions
from h323.signalling.events import CallConnected, CallEnded
from transcode.media import (
    Codec,
    Format,
    H235Cipher,
    H235Key,
    MediaDescription,
    SrtpKey,
    SrtpPolicy,
    StreamDescription,
    Suite,
    Transport,
)
from transcode.media import (
    Kind as MediaKind,
)

CAPTURED = [(kind, octets) for where, kind, octets in encodings() if where.startswith("f1-h235")]
CAPTURED_TOKENS = [
    tokens
    for kind, octets in CAPTURED
    if kind is Kind.H225
    and (tokens := (decode(kind, octets)["h323-uu-pdu"]["h323-message-body"][1] or {}).get("tokens"))
]
CONTROL = [decode(kind, octets) for kind, octets in CAPTURED if kind is Kind.H245]
PCMU = Format(Codec.PCMU, 0, 8000)
H261 = Format(Codec.H261, 31, 90000)


def captured(name: str) -> list[dict[str, Any]]:
    return [body[1] for _, body in CONTROL if body[0] == name]


def local(srtp: SrtpPolicy = SrtpPolicy.PREFER) -> MediaDescription:
    keys = (SrtpKey(1, Suite.AES_CM_128_HMAC_SHA1_80, bytes(16), bytes(14)),) if srtp is not SrtpPolicy.OFF else ()
    place = Transport("192.0.2.1", 5000, keys=keys, optional=bool(keys) and srtp is SrtpPolicy.PREFER)
    picture = replace(place, port=5002)
    return MediaDescription(
        (
            StreamDescription("0", MediaKind.AUDIO, (PCMU,), (PCMU,), place),
            StreamDescription("1", MediaKind.VIDEO, (H261,), (H261,), picture),
        )
    )


def agreed(required: bool = False) -> tuple[MediaSecurity, MediaSecurity]:
    caller, callee = MediaSecurity(Random(1), required), MediaSecurity(Random(2), required)
    assert callee.take_offer(caller.offer())
    assert caller.take_answer(callee.answer())
    return caller, callee


# against the captured call


def test_the_captured_tokens_are_read_and_written_again_octet_by_octet() -> None:
    assert len(CAPTURED_TOKENS) == 2
    for tokens in CAPTURED_TOKENS:
        ((group, public),) = read_tokens(tokens)
        assert group is Group.DH1024
        ours = write_tokens([replace(make_half_key(group, Random(1)), public=public)])
        assert [encode(Kind.CLEAR_TOKEN, one) for one in ours] == [encode(Kind.CLEAR_TOKEN, one) for one in tokens]


def test_the_captured_keys_are_read_and_written_again_octet_by_octet() -> None:
    syncs = [
        value["encryptionSync"]
        for name in ("openLogicalChannel", "openLogicalChannelAck")
        for value in captured(name)
        if "encryptionSync" in value
    ]
    assert len(syncs) == 2
    for sync in syncs:
        # Their shared secret is not known; whatever it was, the same one gives the same octets.
        key = read_sync(sync, bytes(128), H235Cipher.AES_128_CBC)
        assert key.payload_type == 120
        assert write_sync(key, bytes(128)) == sync


def test_the_captured_channels_and_capabilities_say_what_encrypts_them() -> None:
    for request in captured("openLogicalChannel"):
        facts = read_request(request)
        assert facts.ciphers == (H235Cipher.AES_128_CBC,)
        assert facts.format == Format(Codec.PCMA, 120, 8000)
    (first, _) = captured("terminalCapabilitySet")
    assert set(read_security(first)) == set(range(1, 27))
    assert set(read_security(first).values()) == {(H235Cipher.AES_128_CBC,)}


# the key agreement


def test_both_sides_have_one_secret_and_the_larger_group_wins() -> None:
    caller, callee = agreed()
    assert caller.ciphers == callee.ciphers == (H235Cipher.AES_256_CBC, H235Cipher.AES_128_CBC)
    key, sync = caller.make_key(H235Cipher.AES_256_CBC, 96)
    assert callee.read_key(sync, H235Cipher.AES_256_CBC) == key
    assert repr(key.key) not in repr((caller, key))


def test_a_peer_of_the_smaller_group_gets_that() -> None:
    caller, callee = MediaSecurity(Random(1)), MediaSecurity(Random(2))
    tokens = [one for one in caller.offer() if one["tokenOID"] != Group.DH2048.value]
    assert callee.take_offer(tokens)
    assert caller.take_answer(callee.answer())
    assert caller.ciphers == callee.ciphers == (H235Cipher.AES_128_CBC,)
    assert [one["tokenOID"] for one in callee.answer()] == [Group.DH1024.value, EDITION]


@pytest.mark.parametrize("public", [0, 1, -1, "ours"])
@pytest.mark.parametrize("group", list(Group))
def test_a_worthless_half_key_is_not_taken(public: int | str, group: Group) -> None:
    caller = MediaSecurity(Random(1))
    offered = dict(read_tokens(caller.offer()))
    number = offered[group] if public == "ours" else int(public) % group.prime
    forged = write_tokens([replace(make_half_key(group, Random(1)), public=number)])
    assert not caller.take_answer(forged)
    assert not caller.agreed
    if public != "ours":
        assert not MediaSecurity(Random(2)).take_offer(forged)


def test_another_prime_under_a_known_name_is_not_taken() -> None:
    (token, _) = write_tokens([make_half_key(Group.DH1024, Random(1))])
    weak = {**token["dhkey"], "modSize": ((23).to_bytes(128, "big"), 1024)}
    assert read_tokens([{**token, "dhkey": weak}]) == []
    assert read_tokens([{"tokenOID": Group.DH1024.value}, {"tokenOID": "1.2.3"}]) == []
    assert read_tokens(None) == []


@pytest.mark.parametrize(
    ("kind", "material"),
    [
        ("secureChannel", (bytes(16), 128)),
        ("secureSharedSecret", {"paramS": {}}),
        ("secureSharedSecret", {"paramS": {}, "encryptedSessionKey": bytes(15)}),
        ("secureSharedSecret", {"paramS": {}, "encryptedSessionKey": bytes(16), "algorithmOID": "1.2.3"}),
    ],
)
def test_a_key_that_cannot_be_used_is_refused(kind: str, material: Any) -> None:
    sync = {"synchFlag": 96, "h235Key": encode(Kind.H235_KEY, (kind, material))}
    with pytest.raises(ValueError, match="media key"):
        read_sync(sync, bytes(128), H235Cipher.AES_128_CBC)
    with pytest.raises(ValueError, match="media key"):
        read_sync({"synchFlag": 96, "h235Key": b"\xff"}, bytes(128), H235Cipher.AES_128_CBC)


# two calls


def secured(required: bool = False) -> CallPair:
    pair = CallPair()
    for end in (pair.caller, pair.callee):
        end.call.security = MediaSecurity(end.call.rng, required)
    return pair


def test_two_calls_agree_and_their_capabilities_are_secured() -> None:
    pair = secured()
    pair.place()
    pair.settle()
    callee = pair.callee.call
    assert callee.security is not None
    assert callee.security.take_offer(callee.facts.body["tokens"])
    pair.connect()
    for end in (pair.caller, pair.callee):
        assert end.call.security is not None
        assert end.call.security.agreed
        (heard,) = end.controlled(CapabilitiesReceived)
        assert read_security(heard.capabilities) == {1: (H235Cipher.AES_256_CBC, H235Cipher.AES_128_CBC)}
        assert heard.capabilities["capabilityDescriptors"][0]["simultaneousCapabilities"] == [[1, 1001]]


@pytest.mark.parametrize("required", [False, True])
def test_a_callee_that_encrypts_nothing_is_taken_unless_it_must(required: bool) -> None:
    pair = CallPair()
    pair.caller.call.security = MediaSecurity(Random(1), required)
    pair.place()
    pair.settle()
    pair.connect()
    ended = pair.caller.reported(CallEnded)
    if required:
        assert [one.reason for one in ended] == [Reason.ENCRYPTION_NEEDED]
        assert not pair.caller.reported(CallConnected)
        assert not pair.caller.call.controlled
        assert pair.caller.sent[-1].body == {
            **(pair.caller.sent[-1].body or {}),
            "reason": ("securityDenied", None),
        }
    else:
        assert not ended
        (heard,) = pair.callee.controlled(CapabilitiesReceived)
        assert read_security(heard.capabilities) == {}


# channels


def ends(theirs: bool = True) -> tuple[Sessions, Sessions]:
    """The sessions of a master and a slave that know each other's capabilities; theirs: whether the slave secures."""
    master, slave = Sessions(local(), "192.0.2.1"), Sessions(local(), "192.0.2.2")
    master.security.security, slave.security.security = agreed()
    master.security.master = True
    plain = write_capabilities(local())
    ciphers = (H235Cipher.AES_256_CBC, H235Cipher.AES_128_CBC)
    master.take_abilities(read_capabilities(secure(plain, ciphers) if theirs else plain))
    slave.take_abilities(read_capabilities(secure(plain, ciphers)))
    return master, slave


def opened(opener: Sessions, taker: Sessions, taker_is_master: bool) -> None:
    for number, opening in enumerate(opener.openings(), 1):
        opener.opened(opening, number)
        answer = taker.offered(
            read_request({"forwardLogicalChannelNumber": number, **opening.request}), taker_is_master
        )
        assert isinstance(answer, dict), answer
        assert opener.answered(number, read_answer(answer))


def test_the_master_makes_the_keys_of_all_channels() -> None:
    master, slave = ends()
    opened(master, slave, False)
    opened(slave, master, True)
    here, there = master.remote(), slave.remote()
    for one, other in zip(here.streams, there.streams, strict=True):
        ours, theirs = one.transport.h235, other.transport.h235
        assert ours is not None
        assert theirs is not None
        assert ours.send is not None
        assert ours.receive is not None
        assert ours.send == theirs.receive
        assert ours.receive == theirs.send
        assert ours.send.key != ours.receive.key
        assert ours.send.cipher is H235Cipher.AES_256_CBC
        assert all(format.payload_type >= 96 for format in (one.send[0], one.receive[0]))


def test_a_clear_channel_is_refused_in_an_encrypted_call_and_the_other_way_round() -> None:
    master, slave = ends()
    clear = Sessions(local(), "192.0.2.3")
    clear.take_abilities(read_capabilities(write_capabilities(local())))
    (opening, *_) = clear.openings()
    assert master.offered(read_request({"forwardLogicalChannelNumber": 1, **opening.request}), True) == "securityDenied"
    (opening, *_) = slave.openings()
    assert clear.offered(read_request({"forwardLogicalChannelNumber": 1, **opening.request}), True) == "securityDenied"


def test_a_slave_takes_no_encrypted_channel_whose_key_it_is_not_told() -> None:
    master, slave = ends()
    (opening, *_) = master.openings()
    request = {key: value for key, value in opening.request.items() if key != "encryptionSync"}
    assert slave.offered(read_request({"forwardLogicalChannelNumber": 1, **request}), False) == "securityDenied"


def test_a_channel_that_is_answered_without_a_key_is_not_used_and_not_tried_again() -> None:
    master, slave = ends()
    (opening, *_) = slave.openings()
    slave.opened(opening, 1)
    answer = master.offered(read_request({"forwardLogicalChannelNumber": 1, **opening.request}), True)
    assert isinstance(answer, dict)
    answer.pop("encryptionSync")
    assert not slave.answered(1, read_answer(answer))
    (sound, _) = slave.remote().streams
    assert sound.transport.h235 is not None
    assert sound.transport.h235.receive is None
    assert slave.closed(1, True)
    assert all(one.key != opening.key for one in slave.openings())


def test_a_peer_that_agreed_on_keys_and_secures_nothing_is_spoken_to_in_the_clear_unless_it_must_not() -> None:
    master, _ = ends(theirs=False)
    assert not master.security.active
    assert not master.security.missing
    assert all(one.cipher is None for one in master.openings())
    assert master.remote().streams[0].transport.h235 is None
    strict = Sessions(local(SrtpPolicy.REQUIRE), "192.0.2.1")
    strict.security.security = agreed(required=True)[0]
    strict.take_abilities(read_capabilities(write_capabilities(local())))
    assert strict.security.missing


@pytest.mark.parametrize("policy", list(SrtpPolicy))
def test_the_policy_is_read_from_the_offer_of_the_house(policy: SrtpPolicy) -> None:
    assert policy_of(local(policy)) is policy


# new keys


def test_a_slave_gets_a_new_key_when_it_asks_and_when_it_does_not() -> None:
    master, slave = ends()
    opened(slave, master, True)
    opened(master, slave, False)
    asked = {"type": ("encryptionUpdateRequest", {"synchFlag": 99}), "direction": ("slaveToMaster", None)}
    update = read_update({"logicalChannelNumber": 1, **asked})
    assert update is not None
    assert not update.ours
    sync = master.make_new_key(update.channel, update.ours, update.payload_type)
    assert sync is not None
    _, (_, command) = write_update(update, sync)
    told = read_update(command)
    assert told is not None
    assert told.ours
    assert told.sync is not None
    assert slave.take_new_key(told.channel, told.ours, told.sync)
    here, there = master.remote().streams[0], slave.remote().streams[0]
    assert here.transport.h235 is not None
    assert there.transport.h235 is not None
    assert here.transport.h235.send == there.transport.h235.receive
    assert here.send[0].payload_type == there.receive[0].payload_type == 99
    assert write_update_ack(told)[1][1]["type"] == ("encryptionUpdateAck", {"synchFlag": 99})
    assert not slave.take_new_key(7, True, told.sync)
    assert slave.make_new_key(1, True, None) is None, "a slave makes no keys"


def test_commands_about_no_key_are_left_to_others() -> None:
    assert read_update({"logicalChannelNumber": 1, "type": ("videoFreezePicture", None)}) is None
    key = H235Key(H235Cipher.AES_128_CBC, bytes(16), 98)
    update = read_update({"logicalChannelNumber": 3, "type": ("encryptionUpdate", write_sync(key, bytes(128)))})
    assert update is not None
    assert not update.ours
    assert update.sync is not None
    assert read_sync(update.sync, bytes(128), H235Cipher.AES_128_CBC) == key
