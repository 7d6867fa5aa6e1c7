"""Keys as tones in forwarded sound are told once and taken out; what is no key goes on octet for octet."""

from __future__ import annotations

import random

import numpy as np
import pytest
from test_audio_tones import ALL, digits, quiet, tone

from transcode.audio import g711
from transcode.audio.key_sounds import LEAD, PAUSE, key_sound, made
from transcode.forwarding_keys import ToneFilter
from transcode.media import Codec


def coded(sound: np.ndarray, law: Codec) -> bytes:
    return g711.encode(law, np.asarray(np.clip(sound * 32767, -32768, 32767), np.int16))


def through(filter: ToneFilter, sound: np.ndarray, law: Codec, ms: int = 20) -> np.ndarray:
    """Return what goes on of a sound, in packets of so many ms, in -1.0 to 1.0."""
    step = ms * 8
    sent = coded(sound, law)
    parts = [filter.take(sent[at : at + step]) for at in range(0, len(sent) // step * step, step)]
    return np.asarray(g711.decode(law, b"".join(parts)) / 32768.0)


@pytest.mark.parametrize("law", sorted(g711.LAWS, key=lambda one: one.value))
@pytest.mark.parametrize("ms", [20, 30, 60])
def test_each_key_is_told_once_and_does_not_go_on_as_a_tone(law: Codec, ms: int) -> None:
    filter = ToneFilter(law)
    sound = np.concatenate([np.concatenate((tone(key, 70), quiet(65))) for key in ALL])
    heard = through(filter, np.concatenate((quiet(13), sound, quiet(200))), law, ms)
    told = filter.pressed()
    assert "".join(press.digit for press in told) == ALL
    assert all(40 <= press.duration <= 90 for press in told)
    assert filter.pressed() == []
    assert digits(heard) == ""
    assert not filter.listening


def test_speech_and_one_tone_go_on_octet_for_octet() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    hum = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    sent = coded(np.concatenate((hum, 0.2 * rng.standard_normal(8000), quiet(500))), Codec.PCMA)
    filter = ToneFilter(Codec.PCMA)
    gone = b"".join(filter.take(sent[at : at + 160]) for at in range(0, len(sent), 160))
    assert gone == sent
    assert filter.pressed() == []


def test_a_key_whose_stream_ends_or_loses_a_packet_is_one_key() -> None:
    filter = ToneFilter(Codec.PCMU)
    sent = coded(tone("5", 200), Codec.PCMU)
    packets = [sent[at : at + 160] for at in range(0, len(sent), 160)]
    for number, packet in enumerate(packets):
        if number != 4:
            filter.take(packet)
    assert filter.listening
    assert filter.pressed() == []
    filter.end()
    (press,) = filter.pressed()
    assert press.digit == "5"
    assert not filter.listening


@pytest.mark.parametrize("digit", list("0123456789*#ABCD"))
def test_the_tones_that_are_made_of_a_key_are_that_key(digit: str) -> None:
    for duration in (1, 100, 432, 9000):
        sound = made(key_sound(digit, duration).name, 8000)
        assert sound is not None
        assert digits(np.concatenate((sound / 32768.0, quiet(100)))) == digit
        assert len(sound) == 8 * (LEAD + PAUSE + min(1000, max(100, round(duration / 50) * 50)))


@pytest.mark.parametrize("name", ["keys/5", "keys/E-100", "keys/5-99", "keys/5-5000", "tones/5-100", "keys/5-100/.."])
def test_what_is_no_key_is_not_made(name: str) -> None:
    assert made(name, 8000) is None
