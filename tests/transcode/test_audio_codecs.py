"""Codecs: what goes in comes out, at the right rate and length; bad payloads give None and nothing worse."""

from __future__ import annotations

import numpy as np
import pytest

from transcode.audio import codecs, g711, opus
from transcode.media import Codec, Format

FORMATS = {
    Codec.PCMU: Format(Codec.PCMU, 0, 8000),
    Codec.PCMA: Format(Codec.PCMA, 8, 8000),
    Codec.G722: Format(Codec.G722, 9, 8000),
    Codec.G723: Format(Codec.G723, 4, 8000),
    Codec.OPUS: Format(Codec.OPUS, 111, 48000, 2, (("useinbandfec", "1"),)),
}


def tone(frequency: float, rate: int, seconds: float, amplitude: float = 8000) -> np.ndarray:
    at = np.arange(int(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * at)).astype(np.int16)


def speech(rate: int, seconds: float, seed: int = 5) -> np.ndarray:
    """Something voiced: harmonics of 140 Hz that swell and fade, and a little noise."""
    at = np.arange(int(rate * seconds)) / rate
    voice = sum(np.sin(2 * np.pi * 140 * n * at + n) / n for n in range(1, 12))
    noise = np.random.default_rng(seed).normal(0, 0.05, len(at))
    return (4000 * (voice * (1.2 + np.sin(2 * np.pi * 3 * at)) / 2 + noise)).astype(np.int16)


