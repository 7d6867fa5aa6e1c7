"""The library of sounds: which file is read, what becomes of a wrong one, and what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mixer_room import power
from sound_files import at_once, library, make_sounds, tone, write
from structlog.testing import capture_logs

from transcode.audio import sounds
from transcode.audio.sounds import SoundLibrary, State


def test_a_sound_is_the_same_at_every_rate(tmp_path: Path) -> None:
    clip = library(make_sounds(tmp_path)).clip("test/one")
    assert clip.state is State.READY
    assert clip.length == 3200
    for rate, samples in clip.sounds.items():
        assert len(samples) == clip.length * rate // 8000
        assert power(samples, rate, 1000) == pytest.approx(-12, abs=0.5)
    assert clip.level == pytest.approx(-15, abs=0.5)


def test_the_first_directory_that_has_a_sound_wins_file_by_file(tmp_path: Path) -> None:
    write(tmp_path / "own" / "en" / "welcome.wav", tone(500, 0.3))
    for name in ("welcome", "goodbye"):
        write(tmp_path / "shipped" / "en" / f"{name}.wav", tone(900, 0.3))
    both = SoundLibrary([tmp_path / "own", tmp_path / "nowhere", tmp_path / "shipped"], at_once)
    assert power(both.clip("en/welcome").sounds[8000], 8000, 500) > -15
    assert power(both.clip("en/goodbye").sounds[8000], 8000, 900) > -15


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_a_file_may_have_any_rate(tmp_path: Path, rate: int) -> None:
    write(tmp_path / "en" / "welcome.wav", tone(700, 0.5, rate), rate)
    clip = library(tmp_path).clip("en/welcome")
    assert clip.length / 8000 == pytest.approx(0.5, abs=0.01)
    assert power(clip.sounds[16000], 16000, 700) == pytest.approx(-12, abs=1)


@pytest.mark.parametrize("data", [b"", b"no sound at all", b"RIFF\x24\x00\x00\x00WAVEfmt ", b"OggS" + bytes(500)])
def test_a_file_that_is_none_is_told_of_once_and_left_out(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "welcome.ogg").write_bytes(data)
    one = library(tmp_path)
    with capture_logs() as logs:
        for _ in range(3):
            assert one.clip("en/welcome").state in (State.MISSING, State.READY)
    assert len(logs) <= 1
    if not logs:  # FFmpeg made an empty sound of it
        assert not np.any(one.clip("en/welcome").sounds[8000])


def test_a_missing_file_is_told_of_once_and_found_when_it_is_there(tmp_path: Path) -> None:
    one = library(tmp_path)
    with capture_logs() as logs:
        assert one.clip("en/late").state is State.MISSING
        assert one.clip("en/late").state is State.MISSING
        assert [(line["event"], line["sound"]) for line in logs] == [("sound_missing", "en/late")]
        write(tmp_path / "en" / "late.wav", tone(700, 0.2))
        assert one.clip("en/late").state is State.READY
    assert len(logs) == 1


@pytest.mark.parametrize(
    "name",
    ["", "welcome", "../en/welcome", "en/../../x", "/etc/passwd", "en/a/b", "en/x\x00", "en/" + "x" * 200, "EN/x"],
)
def test_no_name_leads_out_of_the_directories(tmp_path: Path, name: str) -> None:
    asked = []
    one = SoundLibrary([make_sounds(tmp_path)], lambda job: asked.append(job) is None)
    assert one.clip(name).state is State.MISSING
    assert not asked


def test_a_sound_that_never_ends_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "MAX_SECONDS", 1)
    write(tmp_path / "en" / "long.wav", tone(700, 3.0))
    assert library(tmp_path).clip("en/long").length == 8000


def test_what_was_not_asked_for_for_longest_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        write(tmp_path / "en" / f"{number}.wav", tone(700, 0.1))
    one = library(tmp_path)
    size = one.clip("en/0").octets
    monkeypatch.setattr(sounds, "MAX_OCTETS", 4 * size)
    clips = [one.clip(f"en/{number}") for number in range(8) if one.clip("en/0")]
    assert sum(clip.octets for clip in one._clips.values()) <= 5 * size
    assert one.clip("en/0") is clips[0]
    assert one.clip("en/7") is clips[7]
    assert one.clip("en/1") is not clips[1]
    monkeypatch.setattr(sounds, "MAX_CLIPS", 2)
    one.clip("en/3")
    assert len(one._clips) <= 2


def test_a_worker_that_takes_no_more_work_is_no_fault(tmp_path: Path) -> None:
    one = SoundLibrary([make_sounds(tmp_path)], lambda job: False)
    assert one.clip("test/one").state is State.MISSING
    assert not one._clips
