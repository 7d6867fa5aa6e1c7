"""Comfort: speakers at one level, no swelling noise, no holes in silence, less noise where asked, wide band kept."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from audio_stream import START
from mixer_room import OPUS, PCMU, Phone, Room, power

from transcode.audio import codecs
from transcode.audio.levelling import HIGHEST, LOWEST, Leveller
from transcode.audio.levels import Activity
from transcode.audio.mixer import Mixer
from transcode.audio.receiver import AudioReceiver
from transcode.audio.suppression import Suppressor
from transcode.media import Codec, Format, LegId
from transcode.rtp.packet import RtpPacket
from transcode.settings import AudioSettings, Suppression

CN = Format(Codec.COMFORT_NOISE, 13, 8000)


def level(sound: np.ndarray) -> float:
    """Return dBov of samples."""
    return float(10 * np.log10(np.mean((sound.astype(float) / 32768) ** 2) + 1e-12))


class Talker(Phone):
    """A phone that speaks in syllables, with a noise of its own between them."""

    noise = 8.0
    talks = True

    def speak(self, now: float) -> None:
        amplitude, talks = self.amplitude, self.talks and self._number % 15 < 10
        self.amplitude = amplitude if talks else 0
        count = self.rate // 50
        rng = np.random.default_rng(self._number)
        at = (np.arange(count) + self._number * count) / self.rate
        sound = self.amplitude * np.sin(2 * np.pi * self.frequency * at) + rng.normal(0, self.noise, count)
        stamp = self._number * self._decoder.clock_rate // 50
        payload = self._encoder.encode(sound.astype(np.int16))
        self.receiver.push(RtpPacket(self.format.payload_type, self._number & 0xFFFF, stamp, 1, payload, False, now))
        self._number += 1
        self.amplitude = amplitude


def levelled(*phones: Phone, on: bool = True) -> Room:
    room = Room()
    room.mixer = Mixer(AudioSettings(levelling=on))
    for number, phone in enumerate(phones):
        room.join(chr(ord("a") + number), phone)
    return room


def test_a_quiet_phone_and_a_loud_terminal_come_to_one_level() -> None:
    loudness = []
    for amplitude in (300, 16000):
        listener = Phone(PCMU, 3000, 0)
        room = levelled(Talker(PCMU, 500, amplitude), listener)
        room.run(8.0)
        loudness.append(power(listener.sound(3.0), 8000, 500))
    quiet, loud = loudness
    assert 20 * np.log10(16000 / 300) > 34
    assert abs(loud - quiet) < 9  # HIGHEST and LOWEST together take 27 dB of 34.5
    apart = []
    for amplitude in (1500, 9000):
        listener = Phone(PCMU, 3000, 0)
        room = levelled(Talker(PCMU, 500, amplitude), listener)
        room.run(8.0)
        apart.append(power(listener.sound(3.0), 8000, 500))
    assert abs(apart[0] - apart[1]) < 5  # of 15.6


def test_levelling_can_be_turned_off() -> None:
    listener = Phone(PCMU, 3000, 0)
    room = levelled(Talker(PCMU, 500, 300), listener, on=False)
    room.run(5.0)
    assert power(listener.sound(3.0), 8000, 500) < -38


def run(levels: list[float]) -> list[float]:
    """Give one leg's levels to a leveller and return its gains."""
    activity, leveller = Activity(), Leveller()
    slot = activity.open()
    gains = []
    for one in levels:
        row = np.full(activity.size, -127, np.float32)
        row[slot] = one
        activity.update(row)
        leveller.update(activity)
        gains.append(float(leveller.gain[slot]))
    return gains


def speech(loud: float, gap: float, seconds: float) -> list[float]:
    return [loud if tick % 15 < 10 else gap for tick in range(round(seconds * 50))]


def test_noise_and_tones_move_no_gain() -> None:
    rng = np.random.default_rng(7)  # the seed of this run
    for loud in (-30.0, -42.0, -55.0):
        assert set(run(list(loud + rng.normal(0, 1.5, 3000)))) == {0.0}


