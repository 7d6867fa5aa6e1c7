"""Makes the sounds that are shipped, or an operator's own.

`python -m gateway.ivr.make_prompts [DIRECTORY [LANGUAGE ...]]`

Prompts are spoken by espeak-ng from texts.yaml (of the directory, where one lies there, over the shipped one), brought
to one loudness and coded as Ogg Opus. Without a language all are made, and tones and music, which are arithmetic. Run
twice it makes the same octets. What each file says is noted beside them in words.tsv: its name, the digest of its
octets, the voice, and the words. Nothing of it runs in the gateway.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from gateway.ivr.speech import command, spoken
from gateway.ivr.texts import PROMPTS, with_own

WORDS = "words.tsv"
"""File that tells what each prompt of a directory says."""

RATE = 48_000
VOICE_RATE, MUSIC_RATE = 24_000, 32_000
"""bit/s of speech and tones, and of music."""
LOUDNESS = -22.0
"""dBov of a prompt while it speaks: a little above people, who are at about -24."""
MUSIC_LOUDNESS = -31.0
"""dBov of the waiting music: behind a voice."""
PEAK = 0.85
"""Share of full scale that a prompt's highest sample may take."""
BEFORE, BEHIND = 0.04, 0.12
"""Seconds of silence around a prompt."""

Sound = NDArray[np.float64]


def main(arguments: Sequence[str]) -> None:
    """Make what the command line asks for."""
    directory = Path(arguments[0]) if arguments else PROMPTS
    texts = with_own(directory)
    said = read_words(directory)
    for name in arguments[1:] or texts.languages:
        language = texts.language(name)
        for prompt, text in language.prompts.items():
            path, words = directory / name / f"{prompt}.ogg", language.spoken(text)
            write(path, speech(spoken_wav(command(language), words)))
            said[f"{name}/{prompt}"] = (digest(path), language.voice, words)
    write_words(directory, said)
    if not arguments[1:]:
        for name, sound in tones().items():
            write(directory / "tones" / f"{name}.ogg", sound)
        write(directory / "music" / "waiting.ogg", waiting_music(), MUSIC_RATE)
    print(sum(file.stat().st_size for file in directory.rglob("*.ogg")), "octets below", directory)


Said = dict[str, tuple[str, str, str]]
"""Of each prompt the digest of its file, the voice that spoke it, and its words."""


def digest(path: Path) -> str:
    """Return what tells a file from another one."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def read_words(directory: Path) -> Said:
    """Return what was noted of a directory's prompts; of a line that is none nothing."""
    path = directory / WORDS
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    parts = (line.split("\t") for line in lines)
    return {name: (known, voice, words) for name, known, voice, words in (one for one in parts if len(one) == 4)}


def write_words(directory: Path, said: Said) -> None:
    """Note what the prompts of a directory say, a line each."""
    lines = ("\t".join((name, *said[name])) + "\n" for name in sorted(said))
    (directory / WORDS).write_text("".join(lines), "utf-8")


def write(path: Path, sound: Sound, bit_rate: int = VOICE_RATE) -> None:
    """Code a sound at RATE as Ogg Opus, mono."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    with av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = bit_rate
        stream.codec_context.options = {"application": "audio", "vbr": "on", "frame_duration": "20"}
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts = RATE, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)


# Speech


def spoken_wav(arguments: list[str], text: str) -> Sound:
    """Return a spoken text at RATE."""
    with av.open(BytesIO(spoken(arguments, text)), "r") as file:
        resampler = av.AudioResampler("flt", "mono", RATE)
        parts = [
            ready.to_ndarray().reshape(-1)
            for frame in [*file.decode(audio=0), None]
            for ready in resampler.resample(frame)
        ]
    return np.concatenate(parts).astype(np.float64)


def speech(sound: Sound) -> Sound:
    """Return a prompt: without the silence around it, as loud as all, without clipping."""
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    sound = sound[max(0, loud[0] - RATE // 100) : loud[-1] + RATE // 50]
    sound = sound * 10 ** ((LOUDNESS - level(sound)) / 20)
    sound = PEAK * np.tanh(sound / PEAK)
    edge = np.minimum(1.0, np.minimum(np.arange(len(sound)), np.arange(len(sound))[::-1]) / (RATE * 0.005))
    return np.concatenate((np.zeros(round(BEFORE * RATE)), sound * edge, np.zeros(round(BEHIND * RATE))))


def level(sound: Sound) -> float:
    """Return the level in dBov of the parts that are not silent."""
    frames = sound[: len(sound) // 960 * 960].reshape(-1, 960)
    power = np.mean(frames**2, axis=1)
    return float(10 * np.log10(np.mean(power[power > np.max(power) / 1000])))


# Tones


def note(frequency: float, seconds: float, decay: float, overtones: Sequence[float] = (1.0, 0.25, 0.08)) -> Sound:
    """Return a struck note that dies away; decay in seconds to a third."""
    at = np.arange(round(seconds * RATE)) / RATE
    wave = sum(share * np.sin(2 * np.pi * frequency * (n + 1) * at) for n, share in enumerate(overtones))
    return wave * np.exp(-at / decay) * np.minimum(1, at / 0.004) * np.minimum(1, (seconds - at) / 0.02)


def together(length: float, *parts: tuple[float, Sound]) -> Sound:
    """Return notes at their times in seconds."""
    result = np.zeros(round(length * RATE))
    for begin, part in parts:
        first = round(begin * RATE)
        result[first : first + len(part)] += part[: len(result) - first]
    return result


def tones() -> dict[str, Sound]:
    """Return the tones by name. None is a pair that a telephone's keys make."""
    knock = [(0.0, _knock(190)), (0.16, _knock(175)), (0.34, _knock(190))]
    at = np.arange(5 * RATE) / RATE
    on = np.clip(np.minimum(at, 1 - at) / 0.01, 0, 1)
    return {
        "enter": 0.22 * together(0.6, (0, note(523.25, 0.3, 0.12)), (0.13, note(783.99, 0.45, 0.16))),
        "leave": 0.22 * together(0.6, (0, note(783.99, 0.3, 0.12)), (0.13, note(523.25, 0.45, 0.16))),
        "knock": together(0.7, *knock),
        "ringback": 0.12 * np.sin(2 * np.pi * 425 * at) * on,
        "confirm": 0.2 * together(0.3, (0, note(880.0, 0.12, 0.08)), (0.09, note(1174.66, 0.2, 0.08))),
        "deny": 0.22 * together(0.5, (0, note(311.13, 0.2, 0.15)), (0.17, note(233.08, 0.3, 0.15))),
        "beep": 0.2 * note(1000.0, 0.2, 0.3, (1.0,)),
    }


