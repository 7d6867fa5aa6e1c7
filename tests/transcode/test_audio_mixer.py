"""The mixer: who hears whom by spectrum, the loudest three, shared encoders, no clicks, nothing clipped."""

from __future__ import annotations

import random
import time
from collections import Counter

import numpy as np
import pytest
from audio_stream import START
from mixer_room import G722, G723, OPUS, PCMA, PCMU, Phone, Room, hears, power, worst_step

from transcode.audio import codecs
from transcode.audio.limiter import limit
from transcode.audio.mixer import KeyPressed, LegTalks, Mixer, SpeakerChanged
from transcode.audio.receiver import AudioReceiver
from transcode.media import Codec, Format, LegId
from transcode.rtp.packet import RtpPacket

FAINT = 60
"""Samples that comfort noise stays under: -65 dBov of evenly spread noise reaches 32, coding adds to that."""


def test_everyone_hears_all_others_and_never_itself() -> None:
    phones = [Phone(PCMU, 400), Phone(G722, 700), Phone(OPUS, 1000)]
    room = Room(*phones)
    room.run(1.6)
    for phone in phones:
        for other in phones:
            assert hears(phone, other.frequency) == (phone is not other)
            if phone is other:
                assert power(phone.sound(0.6), phone.rate, other.frequency) < -45


def test_all_codecs_can_listen_and_talk_together() -> None:
    phones = [Phone(PCMA, 400), Phone(G723, 700), Phone(PCMU, 1000, 0), Phone(G723, 1300, 0), Phone(OPUS, 1600, 0)]
    room = Room(*phones)
    room.run(1.6)
    for phone in phones[2:]:
        assert hears(phone, 400)
        assert hears(phone, 700)
    assert hears(phones[0], 700)
    assert hears(phones[1], 400)


def test_only_the_loudest_three_are_mixed() -> None:
    loud = [Phone(PCMU, 400 + 300 * n, 5000) for n in range(3)]
    faint = [Phone(PCMU, 1500 + 300 * n, 1000) for n in range(2)]
    listener = Phone(PCMU, 3000, 0)
    room = Room(*faint, *loud, listener)
    room.run(1.6)
    assert set(room.mixer.mixed) == {"c", "d", "e"}
    assert all(hears(listener, phone.frequency) for phone in loud)
    assert not any(hears(listener, phone.frequency) for phone in faint)


def test_equally_loud_legs_do_not_flap() -> None:
    chance = random.Random(2)  # the seed of this run
    phones = [Phone(PCMU, 300 + 200 * n, 4000) for n in range(8)]
    room = Room(*phones)
    room.run(0.5)
    changes, before = 0, set(room.mixer.mixed)
    for _ in range(250):
        for phone in phones:
            phone.amplitude = 4000 * chance.uniform(0.8, 1.25)
        room.run(0.02)
        changes += set(room.mixer.mixed) != before
        before = set(room.mixer.mixed)
    assert changes <= 2


def test_a_new_speaker_is_mixed_within_forty_ms_though_all_seats_are_taken() -> None:
    phones = [Phone(PCMU, 400 + 300 * n, 4000) for n in range(3)]
    late, listener = Phone(PCMU, 1500, 0), Phone(PCMU, 3000, 0)
    room = Room(*phones, late, listener)
    room.run(1.0)
    for phone in phones:
        phone.amplitude = 0
    room.run(0.3)
    late.amplitude = 4000
    room.run(0.04)
    assert "d" in room.mixer.mixed
    assert np.abs(listener.sound(0.04)).max() > 3000


def test_changes_of_the_speakers_make_no_click() -> None:
    phones = [Phone(PCMU, 300, 3000) for _ in range(5)]
    listener = Phone(PCMU, 1000, 0)
    room = Room(*phones, listener)
    order = [0, 1, 2, 3, 4, 0, 3, 1]
    for number in order:
        for index, phone in enumerate(phones):
            phone.amplitude = 6000 if index == number else 0
        room.run(0.5)
    room.mixer.remove(LegId("b"))
    del room.phones["b"]
    room.run(0.1)
    heard = np.concatenate(listener.heard)
    # 5 senders of the same tone: one's own steps are 1413; starting and stopping at full level would add up to 6000.
    assert worst_step(heard) < 2.5 * 6000 * 2 * np.pi * 300 / 8000


