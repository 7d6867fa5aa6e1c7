"""Key tones in sound: taken at the edges that Q.24 sets, once each, and never found in anything else."""

from __future__ import annotations

import random

import numpy as np
import pytest
from mixer_room import EVENT, OPUS, PCMU, Phone, Room, power

from transcode.audio import g711
from transcode.audio.mixer import KeyPressed
from transcode.audio.receiver import AudioReceiver
from transcode.audio.tones import COLUMNS, FAINTEST, FRAME, KEYS, ROWS, Press, ToneDetector
from transcode.media import Codec, LegId
from transcode.rtp.packet import RtpPacket

ALL = "1234567890*#ABCD"


def tone(key: str, ms: float, off: float = 0.0, low: float = -12.0, twist: float = 0.0) -> np.ndarray:
    """Return a key's tones: off is a share of each frequency, low the lower one's level in dB of full scale, twist how
    many dB the higher one is above it."""
    row = next(number for number, keys in enumerate(KEYS) if key in keys)
    at = np.arange(round(ms * 8)) / 8000
    lower = np.sin(2 * np.pi * ROWS[row] * (1 + off) * at + 1.0)
    higher = np.sin(2 * np.pi * COLUMNS[KEYS[row].index(key)] * (1 - off) * at + 2.0)
    return np.asarray(10 ** (low / 20) * (lower + 10 ** (twist / 20) * higher))


def quiet(ms: float) -> np.ndarray:
    return np.zeros(round(ms * 8))


def found(sound: np.ndarray, codec: Codec | None = Codec.PCMA) -> list[Press]:
    """Return the presses in a sound that went through a codec, told as the mixer tells it."""
    samples = np.clip(sound[: len(sound) // FRAME * FRAME] * 32767, -32768, 32767).astype(np.int16)
    if codec is not None:
        samples = g711.decode(codec, g711.encode(codec, samples))
    detector, presses = ToneDetector(), []
    for frame in samples.reshape(-1, FRAME):
        loud = np.mean((frame / 32768.0) ** 2) > 10 ** (FAINTEST / 10)
        brought = 1 if loud or detector.watched else 0
        presses += detector.update(np.arange(brought), frame[None][:brought])
    return presses


def digits(sound: np.ndarray, codec: Codec | None = Codec.PCMA) -> str:
    return "".join(press.digit for press in found(sound, codec))


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA, None])
def test_all_keys_are_heard_at_the_shortest_tone_and_pause(codec: Codec | None) -> None:
    dialled = ALL + "112233##"
    for start in (0, 3, 11, 17.5):
        sound = np.concatenate([quiet(start), *(np.concatenate((tone(key, 40), quiet(40))) for key in dialled)])
        assert digits(np.concatenate((sound, quiet(100))), codec) == dialled


@pytest.mark.parametrize("off", [-0.015, 0.015])
@pytest.mark.parametrize("twist", [-8.0, 0.0, 4.0])
@pytest.mark.parametrize("low", [-28.0, -10.0])
def test_keys_at_the_edge_of_tolerance_are_heard(off: float, twist: float, low: float) -> None:
    for number, key in enumerate(ALL):
        sound = np.concatenate((quiet(30 + number), tone(key, 40, off, low, twist), quiet(100)))
        assert digits(sound) == key


def test_keys_are_heard_in_noise() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    missed = 0
    for number in range(160):
        key = ALL[number % 16]
        pressed = tone(key, 60, rng.uniform(-0.012, 0.012), -15, rng.uniform(-6, 3))
        sound = np.concatenate((quiet(rng.uniform(60, 90)), pressed, quiet(120)))
        sound += rng.normal(0, np.sqrt(np.mean(pressed**2) / 10**1.5), len(sound))
        missed += digits(sound) != key
    assert missed <= 2  # of a hundred and sixty, at 15 dB


@pytest.mark.parametrize("off", [-0.035, 0.035])
def test_frequencies_that_are_off_are_no_key(off: float) -> None:
    for key in ALL:
        assert digits(np.concatenate((quiet(33), tone(key, 100, off), quiet(100)))) == ""


@pytest.mark.parametrize("twist", [-12.0, 8.0])
def test_tones_of_unequal_level_are_no_key(twist: float) -> None:
    assert digits(np.concatenate((quiet(33), tone("5", 100, 0, -14, twist), quiet(100)))) == ""


def test_a_short_tone_is_no_key_and_a_short_break_no_second_press() -> None:
    for start in range(20):
        assert digits(np.concatenate((quiet(start), tone("7", 23), quiet(100)))) == ""
        broken = np.concatenate((quiet(start), tone("7", 60), quiet(10), tone("7", 60), quiet(100)))
        assert digits(broken) == "7"


def test_a_press_tells_how_long_it_was() -> None:
    (press,) = found(np.concatenate((quiet(47), tone("9", 300), quiet(100))))
    assert press.digit == "9"
    assert abs(press.duration - 300) <= 20


