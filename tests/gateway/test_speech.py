"""Names are spoken: by a program of another process, in bounds, and without trust in what a name holds."""

from __future__ import annotations

import asyncio
import stat
import wave
from pathlib import Path

import pytest

from gateway.ivr import speech
from gateway.ivr.speech import MAX_WORDS, Speaker, clean_words, mended
from gateway.ivr.texts import shipped


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine may take seconds to start a program; what is tested here is not how fast that goes.
    monkeypatch.setattr(speech, "TIME", 50.0)


def fake(directory: Path, body: str) -> str:
    """Write a program that stands for espeak-ng."""
    path = directory / "speak"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def sound(directory: Path) -> Path:
    path = directory / "made.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 22050, 0, "NONE", ""))
        file.writeframes(bytes(4410))
    return path


async def test_a_name_is_spoken_once_and_kept_under_its_words(tmp_path: Path) -> None:
    program = fake(tmp_path, f'echo "$(cat)" >>"{tmp_path}/said"; cat "{sound(tmp_path)}"')
    speaker = Speaker(tmp_path / "sounds", shipped(), program)
    assert speaker.can_speak
    first, again, other = await asyncio.gather(
        speaker.speak("en", "Ann Lee"), speaker.speak("en", " Ann  Lee\n"), speaker.speak("de", "Ann Lee")
    )
    assert first == again != other
    assert first == await speaker.speak("en", "Ann Lee")
    assert first is not None
    assert first.startswith("spoken/")
    assert (tmp_path / "said").read_text() == "Ann Lee\n" * 2
    with wave.open(str(tmp_path / "sounds" / f"{first}.wav")) as file:
        assert file.getnframes() == 2205
    await speaker.close()


@pytest.mark.interop
async def test_espeak_ng_speaks_names_of_many_alphabets(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path, shipped())
    for language, name in (("en", "José García-Núñez"), ("ru", "Анна"), ("zh", "王小明")):
        made = await speaker.speak(language, name)
        assert made is not None
        with wave.open(str(tmp_path / f"{made}.wav")) as file:
            assert 0.2 < file.getnframes() / file.getframerate() < 10


async def test_without_the_program_it_says_that_it_cannot(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path, shipped(), "no-such-program-anywhere")
    assert not speaker.can_speak
    assert await speaker.speak("en", "Ann") is None


@pytest.mark.parametrize("body", ["exit 1", "cat", "echo nonsense", "kill -9 $$"])
async def test_a_program_that_makes_no_sound_is_no_fault_of_the_call(tmp_path: Path, body: str) -> None:
    speaker = Speaker(tmp_path / "sounds", shipped(), fake(tmp_path, body))
    assert await speaker.speak("en", "Ann") is None
    assert not (tmp_path / "sounds").exists()


async def test_a_program_that_hangs_or_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "TIME", 0.3)
    speaker = Speaker(tmp_path / "sounds", shipped(), fake(tmp_path, "exec sleep 60"))
    assert await speaker.speak("en", "Ann") is None
    monkeypatch.setattr(speech, "TIME", 50.0)
    speaker = Speaker(tmp_path / "sounds", shipped(), fake(tmp_path, "exec cat /dev/zero"))
    assert await speaker.speak("en", "Ann") is None


async def test_only_so_many_files_are_kept_and_so_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "MAX_FILES", 3)
    monkeypatch.setattr(speech, "MAX_WAITING", 4)
    speaker = Speaker(tmp_path / "sounds", shipped(), fake(tmp_path, f'cat "{sound(tmp_path)}"'))
    made = [await speaker.speak("en", f"Ann {number}") for number in range(5)]
    assert None not in made
    assert len(list((tmp_path / "sounds" / "spoken").iterdir())) == 3
    crowd = await asyncio.gather(*(speaker.speak("en", f"Bob {number}") for number in range(20)))
    assert sum(one is not None for one in crowd) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ann", "Ann"),
        ("<speak>[[a]] &amp; -v x</speak>", "speak a amp -v x speak"),
        ("-f /etc/passwd", "f etc passwd"),
        ("a\x00\x1b[31mb\u202ec", "a 31mb c"),
        ("$(reboot); `id`", "reboot id"),
        ("名 李", "名 李"),
        ("☎ ✆", ""),
        ("x" * 500, "x" * MAX_WORDS),
    ],
)
def test_only_words_are_left_of_a_name(text: str, words: str) -> None:
    assert clean_words(text) == words


def test_a_file_that_is_none_is_refused() -> None:
    for data in (b"", b"RIFF", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0"):
        with pytest.raises(ValueError, match="no sound"):
            mended(data)
