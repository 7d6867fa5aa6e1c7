"""SRTP with keys from signalling through the whole plane, sound and picture, both ways."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from plane_peer import ANN, BOB, PCMU, ROOM, Line, Peer, h264, meeting, sing_on, together, until
from rtp_phone import loudness
from video_samples import GREEN, RED

from gateway.reasons import Reason, Refused
from transcode.interface import MediaPlane
from transcode.media import Abilities, Kind, MediaDescription, SrtpKey, SrtpPolicy, StreamDescription, Suite, Wanted
from transcode.rtp.srtp import SrtpSession, make_key

pytestmark = pytest.mark.parametrize("plane", ["direct"], indirect=True)


def secure(line: Line | None, ours: SrtpKey, answered: StreamDescription) -> SrtpKey:
    """Encrypt a line with our key and the one that was answered; return that."""
    assert line is not None
    (theirs,) = answered.transport.keys
    line.srtp = SrtpSession(ours, theirs)
    return theirs


class SecurePeer(Peer):
    """A peer that demands encryption, with keys of its own for sound and picture."""

    keys: tuple[SrtpKey, SrtpKey]

    def offer(self, **video: object) -> MediaDescription:
        plain = super().offer(**video)
        return replace(
            plain,
            streams=tuple(
                replace(stream, transport=replace(stream.transport, keys=(key,)))
                for stream, key in zip(plain.streams, self.keys, strict=True)
            ),
        )

    async def renew(self, offer: MediaDescription) -> None:
        await super().renew(offer)
        secure(self.audio, self.keys[0], self.answer.streams[0])
        secure(self.video, self.keys[1], self.answer.streams[1])


async def bad_input(plane: MediaPlane, what: str) -> float:
    found = [one for one in await plane.counters() if one.name == "bad_input_total" and ("what", what) in one.labels]
    return found[0].value if found else 0.0


@pytest.mark.parametrize("suite", list(Suite))
async def test_every_suite_carries_sound_and_picture_both_ways(plane: MediaPlane, suite: Suite) -> None:
    ann, bob = SecurePeer(plane, ANN, h264()), Peer(plane, BOB, h264())
    ann.keys = make_key(suite, 1), make_key(suite, 1)
    async with meeting(plane, ann, bob):
        ann.film(RED)
        bob.film(GREEN)
        ann.sing(440)
        bob.sing(850)
        ours, theirs = ann.look(), bob.look()
        await until(lambda: ours.shows(GREEN) and theirs.shows(RED))
        await until(lambda: loudness(ann.heard(), 850) > -25 and loudness(bob.heard(), 440) > -25)
        assert ann.audio is not None
        assert ann.audio.undecipherable == 0
        statistics = (await plane.statistics(ANN)).streams
        assert [one.encrypted for one in statistics] == [suite.value, suite.value]
        assert ann.answer.streams[0].transport.keys[0].key != ann.keys[0].key


async def test_a_renewed_offer_keeps_keys_and_counters_and_a_new_key_takes_over(plane: MediaPlane) -> None:
    ann, bob = SecurePeer(plane, ANN, h264()), Peer(plane, BOB, h264())
    ann.keys = make_key(Suite.AES_CM_128_HMAC_SHA1_80, 1), make_key(Suite.AES_CM_128_HMAC_SHA1_80, 1)
    async with meeting(plane, ann, bob):
        ann.sing(440)
        bob.sing(850)
        assert ann.audio is not None
        await until(lambda: loudness(ann.heard(), 850) > -25)
        first, session = ann.answer.streams[0].transport.keys[0], ann.audio.srtp
        again = await plane.answer(ANN, ann.offer())
        assert again.streams[0].transport.keys == (first,)
        count = len(ann.audio.packets)
        await until(lambda: len(ann.audio.packets) > count + 20)  # type: ignore[union-attr]
        assert ann.audio.undecipherable == 0
        assert session is not None
        assert session.replayed == 0
        ann.keys = make_key(Suite.AES_CM_128_HMAC_SHA1_80, 2), make_key(Suite.AES_CM_128_HMAC_SHA1_80, 2)
        bob.heard()
        await ann.renew(ann.offer())
        assert ann.answer.streams[0].transport.keys[0].key != first.key
        await asyncio.sleep(0.6)
        assert loudness(bob.heard(15), 440) > -25
        assert loudness(ann.heard(15), 850) > -25


async def test_a_wrong_key_is_heard_by_nobody_and_counted(plane: MediaPlane) -> None:
    ann, bob = SecurePeer(plane, ANN, h264()), Peer(plane, BOB, h264())
    ann.keys = make_key(Suite.AES_CM_128_HMAC_SHA1_80, 1), make_key(Suite.AES_CM_128_HMAC_SHA1_80, 1)
    async with meeting(plane, ann, bob):
        assert ann.audio is not None
        (theirs,) = ann.answer.streams[0].transport.keys
        ann.audio.srtp = SrtpSession(make_key(Suite.AES_CM_128_HMAC_SHA1_80, 1), theirs)
        ann.sing(440)
        bob.sing(850)
        await until(lambda: bob.audio is not None and len(bob.audio.packets) > 40)
        assert loudness(bob.heard(), 440) < -60
        assert await bad_input(plane, "srtp_failed") >= 30
        assert (await plane.statistics(ANN)).streams[0].packets_in == 0


async def test_a_plain_packet_into_an_encrypted_leg_is_dropped_and_counted(plane: MediaPlane) -> None:
    ann, bob = SecurePeer(plane, ANN, h264()), Peer(plane, BOB, h264())
    ann.keys = make_key(Suite.AES_CM_128_HMAC_SHA1_80, 1), make_key(Suite.AES_CM_128_HMAC_SHA1_80, 1)
    async with meeting(plane, ann, bob):
        assert ann.audio is not None
        ann.audio.srtp = None
        ann.sing(440)
        bob.sing(850)
        await until(lambda: bob.audio is not None and len(bob.audio.packets) > 40)
        assert loudness(bob.heard(), 440) < -60
        assert await bad_input(plane, "srtp_failed") >= 30


async def test_policies_refuse_or_take_as_they_say(plane: MediaPlane) -> None:
    key = make_key(Suite.AES_CM_128_HMAC_SHA1_80, 1)
    cases: list[tuple[SrtpPolicy, tuple[SrtpKey, ...], bool, Reason | bool]] = [
        (SrtpPolicy.REQUIRE, (), False, Reason.ENCRYPTION_NEEDED),
        (SrtpPolicy.REQUIRE, (key,), True, True),
        (SrtpPolicy.PREFER, (), False, False),
        (SrtpPolicy.PREFER, (key,), True, True),
        (SrtpPolicy.OFF, (key,), False, Reason.ENCRYPTION_UNSUPPORTED),
        (SrtpPolicy.OFF, (key,), True, False),
    ]
    for number, (policy, keys, optional, outcome) in enumerate(cases):
        line, leg = Line(), type(ANN)(f"{number}")
        await plane.open(leg, ROOM, Abilities(srtp=policy))
        offer = MediaDescription((line.describe("0", Kind.AUDIO, PCMU, keys=keys, optional=optional),))
        if isinstance(outcome, Reason):
            with pytest.raises(Refused) as refusal:
                await plane.answer(leg, offer)
            assert refusal.value.reason is outcome
        else:
            assert bool((await plane.answer(leg, offer)).streams[0].transport.keys) is outcome
        line.close()


async def test_a_refusal_on_the_second_stream_leaves_the_first_as_it_was(plane: MediaPlane) -> None:
    ann, bob = SecurePeer(plane, ANN, h264()), Peer(plane, BOB, h264())
    ann.keys = make_key(Suite.AES_CM_128_HMAC_SHA1_80, 1), make_key(Suite.AES_CM_128_HMAC_SHA1_80, 1)
    async with meeting(plane, ann, bob):
        ann.sing(440)
        bob.sing(850)
        await until(lambda: loudness(bob.heard(), 440) > -25 and loudness(ann.heard(), 850) > -25)
        audio, picture = ann.offer().streams
        moved = replace(audio, transport=replace(audio.transport, port=9, keys=(make_key(ann.keys[0].suite, 7),)))
        short = replace(ann.keys[1], key=b"short")
        for bad in ((), (short,)):
            worse = replace(picture, transport=replace(picture.transport, keys=bad))
            with pytest.raises(Refused):
                await plane.answer(ANN, MediaDescription((moved, worse)))
        assert ann.audio is not None
        ann.audio.packets.clear()
        await asyncio.sleep(0.6)
        assert loudness(bob.heard(15), 440) > -25
        assert loudness(ann.heard(15), 850) > -25
        assert ann.audio.undecipherable == 0


@pytest.mark.parametrize("taken", [Suite.AES_CM_128_HMAC_SHA1_80, Suite.AEAD_AES_256_GCM, None])
async def test_our_offer_leaves_encryption_to_the_peer_where_it_is_preferred(
    plane: MediaPlane, taken: Suite | None
) -> None:
    ann, bob, line = Peer(plane, ANN), Line(), Line()
    try:
        await ann.join()
        await plane.open(BOB, ROOM, Abilities())
        offer = (await plane.offer(BOB, Wanted(video=False))).streams[0]
        assert offer.transport.optional
        keys: tuple[SrtpKey, ...] = ()
        if taken is not None:
            ours = next(key for key in offer.transport.keys if key.suite is taken)
            keys = (make_key(taken, ours.tag),)
            line.srtp = SrtpSession(keys[0], ours)
        await plane.accept(BOB, MediaDescription((line.describe(offer.id, Kind.AUDIO, PCMU, keys=keys),)))
        line.connect(offer.transport)
        await together(plane, ANN, BOB)
        ann.sing(440)
        ann.start(sing_on(line, 850, 8000))
        await until(lambda: loudness(ann.heard(), 850) > -25)
        await until(lambda: len(line.packets) > 20)
        assert (await plane.statistics(BOB)).streams[0].encrypted == ("" if taken is None else taken.value)
    finally:
        await ann.close()
        bob.close()
        line.close()


async def test_our_offer_of_demanded_encryption_refuses_a_plain_answer(plane: MediaPlane) -> None:
    line = Line()
    await plane.open(BOB, ROOM, Abilities(srtp=SrtpPolicy.REQUIRE))
    offer = (await plane.offer(BOB, Wanted(video=False))).streams[0]
    assert offer.transport.keys
    assert not offer.transport.optional
    with pytest.raises(Refused) as refusal:
        await plane.accept(BOB, MediaDescription((line.describe(offer.id, Kind.AUDIO, PCMU),)))
    assert refusal.value.reason is Reason.ENCRYPTION_NEEDED
    line.close()