@pytest.mark.parametrize("format", [PCMU, G722, OPUS], ids=lambda format: format.codec.value)
def test_going_from_the_shared_stream_to_ones_own_and_back_makes_no_click(format: Format) -> None:
    talker, listener = Phone(PCMU, 300, 6000), Phone(format, 2000, 0)
    others = [Phone(PCMU, 500, 0), Phone(PCMU, 600, 0), Phone(format, 700, 0)]
    room = Room(talker, listener, *others)
    room.run(1.0)
    for amplitude in (0, 600, 0, 600):
        listener.amplitude = amplitude
        for other in others:  # they speak a little in turn, so that the listener loses its seat
            other.amplitude = 0 if amplitude else 300
        room.run(1.0)
        assert ("b" in room.mixer.mixed) == bool(amplitude)
    heard = np.concatenate(listener.heard)[listener.rate // 2 :]
    assert worst_step(heard) < 2.0 * 6000 * 2 * np.pi * 300 / listener.rate + 150
    assert not hears(listener, 2000)


def test_three_at_full_scale_never_clip() -> None:
    room = Room(*[Phone(PCMU, 400 + 150 * n, 32000) for n in range(3)], Phone(OPUS, 3000, 0))
    room.run(1.0)
    bus = limit(np.linspace(-3, 3, 10_000).astype(np.float32))
    assert bus.min() >= -32767
    assert bus.max() <= 32767
    assert (np.diff(bus.astype(int)) >= 0).all()
    assert power(room.phones["d"].sound(0.5), 48000, 400) > -14


def test_below_the_knee_the_limiter_changes_nothing() -> None:
    sound = np.linspace(-0.7, 0.7, 1000).astype(np.float32)
    assert np.abs(limit(sound) - sound * 32767).max() <= 0.5


def test_listeners_of_one_codec_share_one_encoder() -> None:
    talkers = [Phone(PCMU, 400 + 300 * n) for n in range(3)]
    listeners = [Phone(PCMU, 3000, 0) for _ in range(12)] + [Phone(OPUS, 3000, 0) for _ in range(4)]
    room = Room(*talkers, *listeners)
    room.run(1.0)
    before = room.mixer.encodes
    room.run(1.0)
    assert (room.mixer.encodes - before) / 50 == 1 + 1 + 3  # PCMU's and Opus's full mix, and each talker's own
    assert listeners[0].sent[-1][0] is listeners[5].sent[-1][0]
    assert listeners[12].sent[-1][0] is listeners[13].sent[-1][0]


def test_listeners_with_other_parameters_or_packet_times_have_another_encoder() -> None:
    slow = Format(Codec.OPUS, 111, 48000, 2, (("maxaveragebitrate", "16000"),))
    room = Room(Phone(OPUS, 400), Phone(OPUS, 3000, 0), Phone(slow, 3000, 0))
    room.run(1.0)
    fast, thin = room.phones["b"].sent[25:], room.phones["c"].sent[25:]
    assert sum(len(payload) for payload, _, _ in thin) < 0.8 * sum(len(payload) for payload, _, _ in fast)


@pytest.mark.parametrize(
    ("format", "wanted", "ticks"),
    [
        (PCMU, 10, 80),
        (PCMU, 30, 240),
        (PCMA, 40, 320),
        (PCMU, 60, 480),
        (PCMU, 25, 160),
        (G722, 10, 80),
        (G722, 30, 240),
        (OPUS, 60, 960),
        (G723, 20, 240),
        (G723, 60, 480),
    ],
)
def test_packets_have_the_packet_time_that_is_wanted(format: Format, wanted: int, ticks: int) -> None:
    room = Room(Phone(PCMU, 400))
    late = Phone(format, 900, 0)
    room.run(0.06)
    room.join("late", late, wanted)
    room.run(1.0)
    assert {sent[1] for sent in late.sent} == {ticks}
    assert [sent[2] for sent in late.sent] == [True] + [False] * (len(late.sent) - 1)
    clock = codecs.CLOCK_RATES[format.codec]
    assert abs(sum(sent[1] for sent in late.sent) - clock) <= ticks
    heard = late.sound(0.7)
    assert power(heard, late.rate, 400) > -25
    assert worst_step(heard) < 4000 * 2 * np.pi * 400 / late.rate * 1.5 + 150


@pytest.mark.parametrize("wanted", [10, 30, 40, 60])
@pytest.mark.parametrize("format", [PCMU, G722], ids=lambda format: format.codec.value)
def test_with_other_packet_times_nothing_is_lost_or_doubled_when_streams_change(format: Format, wanted: int) -> None:
    talker, listener = Phone(PCMU, 300, 6000), Phone(format, 2000, 0)
    room = Room(talker, Phone(PCMU, 500, 0), Phone(PCMU, 600, 0), Phone(PCMU, 700, 0))
    room.join("listener", listener, wanted)
    room.join("silent", Phone(format, 2100, 0), wanted)
    room.run(0.5)
    for number in range(6):
        listener.amplitude = 0 if number % 2 else 600
        for name in "bcd":
            room.phones[name].amplitude = 300 if number % 2 else 0
        room.run(0.6 + 0.02 * number)
        assert ("listener" in room.mixer.mixed) != bool(number % 2)
    heard = np.concatenate(listener.heard)[listener.rate // 2 :]
    assert worst_step(heard) < 2.0 * 6000 * 2 * np.pi * 300 / listener.rate + 150
    assert abs(len(np.concatenate(listener.heard)) - listener.rate * round(room.now - START, 2)) <= listener.rate * 0.06


def test_the_mixer_adds_less_than_thirty_ms_at_the_median_on_a_calm_network() -> None:
    delays = []
    for phase in range(20):
        sender, mixer, sent = AudioReceiver((PCMU,)), Mixer(), []
        mixer.add(LegId("a"), sender)
        mixer.add(LegId("b"), AudioReceiver((PCMU,)))
        mixer.set_sender(LegId("b"), PCMU, lambda payload, ticks, marker, sent=sent: sent.append(payload))
        for tick in range(60):
            now = START + tick * 0.02
            arrival = now - 0.02 + phase / 1000
            payload = bytes(160) if tick == 50 else b"\xff" * 160
            sender.push(RtpPacket(0, tick, 160 * tick, 1, payload, False, arrival))
            mixer.tick(now)
            if len(sent) > 45 and sent[-1] != sent[40]:
                delays.append((tick - 50) * 20 + 20 - phase)
                break
    assert len(delays) == 20
    assert np.median(delays) <= 30


def test_a_renewed_offer_of_the_same_codec_does_not_begin_the_stream_anew() -> None:
    room = Room(Phone(PCMU, 400), Phone(G722, 3000, 0))
    room.run(0.5)
    listener = room.phones["b"]
    room.mixer.set_sender(LegId("b"), G722, listener.hear, 20)
    room.run(0.5)
    assert [sent[2] for sent in listener.sent] == [True] + [False] * 49


def test_a_muted_leg_is_not_heard_and_its_talking_is_still_seen() -> None:
    muted, listener = Phone(PCMU, 400), Phone(PCMU, 3000, 0)
    room = Room(muted, listener)
    room.mixer.plan({LegId("a"): False}, {})
    events = room.run(1.0)
    assert LegTalks(LegId("a"), True) in events
    assert not any(isinstance(event, SpeakerChanged) for event in events)
    assert np.abs(listener.sound(0.9)).max() < FAINT
    room.mixer.plan({LegId("a"): True}, {})
    assert SpeakerChanged(LegId("a")) in room.run(1.0)
    assert hears(listener, 400)


def test_a_leg_that_does_not_listen_gets_silence_in_packets() -> None:
    talker, deaf = Phone(PCMU, 400), Phone(PCMU, 3000, 0)
    room = Room(talker, deaf)
    room.mixer.plan({}, {LegId("b"): False})
    room.run(1.0)
    assert len(deaf.sent) == 50
    assert np.abs(deaf.sound(0.9)).max() < FAINT


def test_a_leg_that_is_alone_hears_silence() -> None:
    room = Room(Phone(G722, 400))
    room.run(1.0)
    assert len(room.phones["a"].sent) == 50
    assert np.abs(room.phones["a"].sound(0.5)).max() < FAINT


def test_telephones_leave_wide_band_legs_their_band() -> None:
    phones = [Phone(PCMU, 400), Phone(OPUS, 9000), Phone(OPUS, 1500, 0), Phone(G722, 1700, 0), Phone(PCMU, 1900, 0)]
    room = Room(*phones)
    room.run(1.6)
    assert hears(phones[2], 9000)
    assert hears(phones[2], 400)
    assert hears(phones[3], 400)
    # 9 kHz is above what they can carry: it must not come back as an image.
    assert power(phones[3].sound(0.6), 16000, 7000) < -45
    assert power(phones[4].sound(0.6), 8000, 1000) < -45


def test_talking_and_the_active_speaker_are_told_with_hysteresis() -> None:
    first, second = Phone(PCMU, 400, 3000), Phone(PCMU, 700, 0)
    room = Room(first, second, Phone(PCMU, 900, 0))
    events = room.run(1.0)
    assert events == [LegTalks(LegId("a"), True), SpeakerChanged(LegId("a"))]
    second.amplitude = 12000
    assert room.run(0.4) == [LegTalks(LegId("b"), True)]  # a cough
    second.amplitude = 0
    assert room.run(1.0) == [LegTalks(LegId("b"), False)]
    second.amplitude = 12000
    assert room.run(1.0) == [LegTalks(LegId("b"), True), SpeakerChanged(LegId("b"))]
    assert room.mixer.speaker == "b"
    room.mixer.remove(LegId("b"))
    del room.phones["b"]
    assert room.run(0.1) == [SpeakerChanged(None), SpeakerChanged(LegId("a"))]


def test_keys_are_told_with_their_leg() -> None:
    phone = Phone(PCMU, 400)
    room = Room(phone, Phone(PCMU, 700))
    room.run(0.2)
    phone.receiver.push(RtpPacket(101, 9, 5000, 1, bytes.fromhex("0b8a0320"), True, room.now))
    assert KeyPressed(LegId("a"), "#", 100) in room.run(0.1)


def test_legs_come_and_go_and_change_their_codec() -> None:
    chance = random.Random(9)  # the seed of this run
    room = Room(Phone(PCMU, 400))
    formats = [PCMU, PCMA, G722, OPUS]
    names = 0
    for _ in range(150):
        choice = chance.random()
        if choice < 0.4 and len(room.phones) < 20:
            names += 1
            room.join(f"n{names}", Phone(chance.choice(formats), chance.uniform(300, 3000), chance.choice([0, 4000])))
        elif choice < 0.6 and len(room.phones) > 1:
            name = chance.choice(sorted(room.phones))
            room.mixer.remove(LegId(name))
            room.mixer.remove(LegId(name))
            del room.phones[name]
        elif choice < 0.8:
            name = LegId(chance.choice(sorted(room.phones)))
            room.mixer.set_sender(name, None, None)
            room.mixer.set_sender(name, room.phones[name].format, room.phones[name].hear)
        else:
            name = LegId(chance.choice(sorted(room.phones)))
            room.mixer.plan({name: chance.random() < 0.5}, {name: chance.random() < 0.5})
        room.run(0.04)
    assert len(room.mixer.mixed) <= 3
    assert set(room.mixer.levels()) == set(room.phones)


def test_a_codec_that_cannot_be_sent_is_refused() -> None:
    room = Room(Phone(PCMU, 400))
    with pytest.raises(ValueError, match="cannot be sent"):
        room.mixer.set_sender(LegId("a"), Format(Codec.G729, 18, 8000), lambda *_: None)
    with pytest.raises(KeyError):
        room.mixer.set_sender(LegId("nobody"), PCMU, lambda *_: None)
    room.run(0.1)
    assert Counter(sent[1] for sent in room.phones["a"].sent) == {160: 5}


def test_a_tick_of_a_hundred_telephones_stays_under_three_ms() -> None:
    rng = np.random.default_rng(3)  # the seed of this run
    mixer, receivers = Mixer(), [AudioReceiver((PCMU,)) for _ in range(100)]
    for number, receiver in enumerate(receivers):
        mixer.add(LegId(str(number)), receiver)
        mixer.set_sender(LegId(str(number)), PCMU, lambda payload, ticks, marker: None)
    loud = codecs.make_encoder(PCMU).encode(rng.normal(0, 3000, 160).astype(np.int16))
    costs = []
    for tick in range(60):
        for number, receiver in enumerate(receivers):
            payload = loud if number < 3 else b"\xff" * 160
            receiver.push(RtpPacket(0, tick, 160 * tick, number + 1, payload, False, START + tick * 0.02))
        begun = time.thread_time()
        mixer.tick(START + tick * 0.02 + 0.008)
        costs.append((time.thread_time() - begun) * 1000)
    print(f"a tick of 100 legs: {np.median(costs):.2f} ms at the median")
    assert np.median(costs) < 3


def echo_room(*phones: Phone) -> Room:
    room = Room(*phones)
    everyone = dict.fromkeys(map(LegId, room.phones), True)
    room.mixer.plan(everyone, everyone, echo=True)
    return room


def test_in_an_echo_room_each_hears_itself_a_second_later_and_nobody_else() -> None:
    phones = [Phone(PCMU, 400), Phone(G722, 700), Phone(OPUS, 1000)]
    room = echo_room(*phones)
    room.run(0.9)
    for phone in phones:
        assert power(phone.sound(0.6), phone.rate, phone.frequency) < -60
    events = room.run(1.5)
    for phone in phones:
        for other in phones:
            assert hears(phone, other.frequency) == (phone is other)
            if phone is not other:
                assert power(phone.sound(0.6), phone.rate, other.frequency) < -60
    assert room.mixer.mixed == ()
    assert not any(isinstance(event, SpeakerChanged) for event in events)


def test_a_late_comer_to_an_echo_room_is_apart_from_its_first_tick_on() -> None:
    first, late = Phone(PCMU, 400), Phone(PCMU, 1000)
    room = echo_room(first)
    room.run(0.2)
    room.join("b", late)
    room.run(2.0)
    assert power(np.concatenate(first.heard), 8000, 1000) < -60
    assert power(np.concatenate(late.heard), 8000, 400) < -60
    assert hears(late, 1000)


def test_a_muted_leg_of_an_echo_room_hears_nothing_and_a_room_may_become_a_meeting_again() -> None:
    ann, bob = Phone(PCMU, 400), Phone(PCMU, 1000)
    room = echo_room(ann, bob)
    room.mixer.plan({LegId("a"): False}, {}, echo=True)
    room.run(2.0)
    assert power(ann.sound(0.6), 8000, 400) < -60
    assert hears(bob, 1000)
    room.mixer.plan({LegId("a"): True}, {})
    room.run(1.0)
    assert hears(ann, 1000)
    assert hears(bob, 400)
    assert not hears(bob, 1000)


def test_a_key_is_confirmed_to_the_leg_of_an_echo_room_that_pressed_it() -> None:
    ann, bob = Phone(PCMU, 400, 0), Phone(G722, 700, 0)
    room = echo_room(ann, bob)
    room.mixer.confirm(LegId("b"), "5")
    room.mixer.confirm(LegId("nobody"), "5")
    room.run(0.12)
    assert power(bob.sound(0.1), 16000, 770) > -25
    assert power(bob.sound(0.1), 16000, 1336) < -40
    room.run(0.12)
    assert power(bob.sound(0.1), 16000, 1336) > -25
    assert power(bob.sound(0.1), 16000, 770) < -40
    assert not hears(ann, 770, 0.2)