def strongest(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * rate / len(samples)


def coded(codec: Codec, samples: np.ndarray) -> list[bytes]:
    encoder = codecs.make_encoder(FORMATS[codec])
    frame = encoder.frame
    whole = len(samples) // frame * frame
    return [encoder.encode(samples[start : start + frame]) for start in range(0, whole, frame)]


@pytest.mark.parametrize(("codec", "frame", "most"), [(Codec.G723, b"\x03", 8), (Codec.G729, bytes(10), 24)])
def test_a_datagram_full_of_small_frames_is_no_packet(codec: Codec, frame: bytes, most: int) -> None:
    decoder = codecs.make_decoder(codec)
    assert decoder.ticks(frame * most) == 8 * codecs.MAX_SPEECH_MS
    for count in (most + 1, 1900 // len(frame)):
        assert decoder.ticks(frame * count) == 0
        assert decoder.decode(frame * count) is None


@pytest.mark.parametrize("codec", list(FORMATS))
def test_a_tone_survives_coding(codec: Codec) -> None:
    rate = codecs.SAMPLE_RATES[codec]
    payloads = coded(codec, tone(440, rate, 1.2))
    decoder = codecs.make_decoder(codec)
    assert (decoder.rate, decoder.clock_rate) == (rate, codecs.CLOCK_RATES[codec])
    parts = []
    for payload in payloads:
        samples = decoder.decode(payload)
        assert samples is not None
        assert samples.dtype == np.int16
        assert len(samples) * decoder.clock_rate == decoder.ticks(payload) * decoder.rate
        parts.append(samples)
    result = np.concatenate(parts)[rate // 5 :]
    assert abs(strongest(result, rate) - 440) < 5
    assert 4000 < np.sqrt(np.mean(result.astype(float) ** 2)) < 7000


def test_g711_codes_are_those_of_the_standard() -> None:
    # G.711: the quietest and loudest codes of each law, and the codes of silence.
    assert g711.decode(Codec.PCMU, bytes.fromhex("ff7f8000")).tolist() == [0, 0, 32124, -32124]
    assert g711.decode(Codec.PCMA, bytes.fromhex("d555aa2a")).tolist() == [8, -8, 32256, -32256]
    assert g711.encode(Codec.PCMU, np.array([0, 32767, -32768], np.int16)) == bytes.fromhex("ff8000")


@pytest.mark.parametrize("law", [Codec.PCMU, Codec.PCMA])
def test_g711_coding_what_was_decoded_changes_nothing(law: Codec) -> None:
    every = bytes(range(256))
    values = g711.decode(law, every)
    assert g711.decode(law, g711.encode(law, values)).tolist() == values.tolist()


def test_g711_of_many_legs_is_that_of_each() -> None:
    payloads = [bytes([number] * 160) for number in (0, 77, 200)]
    together = g711.decode_many(Codec.PCMA, payloads, 160)
    assert together.shape == (3, 160)
    for row, payload in zip(together, payloads, strict=True):
        assert np.allclose(row * 32768, g711.decode(Codec.PCMA, payload))


@pytest.mark.parametrize(
    ("octets", "samples"),
    [
        ("08", 960),  # configuration 1, SILK narrow band, 20 ms, code 0
        ("78", 960),  # configuration 15, hybrid full band, 20 ms
        ("e0", 120),  # configuration 28, CELT, 2.5 ms
        ("1900", 5760),  # configuration 3, 60 ms, code 1: two frames
        ("7b06", 5760),  # code 3, six frames of 20 ms
        ("7b07", 0),  # code 3, seven frames of 20 ms: over 120 ms
        ("7b", 0),  # code 3 without its count
        ("", 0),
    ],
)
def test_opus_durations_are_read_from_the_packet(octets: str, samples: int) -> None:
    assert opus.packet_samples(bytes.fromhex(octets)) == samples


def test_opus_decodes_the_lost_frame_from_the_next_packet() -> None:
    if not opus.recovers():
        pytest.fail("libopus of PyAV's wheel was not found")
    sound = speech(48000, 2.0)
    payloads = coded(Codec.OPUS, sound)
    whole, lossy, guessing = (opus.OpusDecoder() for _ in range(3))
    recovered_error = guessed_error = 0.0
    for number, payload in enumerate(payloads):
        right = whole.decode(payload)
        assert right is not None
        if number >= 20 and number % 10 == 5:
            recovered = lossy.recover(payloads[number + 1], 960)
            guessed = guessing.conceal(960)
            assert recovered is not None
            assert guessed is not None
            recovered_error += float(np.mean((recovered.astype(float) - right) ** 2))
            guessed_error += float(np.mean((guessed.astype(float) - right) ** 2))
        else:
            lossy.decode(payload)
            guessing.decode(payload)
    assert recovered_error < guessed_error / 2


def test_opus_without_libopus_still_decodes_and_conceals() -> None:
    decoder = opus.OpusDecoder(plain=True)
    payloads = coded(Codec.OPUS, tone(440, 48000, 0.6))
    for payload in payloads[:-1]:
        samples = decoder.decode(payload)
        assert samples is not None
        assert len(samples) == 960
    concealed = decoder.conceal(960)
    assert concealed is not None
    assert len(concealed) == 960
    assert np.abs(concealed).max() > 1000
    assert decoder.recover(payloads[-1], 960) is None


def test_g723_frames_of_all_sizes_are_told_apart() -> None:
    decoder = codecs.make_decoder(Codec.G723)
    speech_frame = coded(Codec.G723, tone(300, 8000, 0.1))[0]
    assert len(speech_frame) == 24
    sid, none = b"\x02\x00\x00\x00", b"\x03"
    assert decoder.ticks(speech_frame + sid + none) == 720
    samples = decoder.decode(speech_frame + sid + none)
    assert samples is not None
    assert len(samples) == 720
    assert decoder.ticks(speech_frame[:-1]) == 0
    assert decoder.decode(speech_frame[:-1]) is None


def test_g729_frames_and_silence_descriptors_are_told_apart() -> None:
    decoder = codecs.make_decoder(Codec.G729)
    frame = bytes.fromhex("7852802080fa d0047f3d")  # one frame of 80 bits
    samples = decoder.decode(frame * 2 + b"\x12\x34")
    assert samples is not None
    assert len(samples) == 240
    assert decoder.ticks(frame * 2 + b"\x12\x34") == 240
    assert decoder.ticks(frame[:7]) == 0
    assert decoder.decode(frame[:7]) is None


@pytest.mark.parametrize("codec", sorted(codecs.DECODES, key=lambda codec: codec.value))
def test_random_payloads_never_raise(codec: Codec) -> None:
    rng = np.random.default_rng(20)  # the seed of this run
    decoder = codecs.make_decoder(codec)
    for _ in range(300):
        payload = rng.bytes(int(rng.integers(0, 200)))
        samples = decoder.decode(payload)
        assert samples is None or (samples.dtype == np.int16 and samples.ndim == 1)
    assert decoder.ticks(bytes(70_000)) == 0
    assert decoder.decode(bytes(70_000)) is None


def test_codecs_that_carry_no_sound_are_refused() -> None:
    with pytest.raises(ValueError, match="no audio decoder"):
        codecs.make_decoder(Codec.H264)
    with pytest.raises(ValueError, match="no audio encoder"):
        codecs.make_encoder(Format(Codec.G729, 18, 8000))


def test_an_opus_receivers_limits_are_kept() -> None:
    def rate(**parameters: str) -> int:
        return codecs.opus_bit_rate(Format(Codec.OPUS, 96, 48000, 2, tuple(parameters.items())))

    assert rate() == 32_000
    assert rate(maxaveragebitrate="20000") == 20_000
    assert rate(maxaveragebitrate="510000") == 32_000
    assert rate(maxaveragebitrate="1") == 8_000
    assert rate(maxaveragebitrate="loud") == 32_000


def test_comfort_noise_has_the_level_that_is_asked_for() -> None:
    assert codecs.comfort_noise_level(bytes.fromhex("28")) == -40
    assert codecs.comfort_noise_level(b"") == -70
    samples = codecs.noise(8000, -40.0).astype(float)
    assert abs(20 * np.log10(np.sqrt(np.mean(samples**2)) / 32768) + 40) < 1