def test_gains_hold_still_in_pauses_and_stay_within_bounds() -> None:
    gains = run(speech(-45, -75, 12) + [-75.0] * 500)
    assert gains[600] == pytest.approx(HIGHEST, abs=0.1)
    assert gains[601:] == [gains[600]] * 499
    assert min(run(speech(-3, -60, 12))) == pytest.approx(LOWEST, abs=0.1)
    assert max(abs(after - before) for before, after in pairwise(gains)) <= 0.2 + 1e-6


def test_a_noisy_leg_is_lifted_no_further_than_its_noise_may_be() -> None:
    assert max(run(speech(-38, -58, 15))) <= 9
    assert max(run(speech(-35, -49, 15))) < 2


def test_who_suppresses_silence_leaves_no_hole() -> None:
    talker, listener = Talker(PCMU, 500, 3000), Phone(PCMU, 3000, 0)
    room = Room(talker, listener)
    room.run(3.0)
    talker.speak = lambda now: None  # type: ignore[method-assign]
    room.run(1.0)
    silence = listener.sound(0.8)
    assert -78 < level(silence) < -62
    assert all(part.any() for part in silence.reshape(-1, 160))


@pytest.mark.parametrize("given", [30, 50, 65])
def test_comfort_noise_packets_are_heard_at_their_level(given: int) -> None:
    receiver = AudioReceiver((PCMU, CN))
    played = []
    for number in range(100):
        now = START + 0.02 * number
        stamp = 160 * number
        if number < 20:
            receiver.push(RtpPacket(0, number, stamp, 1, b"\xd5" * 160, False, now))
        elif number % 10 == 0:
            receiver.push(RtpPacket(13, 20 + (number - 20) // 10, stamp, 1, bytes((given,)), False, now))
        played.append(receiver.pull_samples(now + 0.008))
    assert level(np.concatenate(played[50:])) == pytest.approx(-given, abs=2)


def test_opus_in_dtx_goes_on_as_noise() -> None:
    receiver = AudioReceiver((OPUS,))
    coder = codecs.AvEncoder("libopus", 48000, 48000, 960, 24_000, {"application": "voip"})
    rng = np.random.default_rng(3)  # the seed of this run
    played, sent = [], 0
    for number in range(200):
        now = START + 0.02 * number
        loud = 5000 * np.sin(2 * np.pi * 300 * np.arange(960) / 48000) if number < 50 else np.zeros(960)
        payload = coder.encode((loud + rng.normal(0, 15, 960)).astype(np.int16))
        silent = number >= 80
        if silent:
            payload = bytes((payload[0] & 0xFC,))  # a frame of no octets, which libopus sends in DTX each 400 ms
        if not silent or number % 20 == 0:
            receiver.push(RtpPacket(111, sent, 960 * number, 1, payload, False, now))
            sent += 1
        played.append(receiver.pull_samples(now + 0.008))
    silence = np.concatenate(played[100:])
    assert level(silence) < -45
    assert sum(part.any() for part in silence.reshape(-1, 960)) > 90


def test_a_g729_silence_descriptor_tells_how_loud_its_noise_is() -> None:
    descriptors = [bytes((0x12, gain << 1)) for gain in range(32)]
    told = [codecs.sid_level(one) for one in descriptors]
    assert told == sorted(told)
    assert told[0] == -75
    assert told[15] == pytest.approx(16 + 18 - 84.3)
    decoder = codecs.make_decoder(Codec.G729)
    samples = decoder.decode(descriptors[15])
    assert samples is not None
    assert decoder.silent
    assert level(samples) == pytest.approx(told[15], abs=1.5)


@pytest.mark.parametrize("codec", [Codec.G729, Codec.G723])
def test_after_a_silence_descriptor_noise_goes_on(codec: Codec) -> None:
    receiver = AudioReceiver((Format(codec, 18 if codec is Codec.G729 else 4, 8000),))
    descriptor = bytes((0x12, 17 << 1)) if codec is Codec.G729 else bytes.fromhex("02 00 00 18")
    speech_frame = bytes.fromhex("7852802080fad0047f3d") * 3 if codec is Codec.G729 else b"\x00" + bytes(range(23))
    played = []
    for number in range(100):
        now, stamp = START + 0.02 * number, 240 * (number * 2 // 3)
        if number % 3 != 1 and number < 30:
            receiver.push(RtpPacket(receiver_type(codec), number * 2 // 3, stamp, 1, speech_frame, False, now))
        elif number == 30:
            receiver.push(RtpPacket(receiver_type(codec), 20, stamp, 1, descriptor, False, now))
        played.append(receiver.pull_samples(now + 0.008))
    silence = np.concatenate(played[50:])
    assert -76 < level(silence) < -38
    assert all(part.any() for part in silence.reshape(-1, 160))


def receiver_type(codec: Codec) -> int:
    return 18 if codec is Codec.G729 else 4


def test_steady_noise_is_taken_out_and_speech_left() -> None:
    suppressor = Suppressor(8000)
    rng = np.random.default_rng(5)  # the seed of this run
    at = np.arange(160)
    before, after, spoken, clean = [], [], [], []
    for number in range(400):
        noise = rng.normal(0, 0.01, (2, 160)).astype(np.float32)
        talks = number > 200 and number % 15 < 10
        sound = 0.2 * np.sin(2 * np.pi * 700 * (at + 160 * number) / 8000).astype(np.float32) * talks
        made = suppressor([3, 9], noise + sound)
        if 100 < number <= 200:
            before.append(noise[0])
            after.append(made[0])
        if number > 215 and number % 15 in (4, 5, 6):
            spoken.append(sound)
            clean.append(made[1])
    assert np.std(np.concatenate(after)) < 0.35 * np.std(np.concatenate(before))
    assert np.std(np.concatenate(clean)) == pytest.approx(np.std(np.concatenate(spoken)), rel=0.15)


def test_without_noise_suppression_gives_back_what_it_got_ten_ms_later() -> None:
    suppressor = Suppressor(16000)
    at = np.arange(320 * 60)
    sound = (0.3 * np.sin(2 * np.pi * 440 * at / 16000) * (at % 8000 < 4000)).astype(np.float32)
    made = np.concatenate([suppressor([0], part[None])[0] for part in sound.reshape(-1, 320)])
    assert np.abs(made[160 + 2000 : 4000] - sound[2000 : 4000 - 160]).max() < 0.05


def test_noise_suppression_of_phones_leaves_wide_band_alone() -> None:
    for format, quieter in ((PCMU, True), (OPUS, False)):
        levels = []
        for suppression in (Suppression.OFF, Suppression.PHONES):
            talker, listener = Talker(format, 500, 3000), Phone(PCMU, 3000, 0)
            talker.noise = 150.0
            room = Room()
            room.mixer = Mixer(AudioSettings(noise_suppression=suppression))
            room.join("a", talker)
            room.join("b", listener)
            room.run(2.0)
            talker.talks = False
            room.run(2.0)
            levels.append(level(listener.sound(1.0)))
        assert (levels[1] < levels[0] - 8) is quieter
        assert quieter or levels[0] == pytest.approx(levels[1], abs=0.5)


def test_phones_in_a_room_do_not_take_its_wide_band() -> None:
    speaker, listener, phone = Phone(OPUS, 6000), Phone(OPUS, 11000, 0), Phone(PCMU, 700, 0)
    room = Room(speaker, listener, phone)
    room.run(1.5)
    assert power(listener.sound(0.5), 48000, 6000) > -22
    assert room.mixer.mixed == (LegId("a"),)
    phone.amplitude = 4000
    room.run(1.5)
    heard = listener.sound(0.5)
    assert power(heard, 48000, 6000) > -22
    assert power(heard, 48000, 700) > -22
    assert power(phone.sound(0.5), 8000, 2000) < -50  # nor does 6 kHz come to the phone as something else
