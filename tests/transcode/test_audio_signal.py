"""Resampling, levels, talk detection and concealment: the arithmetic that the mixer stands on."""

from __future__ import annotations

import numpy as np
import pytest

from transcode.audio.floor import SEATS, Floor
from transcode.audio.levels import HANG_TICKS, SILENCE, ActiveSpeaker, Activity, levels
from transcode.audio.plc import MAX_GAP_MS, Concealer, find_lag
from transcode.audio.resample import RATES, Resampler


def tone(frequency: float, rate: int, seconds: float, amplitude: float = 0.5) -> np.ndarray:
    at = np.arange(int(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * at)).astype(np.float32)


def resampled(sound: np.ndarray, source: int, target: int) -> np.ndarray:
    resampler, step = Resampler(source, target), source // 50
    return np.concatenate([resampler(sound[at : at + step]) for at in range(0, len(sound), step)])


def gain(sound: np.ndarray, amplitude: float = 0.5) -> float:
    settled = sound[len(sound) // 4 :].astype(float)
    return float(20 * np.log10(np.sqrt(2 * np.mean(settled**2)) / amplitude + 1e-9))


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("target", RATES)
def test_a_tone_keeps_its_level_and_length_at_another_rate(source: int, target: int) -> None:
    for frequency in (300, 1000, 3300):
        result = resampled(tone(frequency, source, 1.0), source, target)
        assert len(result) == target
        assert result.dtype == np.float32
        assert abs(gain(result)) < 1.0


@pytest.mark.parametrize(("source", "target"), [(48000, 8000), (16000, 8000), (48000, 16000)])
def test_what_does_not_fit_the_lower_rate_is_taken_out(source: int, target: int) -> None:
    assert gain(resampled(tone(target * 0.58, source, 1.0), source, target)) < -40


@pytest.mark.parametrize(("source", "target"), [(8000, 48000), (8000, 16000), (16000, 48000)])
def test_going_up_makes_no_images(source: int, target: int) -> None:
    result = resampled(tone(source * 0.4, source, 1.0), source, target)
    spectrum = np.abs(np.fft.rfft(result * np.hanning(len(result))))
    images = spectrum[int(source * 0.58) :]
    assert 20 * np.log10(images.max() / spectrum.max()) < -50


def test_frames_join_without_a_seam() -> None:
    sound = tone(440, 8000, 0.2)
    whole = Resampler(8000, 48000)(sound)
    assert np.allclose(resampled(sound, 8000, 48000), whole, atol=1e-6)


def test_other_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="no resampling"):
        Resampler(44100, 8000)


def test_levels_are_in_dbov_for_all_legs_at_once() -> None:
    frames = np.stack([np.zeros(160), np.ones(160), tone(400, 8000, 0.02, 1.0)]).astype(np.float32)
    assert np.allclose(levels(frames), [SILENCE, 0.0, -3.01], atol=0.1)


def speak(activity: Activity, ticks: int, **level: float) -> list[list[int]]:
    """Run some ticks; s0=-20 gives slot 0 that level, others are at -70."""
    values = np.full(activity.size, -70, np.float32)
    for name, value in level.items():
        values[int(name[1:])] = value
    return [activity.update(values.copy()) for _ in range(ticks)]


def test_talking_begins_after_a_few_ticks_and_ends_after_a_pause() -> None:
    activity = Activity()
    slot = activity.open()
    speak(activity, 50)
    changes = speak(activity, 10, **{f"s{slot}": -20})
    assert changes[2] == [slot]
    assert activity.talking[slot]
    changes = speak(activity, HANG_TICKS + 2)
    assert [slot] in changes[HANG_TICKS - 2 :]
    assert not activity.talking[slot]


def test_steady_noise_is_no_talking_for_long() -> None:
    activity = Activity()
    slot = activity.open()
    speak(activity, 50 * 10, **{f"s{slot}": -48.0})
    assert not activity.talking[slot]
    speak(activity, 10, **{f"s{slot}": -25.0})
    assert activity.talking[slot]


def test_slots_are_given_back_and_grow() -> None:
    activity = Activity()
    slots = [activity.open() for _ in range(100)]
    assert len(set(slots)) == 100
    assert activity.size >= 100
    activity.close(slots[5])
    assert activity.open() == slots[5]


def test_the_active_speaker_is_not_taken_over_by_a_cough() -> None:
    activity, speaker = Activity(), ActiveSpeaker()
    first, second = activity.open(), activity.open()
    speak(activity, 50)

    def both(ticks: int, mine: float, other: float) -> int | None:
        for _ in range(ticks):
            speak(activity, 1, **{f"s{first}": mine, f"s{second}": other})
            speaker.update(activity, [first, second])
        return speaker.slot

    assert both(10, -20, -70) == first
    assert both(25, -20, -10) == first
    assert both(10, -20, -70) == first
    assert both(40, -20, -10) == second
    assert both(20, -70, -70) == second
    speaker.forget(second)
    assert speaker.slot is None


def test_a_seat_goes_to_one_who_begins_to_speak_when_another_rests() -> None:
    activity, floor = Activity(), Floor()
    slots = [activity.open() for _ in range(5)]
    heard = np.zeros(activity.size, np.bool_)
    heard[slots] = True
    speak(activity, 1, s0=-20, s1=-20, s2=-20)
    assert len(floor.update(activity, heard)) == SEATS
    for _ in range(15):
        speak(activity, 1, s0=-20, s1=-20)
        floor.update(activity, heard)
    speak(activity, 1, s0=-20, s1=-20, s4=-30)
    assert set(floor.update(activity, heard)) == {0, 1, 4}
    speak(activity, 1, s0=-20, s1=-20, s4=-30, s3=-28)
    assert set(floor.update(activity, heard)) == {0, 1, 4}
    heard[1] = False
    speak(activity, 1, s0=-20, s1=-20, s4=-30, s3=-28)
    assert set(floor.update(activity, heard)) == {0, 3, 4}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frequency", [80, 130, 222, 390])
def test_the_period_of_a_voice_is_found(rate: int, frequency: int) -> None:
    at = np.arange(rate // 16) / rate
    voice = sum(np.sin(2 * np.pi * frequency * n * at) / n for n in (1, 2, 3)).astype(np.float32)
    periods = find_lag(voice, rate) * frequency / rate
    assert abs(periods - round(periods)) < 0.05
    assert periods > 0.9


@pytest.mark.parametrize("rate", RATES)
def test_a_gap_is_filled_without_a_click_and_fades(rate: int) -> None:
    sound = (tone(210, rate, 0.3) * 32767).astype(np.int16)
    step = 0.5 * 32767 * 2 * np.pi * 210 / rate
    concealer, cut = Concealer(rate), rate // 10
    filled = [concealer.conceal(sound[:cut], rate // 50) for _ in range(5)]
    after = concealer.resume(sound[2 * cut : 2 * cut + rate // 50])
    whole = np.concatenate([sound[:cut], *filled, after]).astype(int)
    assert np.abs(np.diff(whole)).max() < 1.5 * step
    assert np.abs(filled[0]).max() > 12_000
    gone = np.concatenate(filled)[rate * MAX_GAP_MS // 1000 :]
    assert 0 < np.abs(gone).max() < 400
    assert not concealer.active


def test_a_gap_after_nothing_is_near_silence() -> None:
    assert np.abs(Concealer(8000).conceal(np.zeros(0, np.int16), 160)).max() < 20
    assert np.abs(Concealer(8000).conceal(np.zeros(480, np.int16), 160)).max() < 20
    assert len(Concealer(8000).conceal(np.ones(200, np.int16), 160)) == 160
