"""The ear for prompts that other tests trust: each is known through a telephone's codec, and taken for no other."""

from __future__ import annotations

import numpy as np
import pytest
from recognising import heard_in_order, heard_prompts, holds_part, likeness, recorded

from gateway.bench import sound
from gateway.bench.sound import Samples
from gateway.ivr.texts import LANGUAGES, shipped
from transcode.audio.resample import Resampler

SEED = 8


def by_telephone(*names: str, noise: float = 20.0, pause: float = 0.3, shift: int = 37) -> tuple[Samples, int]:
    """Return prompts one after the other as a phone hears them: G.711, noise, at no round time."""
    silence = np.zeros(round(pause * 16000), np.float32)
    parts = [silence]
    for name in names:
        parts += [recorded(name)[0].astype(np.float32) / 32768, silence]
    whole = np.concatenate(parts)
    narrow = Resampler(16000, 8000)(whole[: len(whole) // 2 * 2])[shift:] * 32767
    narrow = narrow + np.random.default_rng(SEED).normal(0, noise, len(narrow))
    return sound.from_pcmu(sound.to_pcmu(np.clip(narrow, -32000, 32000).astype(np.int16))), 8000


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_prompt_of_a_language_is_taken_for_itself_alone(language: str) -> None:
    names = [f"{language}/{name}" for name in shipped().language(language).prompts]
    for first in range(0, len(names), 26):
        chosen = names[first : first + 26]
        found = heard_prompts(by_telephone(*chosen), names)
        assert [one.name for one in found] == chosen
        assert all(one.likeness > 0.9 for one in found)


def test_when_a_prompt_was_heard_is_told() -> None:
    recording = by_telephone("en/wrong-pin", "en/enter-pin", pause=1.0, shift=0)
    first, second = heard_prompts(recording, ["en/enter-pin", "en/wrong-pin"])
    assert first.at == pytest.approx(1.0, abs=0.05)
    assert second.at == pytest.approx(2.0 + len(recorded("en/wrong-pin")[0]) / 16000, abs=0.05)
    assert heard_in_order(recording, "en/wrong-pin", "en/enter-pin")
    assert not heard_in_order(recording, "en/enter-pin", "en/wrong-pin")
    assert not heard_in_order(recording, "en/wrong-pin", "en/goodbye")


def test_a_prompt_is_known_over_another_voice_and_with_packets_lost() -> None:
    samples, rate = by_telephone("de/enter-room")
    other = sound.from_pcmu(sound.to_pcmu(recorded("fr/waiting-for-host")[0][::2]))[: len(samples)]
    mixed = samples.astype(float)
    mixed[: len(other)] += 0.15 * other
    for at in np.random.default_rng(SEED).integers(0, len(mixed) // 160 - 1, len(mixed) // 160 // 30):
        mixed[at * 160 : at * 160 + 160] = 0
    names = [f"de/{name}" for name in shipped().language("de").prompts]
    assert "de/enter-room" in [one.name for one in heard_prompts((mixed.astype(np.int16), rate), names)]


def test_a_prompt_is_known_though_packets_were_left_out_and_doubled() -> None:
    samples, rate = by_telephone("en/waiting-for-host")
    packets = [samples[at : at + 160] for at in range(0, len(samples) - 159, 160)]
    for place, copies in ((200, 2), (150, 0), (120, 0), (90, 2), (70, 2), (60, 2)):
        packets[place : place + 1] = packets[place : place + 1] * copies
    names = [f"en/{name}" for name in shipped().language("en").prompts]
    assert [one.name for one in heard_prompts((np.concatenate(packets), rate), names)] == ["en/waiting-for-host"]


def test_silence_noise_and_other_languages_are_no_prompt() -> None:
    names = [f"en/{name}" for name in shipped().language("en").prompts if not name.startswith("number-")]
    noise = np.random.default_rng(SEED).normal(0, 1000, 40000).astype(np.int16)
    for recording in (
        (np.zeros(40000, np.int16), 8000),
        (noise, 8000),
        by_telephone("de/knocking"),
        (noise[:10], 8000),
    ):
        assert heard_prompts(recording, names) == []
    assert likeness(by_telephone("de/knocking"), "en/knocking") < 0.6


def test_music_and_tones_are_known_too() -> None:
    recording = by_telephone("tones/knock", "tones/enter", "tones/leave")
    found = heard_prompts(recording, ["tones/leave", "tones/enter", "tones/knock"])
    assert [one.name for one in found] == ["tones/knock", "tones/enter", "tones/leave"]


def test_a_part_of_the_music_is_known_wherever_it_begins() -> None:
    samples, rate = by_telephone("music/waiting")
    for begin in (0.0, 5.3, 16.7):
        part = samples[round(begin * rate) : round((begin + 6.5) * rate)]
        assert holds_part((part, rate), "music/waiting")
    assert not holds_part(by_telephone("en/waiting-for-host", "en/knocking"), "music/waiting")
    assert not holds_part((np.zeros(80000, np.int16), 8000), "music/waiting")