def test_one_frequency_and_lines_tones_are_no_key() -> None:
    at = np.arange(8000) / 8000
    for pair in ((350, 440), (440, 480), (480, 620), (425, 425), (697, 697), (1209, 1477), (941, 2 * 941)):
        sound = 0.2 * np.sin(2 * np.pi * pair[0] * at) + 0.2 * np.sin(2 * np.pi * pair[1] * at)
        assert digits(sound) == ""


def voice(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Return something like speech: harmonics of a gliding pitch under moving formants, and hisses between."""
    count = round(seconds * 8000)
    at = np.arange(count) / 8000
    pitch = rng.uniform(80, 280) * (1 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.2, 0.8) * at))
    phase = 2 * np.pi * np.cumsum(pitch) / 8000
    formants = [
        f * (1 + 0.3 * np.sin(2 * np.pi * rng.uniform(1, 4) * at + rng.uniform(0, 6))) for f in (500, 1400, 2500)
    ]
    sound = np.zeros(count)
    for number in range(1, 25):
        frequency = number * pitch
        strength = sum(1 / (1 + ((frequency - formant) / 90) ** 2) for formant in formants)
        sound += np.where(frequency < 3600, strength, 0) * np.sin(number * phase + rng.uniform(0, 6))
    sound += rng.normal(0, 0.1, count)
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(2, 6) * at) + 0.4, 0, 1)
    return np.asarray(sound * syllables * rng.uniform(0.05, 0.3))


def test_nothing_is_found_in_speech_noise_and_music() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    for _ in range(12):
        assert digits(voice(rng, 5.0)) == ""
    assert digits(rng.normal(0, 0.1, 80_000)) == ""
    at = np.arange(4000) / 8000

    def note(frequency: float) -> np.ndarray:  # with overtones, as instruments have: two pure ones may be a key
        return sum(0.08 / number * np.sin(2 * np.pi * number * frequency * at) for number in range(1, 5))

    chords = [sum(note(110 * 2 ** (rng.integers(0, 48) / 12)) for _ in range(rng.integers(1, 5))) for _ in range(100)]
    assert digits(np.concatenate(chords)) == ""


class Dialler(Phone):
    """A phone that presses a key by tones while `key` is set, and says nothing else."""

    key = ""

    def speak(self, now: float) -> None:
        count = self.rate // 50
        at = (np.arange(count) + self._number * count) / self.rate
        sound = np.zeros(count)
        if self.key:
            row = next(number for number, keys in enumerate(KEYS) if self.key in keys)
            for frequency in (ROWS[row], COLUMNS[KEYS[row].index(self.key)]):
                sound += 5000 * np.sin(2 * np.pi * frequency * at)
        stamp = self._number * self._decoder.clock_rate // 50
        payload = self._encoder.encode(sound.astype(np.int16))
        self.receiver.push(RtpPacket(self.format.payload_type, self._number & 0xFFFF, stamp, 1, payload, False, now))
        self._number += 1


@pytest.mark.parametrize("format", [PCMU, OPUS], ids=["pcmu", "opus"])
def test_a_key_pressed_as_tones_is_told_and_hardly_heard_by_others(format) -> None:  # type: ignore[no-untyped-def]
    dialler, listener = Dialler(format, 0), Phone(PCMU, 3000, 0)
    dialler.receiver = AudioReceiver((format,))
    room = Room(dialler, listener)
    room.run(0.5)
    dialler.key = "8"
    room.run(0.4)
    assert power(listener.sound(0.2), 8000, 852) < -60
    dialler.key = ""
    events = room.run(0.5)
    (press,) = [event for event in events if isinstance(event, KeyPressed)]
    assert (press.leg, press.digit, press.by_tone) == (LegId("a"), "8", True)
    assert 340 <= press.duration <= 420


def test_tones_are_passed_over_once_telephone_events_came() -> None:
    dialler = Dialler(PCMU, 0)
    dialler.receiver = AudioReceiver((PCMU, EVENT))
    room = Room(dialler, Phone(PCMU, 3000, 0))
    dialler.key = "8"
    room.run(0.2)
    for flags in (0x0A, 0x8A):
        payload = bytes((8, flags, 4, 0))
        dialler.receiver.push(RtpPacket(101, dialler._number + 1, 5, 1, payload, False, room.now))
    room.run(0.2)
    dialler.key = ""
    events = room.run(0.5)
    presses = [event for event in room.events if isinstance(event, KeyPressed)]
    assert [(press.digit, press.by_tone) for press in presses] == [("8", False)], events


def test_a_wide_band_phone_that_agreed_on_events_is_not_listened_to() -> None:
    dialler = Dialler(OPUS, 0)
    dialler.receiver = AudioReceiver((OPUS, EVENT))
    room = Room(dialler, Phone(PCMU, 3000, 0))
    room.run(0.2)
    dialler.key = "8"
    room.run(0.3)
    dialler.key = ""
    room.run(0.5)
    assert not [event for event in room.events if isinstance(event, KeyPressed)]
