"""Music that many rooms hear at one place of it: what each hears, beside what, and what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mixer_room import G722, G723, OPUS, PCMU, Phone, Room, hears, power, worst_step
from sound_files import library, make_sounds, tone, write

from transcode.audio.mixer import Mixer
from transcode.audio.player import Voice
from transcode.audio.station import Station, Stations
from transcode.media import Format, LegId, Sound

LONG, OTHER = (Sound("music/long"),), (Sound("music/other"),)
A, B = LegId("a"), LegId("b")


class Plane:
    """Rooms with phones in virtual time, mixed one after the other as a plane does."""

    def __init__(self, directory: Path) -> None:
        make_sounds(directory)
        write(directory / "music" / "long.wav", tone(440, 10.0, level=0.03))
        write(directory / "music" / "other.wav", tone(660, 10.0, level=0.03))
        self.library = library(directory)
        self.stations = Stations(self.library)
        self.rooms: list[Room] = []
        self.voices: list[Voice] = []

    def room(self, *formats: Format, frequency: float = 300, amplitude: float = 0, time: int = 20) -> Room:
        """Open a room with a phone of each format; the first one speaks, where it has an amplitude."""
        room = Room()
        room.mixer = Mixer(position=self.stations.position)
        for number, format in enumerate(formats):
            voice = Voice(self.library)
            self.voices.append(voice)
            phone = Phone(format, frequency, 0 if number else amplitude)
            room.join(chr(ord("a") + number), phone, time, voice)
        self.rooms.append(room)
        return room

    def station(self, sounds: tuple[Sound, ...] = LONG) -> Station:
        found = self.stations.find(sounds)
        assert found is not None
        return found

    def tune(self, *rooms: Room) -> None:
        for room in rooms:
            room.mixer.tune(self.station())

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.stations.advance()
            for room in self.rooms:
                room.run(0.02)

    def encodes(self, seconds: float) -> tuple[int, int]:
        """Return what is encoded in so many seconds: for single rooms, and for all together."""
        before = sum(room.mixer.encodes for room in self.rooms), self.stations.encodes
        self.run(seconds)
        return sum(room.mixer.encodes for room in self.rooms) - before[0], self.stations.encodes - before[1]


def test_fifty_who_wait_by_telephone_and_ten_by_opus_cost_two_encoders(tmp_path: Path) -> None:
    plane = Plane(tmp_path)
    rooms = [plane.room(PCMU) for _ in range(50)] + [plane.room(OPUS) for _ in range(10)]
    plane.tune(*rooms)
    plane.run(0.5)
    assert plane.encodes(1.0) == (0, 2 * 50)
    assert all(hears(room.phones["a"], 440) for room in rooms)
    assert all(len(room.phones["a"].heard) == 75 for room in rooms)


@pytest.mark.parametrize("format", [PCMU, G722, OPUS, G723], ids=lambda format: format.codec.value)
def test_who_comes_later_hears_it_where_it_is_and_nothing_is_lost_on_the_way(tmp_path: Path, format: Format) -> None:
    plane = Plane(tmp_path)
    first = plane.room(format)
    plane.tune(first)
    plane.run(1.02)  # no whole number of packets of 30 ms
    later = plane.room(format)
    plane.run(0.3)
    plane.tune(later)
    plane.run(1.0)
    one, two = first.phones["a"], later.phones["a"]
    assert [payload for payload, _, _ in one.sent[-8:]] == [payload for payload, _, _ in two.sent[-8:]]
    assert all(hears(phone, 440, 0.5) for phone in (one, two))
    for phone, seconds in ((one, 2.32), (two, 1.3)):
        sent = sum(ticks for _, ticks, _ in phone.sent) / format.clock_rate
        assert seconds - 0.04 <= sent <= seconds
        assert worst_step(phone.sound(1.0)) < 2500 * (8000 / phone.rate) + 300
    assert plane.encodes(0.6) == (0, {PCMU: 30, G722: 30, OPUS: 30, G723: 20}[format])


@pytest.mark.parametrize("format", [PCMU, OPUS], ids=lambda format: format.codec.value)
def test_a_prompt_is_heard_above_it_by_one_alone_and_then_it_goes_on(tmp_path: Path, format: Format) -> None:
    plane = Plane(tmp_path)
    told, other = plane.room(format), plane.room(format)
    plane.tune(told, other)
    plane.run(1.0)
    before = power(told.phones["a"].sound(0.5), told.phones["a"].rate, 440)
    plane.voices[0].play((Sound("test/one"),), 1)
    told.mixer.play(A)
    plane.run(0.38)
    assert hears(told.phones["a"], 1000, 0.2)
    assert power(told.phones["a"].sound(0.2), told.phones["a"].rate, 440) < before - 10
    assert not hears(other.phones["a"], 1000, 0.3)
    plane.run(1.5)
    assert power(told.phones["a"].sound(0.5), told.phones["a"].rate, 440) == pytest.approx(before, abs=0.5)
    assert plane.encodes(1.0) == (0, 50)
    assert worst_step(told.phones["a"].sound(3.0)) < 9000


def test_who_talks_while_it_waits_hears_the_music_and_not_itself(tmp_path: Path) -> None:
    plane = Plane(tmp_path)
    room = plane.room(PCMU, frequency=300, amplitude=6000)
    plane.tune(room)
    plane.run(1.0)
    assert plane.encodes(1.0) == (0, 50)
    assert hears(room.phones["a"], 440)
    assert power(room.phones["a"].sound(0.5), 8000, 300) < -60


def test_people_who_talk_are_heard_beside_it(tmp_path: Path) -> None:
    plane = Plane(tmp_path)
    room = plane.room(PCMU, PCMU, PCMU, amplitude=6000)
    plane.tune(room)
    plane.run(1.5)
    for name, speaks in (("a", False), ("b", True), ("c", True)):
        assert hears(room.phones[name], 440)
        assert (power(room.phones[name].sound(0.5), 8000, 300) > -30) is speaks


def test_it_ends_and_is_followed_by_another_without_a_click(tmp_path: Path) -> None:
    plane = Plane(tmp_path)
    room = plane.room(PCMU)
    plane.tune(room)
    plane.run(1.01)
    room.mixer.tune(plane.station(OTHER))
    plane.run(1.0)
    assert hears(room.phones["a"], 660)
    assert not hears(room.phones["a"], 440)
    room.mixer.tune(plane.station(LONG))
    room.mixer.tune(None)  # in the same tick: it was never heard
    plane.run(0.5)
    assert not any(hears(room.phones["a"], frequency, 0.4) for frequency in (440, 660))
    assert worst_step(room.phones["a"].sound(2.5)) < 2 * 0.03 * 32767 * 2 * np.pi * 660 / 8000
    assert not room.mixer.plays
    assert not plane.stations._stations


def test_an_announcement_turns_it_down_and_one_who_may_not_listen_hears_nothing(tmp_path: Path) -> None:
    plane = Plane(tmp_path)
    room = plane.room(PCMU, PCMU)
    room.mixer.plan({}, {B: False})
    plane.tune(room)
    plane.run(1.0)
    before = power(room.phones["a"].sound(0.5), 8000, 440)
    voice = Voice(plane.library)
    voice.append((Sound("test/one"),))
    room.mixer.play_all(voice)
    plane.run(0.38)
    assert hears(room.phones["a"], 1000, 0.2)
    assert power(room.phones["a"].sound(0.2), 8000, 440) < before - 10
    assert power(room.phones["b"].sound(1.0), 8000, 440) < -60
    plane.run(1.5)
    assert hears(room.phones["a"], 440)


def test_a_station_that_nobody_hears_is_closed_and_no_stream_is_left(tmp_path: Path) -> None:
    plane = Plane(tmp_path)
    rooms = [plane.room(PCMU), plane.room(OPUS)]
    plane.tune(*rooms)
    plane.run(0.5)
    station = plane.station()
    assert (station.tuned, len(station.streams)) == (2, 2)
    encoded = plane.stations.encodes
    for room in plane.rooms:
        room.mixer.remove(A)
        room.mixer.close()
    plane.rooms = []
    assert (station.tuned, station.streams) == (0, {})
    plane.run(0.1)
    assert not plane.stations._stations
    assert plane.stations.encodes == encoded


def test_a_ring_tone_and_no_sound_at_all_are_one_room_s_own_matter(tmp_path: Path) -> None:
    plane = Plane(tmp_path)
    assert plane.stations.find(()) is None
    assert plane.stations.find((Sound("tones/ringback"),)) is None
    assert plane.stations.find((Sound("music/long"), Sound("tones/beep"))) is None
    assert plane.stations.find((Sound("music/long", 100),)) is not plane.stations.find(LONG)
