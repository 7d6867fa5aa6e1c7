"""Sounds that are played: what is heard when, by whom, over what, and what it costs others."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from mixer_room import G722, OPUS, PCMU, Phone, Room, hears, power, worst_step
from sound_files import library, make_sounds, tone, write

from transcode.audio.mixer import SoundsEnded
from transcode.audio.player import DUCKED, MAX_SOUNDS, Voice
from transcode.media import Codec, Format, LegId, Sound

A, B, C = LegId("a"), LegId("b"), LegId("c")
ONE, TWO, THREE, SHORT = Sound("test/one"), Sound("test/two"), Sound("test/three"), Sound("tones/short")


class Stage:
    """A room of phones that can be played sounds; the first speaks at 300 Hz."""

    def __init__(self, directory: Path, *formats: Format, seconds: float = 0.4, amplitude: float = 4000) -> None:
        self.library = library(make_sounds(directory, seconds))
        self.room = Room()
        self.voices: dict[LegId, Voice] = {}
        for number, format in enumerate(formats):
            name = chr(ord("a") + number)
            voice = self.voices[LegId(name)] = Voice(self.library)
            phone = Phone(format, 300, 0 if number else amplitude)
            self.room.join(name, phone, voice=voice)
        self.run(1.0)

    def play(self, leg: LegId, *sounds: Sound, number: int = 1) -> None:
        self.voices[leg].play(sounds, number)
        self.room.mixer.play(leg)

    def run(self, seconds: float) -> list[SoundsEnded]:
        return [event for event in self.room.run(seconds) if isinstance(event, SoundsEnded)]

    def phone(self, leg: LegId) -> Phone:
        return self.room.phones[leg]


@pytest.mark.parametrize("format", [PCMU, G722, OPUS], ids=lambda format: format.codec.value)
def test_one_leg_hears_sounds_in_order_and_the_end_is_told_once(tmp_path: Path, format: Format) -> None:
    stage = Stage(tmp_path, PCMU, format, format)
    stage.play(B, ONE, Sound("test/two", pause=200), number=7)
    assert stage.run(0.4) == []
    assert hears(stage.phone(B), 1000, 0.2)
    assert not hears(stage.phone(B), 2100, 0.2)
    assert stage.run(0.16) == []
    assert not hears(stage.phone(B), 1000, 0.06)
    assert stage.run(0.6) == [SoundsEnded(B, 7)]
    assert hears(stage.phone(B), 2100, 0.5)
    assert stage.run(1.0) == []
    assert not any(hears(stage.phone(B), frequency) for frequency in (1000, 2100))
    assert not any(hears(stage.phone(C), frequency, 2.0) for frequency in (1000, 2100))


def test_a_sound_breaks_off_what_was_played_before_without_a_word_or_a_click(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, PCMU, seconds=3.0, amplitude=0)
    stage.play(B, ONE, number=1)
    stage.run(0.5)
    stage.play(B, TWO, number=2)
    stage.run(0.1)
    assert stage.run(0.4) == []
    assert not hears(stage.phone(B), 1000, 0.3)
    assert hears(stage.phone(B), 2100, 0.3)
    stage.play(B)
    assert stage.run(3.0) == []
    assert not hears(stage.phone(B), 2100, 2.5)
    assert worst_step(stage.phone(B).sound(3.0)) < 1.2 * 0.25 * 32767 * 2 * np.pi * 2100 / 8000


def test_the_room_is_turned_down_under_a_prompt_and_comes_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, PCMU, PCMU, seconds=1.5)
    before = power(stage.phone(B).sound(0.5), 8000, 300)
    stage.play(B, ONE)
    stage.run(1.0)
    under = power(stage.phone(B).sound(0.5), 8000, 300)
    assert under - before == pytest.approx(20 * math.log10(DUCKED), abs=1.0)
    assert power(stage.phone(C).sound(0.5), 8000, 300) == pytest.approx(before, abs=0.5)
    stage.run(2.5)
    assert power(stage.phone(B).sound(0.5), 8000, 300) == pytest.approx(before, abs=0.5)


def test_nothing_is_turned_down_under_a_tone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, PCMU)
    before = power(stage.phone(B).sound(0.1), 8000, 300)
    stage.play(B, SHORT)
    stage.run(0.1)
    assert hears(stage.phone(B), 1700, 0.1)
    assert power(stage.phone(B).sound(0.1), 8000, 300) == pytest.approx(before, abs=1.5)


@pytest.mark.parametrize("format", [PCMU, G722, OPUS], ids=lambda format: format.codec.value)
def test_others_go_on_sharing_their_stream_and_the_leg_comes_back_to_it(tmp_path: Path, format: Format) -> None:
    stage = Stage(tmp_path, PCMU, format, format, format)
    mixer = stage.room.mixer

    def encodes(seconds: float) -> int:
        before = mixer.encodes
        stage.run(seconds)
        return mixer.encodes - before

    calm = encodes(1.0)
    stage.play(B, ONE)
    assert calm < encodes(1.0) <= calm * 2
    stage.run(1.0)
    assert encodes(1.0) == calm
    assert worst_step(np.concatenate(stage.phone(C).heard)[stage.phone(C).rate :]) < 4000
    assert power(stage.phone(B).sound(0.5), stage.phone(B).rate, 300) == pytest.approx(
        power(stage.phone(C).sound(0.5), stage.phone(C).rate, 300), abs=0.5
    )


def test_who_may_not_listen_hears_what_it_is_played_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, PCMU)
    stage.room.mixer.plan({}, {B: False})
    stage.play(B, ONE)
    stage.run(0.3)
    assert hears(stage.phone(B), 1000, 0.2)
    assert not hears(stage.phone(B), 300, 0.2)


def test_who_talks_hears_the_prompt_and_the_others_but_not_itself(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, PCMU, seconds=1.0)
    stage.phone(B).frequency, stage.phone(B).amplitude = 700, 4000
    stage.run(0.5)
    stage.play(B, ONE)
    stage.run(0.8)
    assert hears(stage.phone(B), 1000, 0.4)
    assert power(stage.phone(B).sound(0.4), 8000, 300) > -45
    assert power(stage.phone(B).sound(0.4), 8000, 700) < -60
    assert hears(stage.phone(A), 700, 0.4)
    assert not hears(stage.phone(A), 1000, 0.4)


def test_sounds_without_file_are_left_out_and_the_end_is_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, PCMU)
    stage.play(B, Sound("test/nothing"), ONE, Sound("../conf/passwords", 500), number=3)
    stage.run(0.3)
    assert hears(stage.phone(B), 1000, 0.2)
    assert stage.run(0.3) == [SoundsEnded(B, 3)]
    stage.play(B, Sound("test/nothing"), number=4)
    assert stage.run(0.1) == [SoundsEnded(B, 4)]


def test_a_sound_waits_for_a_way_to_the_leg(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, PCMU)
    late = Phone(PCMU, 900, 0)
    voice = stage.voices[C] = Voice(stage.library)
    voice.play((ONE,), 5)  # it has no receiver yet
    stage.run(0.2)
    stage.room.mixer.add(C, late.receiver, voice=voice)
    stage.room.phones["c"] = late
    assert stage.run(1.0) == []  # nobody said yet how it is sent to
    ready = False
    stage.room.mixer.set_sender(C, PCMU, late.hear, ready=lambda: ready)
    assert stage.run(1.0) == []  # its keys are not there yet
    ready = True
    assert stage.run(0.5) == [SoundsEnded(C, 5)]
    assert hears(late, 1000, 0.4)


def test_what_is_played_goes_on_in_another_room(tmp_path: Path) -> None:
    stage, other = Stage(tmp_path, PCMU, PCMU, seconds=1.0), Room()
    stage.play(B, ONE, number=9)
    stage.run(0.4)
    phone = stage.room.phones.pop("b")
    stage.room.mixer.remove(B)
    other.join("b", phone, voice=stage.voices[B])
    events = other.run(0.5)
    assert hears(phone, 1000, 0.4)
    assert SoundsEnded(B, 9) not in events
    assert SoundsEnded(B, 9) in other.run(0.3)


def test_a_clip_that_is_still_being_read_is_waited_for(tmp_path: Path) -> None:
    jobs = []
    stage = Stage(tmp_path, PCMU, PCMU)
    stage.library = library(tmp_path, lambda job: jobs.append(job) is None)
    voice = Voice(stage.library)
    stage.room.join("c", Phone(PCMU, 300, 0), voice=voice)
    voice.play((ONE,), 2)
    stage.room.mixer.play(C)
    assert stage.run(1.0) == []
    jobs.pop()()
    assert stage.run(0.5) == [SoundsEnded(C, 2)]
    assert hears(stage.phone(C), 1000, 0.4)


def test_all_who_listen_hear_an_announcement_and_share_its_encode(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, PCMU, PCMU, PCMU)
    stage.room.mixer.plan({}, {LegId("d"): False})
    mixer, voice = stage.room.mixer, Voice(stage.library)
    voice.append((ONE,))
    mixer.play_all(voice)
    voice.append((TWO,))
    before = mixer.encodes
    stage.run(0.4)
    assert mixer.encodes - before <= 3 * 20  # for the one who talks, for those who listen, for the one who may not
    assert all(hears(stage.phone(leg), 1000, 0.3) for leg in (A, B, C))
    assert not hears(stage.phone(LegId("d")), 1000, 0.3)
    stage.run(0.4)
    assert all(hears(stage.phone(leg), 2100, 0.3) for leg in (A, B, C))
    assert not hears(stage.phone(A), 1000, 0.3)
    stage.run(1.2)
    assert not any(hears(stage.phone(leg), 2100, 0.6) for leg in (A, B, C))
    assert not mixer._beside


def test_a_background_goes_round_without_a_seam_and_is_encoded_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, OPUS, OPUS, OPUS, amplitude=0)
    # A whole number of periods, but not of ticks: joined it is one unbroken tone.
    write(tmp_path / "music" / "round.wav", tone(440, 1 / 440 * 123, 48000, 0.1), 48000)
    mixer, voice = stage.room.mixer, Voice(stage.library, background=True)
    voice.play((Sound("music/round"),))
    mixer.play_all(voice)
    stage.run(0.5)
    before = mixer.encodes
    stage.run(4.0)
    assert mixer.encodes - before <= 2 * 200
    for leg in (A, B):
        heard = stage.phone(leg).sound(3.5).astype(float)
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        near = round(440 * len(heard) / stage.phone(leg).rate)
        rest = np.concatenate((spectrum[10 : near - 40], spectrum[near + 40 :]))
        assert np.sqrt(np.sum(rest**2)) < 0.05 * np.sqrt(np.sum(spectrum**2))
    voice.play(())
    stage.run(0.4)
    assert not hears(stage.phone(B), 440, 0.3)
    assert not mixer._beside


def test_a_loud_background_is_brought_down_and_who_is_alone_hears_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, amplitude=4000)
    voice = Voice(stage.library, background=True)
    voice.play((ONE,))
    stage.room.mixer.play_all(voice)
    stage.run(1.0)
    assert -35 < power(stage.phone(A).sound(0.5), 8000, 1000) < -24
    assert power(stage.phone(A).sound(0.5), 8000, 300) < -60


def test_no_number_of_sounds_makes_it_grow(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, PCMU)
    voice = stage.voices[B]
    for _ in range(50):
        voice.append((ONE,) * 10)
    assert voice._player is not None
    assert voice._player.count == MAX_SOUNDS
    for number in range(200):
        stage.play(B, ONE, number=number)
    stage.run(0.1)
    assert stage.run(1.0) == [SoundsEnded(B, 199)]
    assert not stage.room.mixer._played


def test_a_mixer_that_plays_nothing_does_no_more_than_before(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PCMU, PCMU, PCMU)
    stage.play(B, ONE)
    stage.run(3.0)
    mixer = stage.room.mixer
    assert not mixer._played
    assert not mixer._beside
    before = mixer.encodes
    stage.run(1.0)
    assert mixer.encodes - before == 100  # the speaker's silence and the listeners' stream


def test_codecs_of_each_rate_hear_the_same_sound(tmp_path: Path) -> None:
    stage = Stage(tmp_path, *(Format(codec, 0, 8000) for codec in (Codec.PCMA, Codec.G723)), G722, OPUS, amplitude=0)
    voice = Voice(stage.library)
    voice.append((Sound("test/one"),))
    stage.room.mixer.play_all(voice)
    stage.run(0.42)
    levels = [power(phone.sound(0.2), phone.rate, 1000) for phone in stage.room.phones.values()]
    assert max(levels) - min(levels) < 2