def _knock(frequency: float) -> Sound:
    """Return a knuckle on wood: a thud, and the click of its beginning."""
    chance = np.random.default_rng(round(frequency))
    at = np.arange(round(0.14 * RATE)) / RATE
    thud = 0.5 * np.sin(2 * np.pi * frequency * at) * np.exp(-at / 0.022)
    wood = 0.28 * np.sin(2 * np.pi * 4.1 * frequency * at) * np.exp(-at / 0.011)
    click = 0.3 * chance.normal(0, 0.4, len(at)) * np.exp(-at / 0.003)
    return (thud + wood + click) * np.minimum(1, at / 0.0008)


# Music

CHORDS = ((261.63, 329.63, 392.00, 493.88), (220.00, 261.63, 329.63, 392.00), (174.61, 220.00, 261.63, 329.63),
          (196.00, 246.94, 293.66, 392.00))  # fmt: skip
"""C major seventh, A minor seventh, F major seventh, G: two bars each, in Hz."""
BAR = 3.0
PATTERN = (0, 1, 2, 3, 2, 1)
"""Which note of the chord each half second has."""


def waiting_music() -> Sound:
    """Return 24 s of slow broken chords over a soft ground, made in a circle so that its end leads to its beginning."""
    seconds = BAR * 2 * len(CHORDS)
    result = np.zeros(round(seconds * RATE))

    def add(begin: float, part: Sound) -> None:
        # What sounds on behind the end sounds on at the beginning.
        places = (round(begin * RATE) + np.arange(len(part))) % len(result)
        result[places] += part

    step = BAR / len(PATTERN)
    for bar in range(2 * len(CHORDS)):
        chord = CHORDS[bar // 2]
        add(bar * BAR, 0.35 * _pad(chord, BAR))
        for beat, place in enumerate(PATTERN):
            octave = 2 if (bar % 2, beat) in ((1, 2), (1, 3)) else 1
            add(bar * BAR + beat * step, 0.5 * note(octave * chord[place], 2.4, 0.55, (1.0, 0.18, 0.06, 0.02)))
    # It begins just before the first beat, where least sounds, and is silent for a moment: a coder knows no circle.
    result = np.roll(result, RATE // 50)
    from_seam = np.minimum(np.arange(len(result)) / (0.015 * RATE), np.arange(len(result))[::-1] / (0.04 * RATE))
    result *= np.sin(np.pi / 2 * np.minimum(1.0, from_seam)) ** 2
    return result * 10 ** ((MUSIC_LOUDNESS - level(result)) / 20)


def _pad(chord: Sequence[float], seconds: float) -> Sound:
    at = np.arange(round(seconds * RATE)) / RATE
    swell = np.sin(np.pi * at / seconds) ** 2
    voices = [np.sin(2 * np.pi * tone * at) + 0.5 * np.sin(2 * np.pi * 1.002 * tone * at) for tone in chord]
    return np.asarray(swell * np.sum(voices, axis=0) / len(chord))


if __name__ == "__main__":
    main(sys.argv[1:])
