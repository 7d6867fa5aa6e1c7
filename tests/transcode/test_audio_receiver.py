"""The receiver: loss, other packet times, drift, codec switches, comfort noise, events; never a gap, never a click."""

from __future__ import annotations

import random

import numpy as np
import pytest
from audio_stream import START, longest_silence, packets, play, tone

from transcode.audio import codecs, g711
from transcode.audio.plc import lengthen, shorten
from transcode.audio.receiver import AudioReceiver
from transcode.media import Codec, Format
from transcode.rtp.packet import RtpPacket

OPUS = Format(Codec.OPUS, 111, 48000, 2, (("useinbandfec", "1"),))
EVENT = Format(Codec.TELEPHONE_EVENT, 101, 8000)
KEY_END = bytes.fromhex("058a0320")
STEP = 8000 * 2 * np.pi * 400 / 8000
"""The largest step between two samples of the tone itself."""


def test_without_loss_what_is_played_is_what_was_sent() -> None:
    sound = tone(400, 8000 * 2)
    played = play(AudioReceiver(()), packets(sound), 2.2)
    wanted = g711.decode(Codec.PCMU, g711.encode(Codec.PCMU, sound))
    begin = int(np.flatnonzero(played)[0]) - 1
    assert np.array_equal(played[begin : begin + 15_000], wanted[:15_000])


def test_five_per_cent_of_loss_leaves_no_gap() -> None:
    receiver = AudioReceiver(())
    played = play(receiver, packets(tone(400, 8000 * 60), loss=0.05, seed=3), 60)[1600:-800]
    assert longest_silence(played) <= 60
    assert np.abs(np.diff(played.astype(int))).max() < 1.6 * STEP
    assert 0.03 * 3000 < receiver.counters().lost < 0.07 * 3000


def test_five_per_cent_of_loss_with_jitter_leaves_no_gap() -> None:
    receiver = AudioReceiver(())
    played = play(receiver, packets(tone(400, 8000 * 60), loss=0.05, jitter=0.05, seed=4), 60)[1600:-1600]
    assert longest_silence(played) <= 60
    assert np.abs(np.diff(played.astype(int))).max() < 1.6 * STEP


@pytest.mark.parametrize("packet_time", [10, 20, 30, 40, 60])
def test_every_packet_time_is_played_through(packet_time: int) -> None:
    receiver = AudioReceiver(())
    played = play(receiver, packets(tone(400, 8000 * 10), packet_time), 10)[1600:-1600]
    assert longest_silence(played) == 0
    assert np.abs(np.diff(played.astype(int))).max() < 1.2 * STEP
    assert receiver.counters().concealed <= 100


def test_the_packet_time_may_change_in_mid_stream() -> None:
    sound = tone(400, 8000 * 6)
    first = packets(sound[:16000], 20, sequence=10, timestamp=0)
    second = packets(sound[16000:32000], 60, sequence=110, timestamp=16000, begin=START + 2.007)
    third = packets(sound[32000:], 10, sequence=10 + 100 + 33, timestamp=16000 + 33 * 480, begin=START + 3.987)
    receiver = AudioReceiver(())
    played = play(receiver, [*first, *second, *third], 5.8)[1600:]
    assert longest_silence(played) <= 20
    assert receiver.counters().concealed <= 200


@pytest.mark.parametrize("ppm", [200, -200])
def test_drift_over_ten_minutes_is_not_heard(ppm: int) -> None:
    receiver = AudioReceiver(())
    played = play(receiver, packets(tone(400, 8000 * 600), ppm=ppm), 599)[1600:-1600]
    assert longest_silence(played) == 0
    assert np.abs(np.diff(played.astype(int))).max() < 1.5 * STEP
    assert receiver.counters().lost <= 6
    assert receiver.depth <= 60


def test_the_delay_on_a_calm_network_is_under_thirty_ms_at_the_median() -> None:
    delays = []
    for number in range(20):
        sound = np.zeros(16000, np.int16)
        sound[8000:] = tone(400, 8000)
        phase = number / 1000
        arriving = packets(sound, begin=START + phase)
        played = play(AudioReceiver(()), arriving, 2)
        heard = START + int(np.flatnonzero(np.abs(played) > 1000)[0]) / 8000
        # The packet that holds the marker arrives when its 20 ms are over; a tick's sound leaves at the tick itself.
        arrived = START + phase + 1.0 + 0.02
        delays.append((int((heard - START) / 0.02) * 0.02 + START - arrived) * 1000)
    assert np.median(delays) <= 30
    assert max(delays) <= 45


def test_silence_descriptors_are_heard_as_noise_of_their_level() -> None:
    receiver = AudioReceiver(())
    arriving = packets(tone(400, 8000), sequence=1, timestamp=0)
    last = arriving[-1]
    arriving.append(RtpPacket(13, last.sequence + 1, last.timestamp + 160, 7, b"\x28", False, last.arrival + 0.02))
    played = play(receiver, arriving, 3)
    noise = played[8000 + 2400 :].astype(float)
    assert abs(20 * np.log10(np.sqrt(np.mean(noise**2)) / 32768) + 40) < 2
    assert receiver.counters().lost == 0


def test_sound_after_a_long_silence_is_heard_at_once() -> None:
    receiver = AudioReceiver(())
    first = packets(tone(400, 8000), sequence=1, timestamp=0)
    second = packets(tone(400, 8000), sequence=51, timestamp=8000 * 5, begin=START + 5.007)
    played = play(receiver, [*first, *second], 7)
    assert longest_silence(played[int(5.1 * 8000) : int(5.9 * 8000)]) == 0
    assert not played[(2 * 8000) : int(4.9 * 8000)].any()
    assert receiver.counters().lost == 0


def test_the_codec_may_change_in_mid_stream() -> None:
    receiver = AudioReceiver((OPUS, EVENT))
    encoder = codecs.make_encoder(OPUS)
    sound = tone(400, 48000, 48000)
    opus = [
        RtpPacket(
            111, 50 + n, 960 * n, 7, encoder.encode(sound[960 * n : 960 * n + 960]), False, START + 1.027 + n / 50
        )
        for n in range(50)
    ]
    rates = set()
    play(receiver, [*packets(tone(400, 8000), sequence=0, timestamp=0), *opus], 2.2, lambda _: rates.add(receiver.rate))
    assert rates == {8000, 48000}
    assert receiver.codec is Codec.OPUS
    assert receiver.counters().received == 100


def voiced(rate: int, seconds: float) -> np.ndarray:
    """Return something like a voice: harmonics of 140 Hz that swell and fade."""
    at = np.arange(int(rate * seconds)) / rate
    voice = sum(np.sin(2 * np.pi * 140 * n * at + n) / n for n in range(1, 12)) * (1.2 + np.sin(2 * np.pi * 3 * at))
    return (2000 * voice).astype(np.int16)


def coded(format: Format, sound: np.ndarray, loss: float, seed: int) -> list[RtpPacket]:
    """Code sound in packets of 20 ms with the loss that is wanted."""
    encoder = codecs.make_encoder(format)
    size, ticks, chance = encoder.rate // 50, encoder.clock_rate // 50, random.Random(seed)
    payloads = [encoder.encode(sound[at : at + size]) for at in range(0, len(sound), size)]
    return [
        RtpPacket(format.payload_type, n, ticks * n, 7, payload, n == 0, START + 0.007 + n / 50)
        for n, payload in enumerate(payloads)
        if chance.random() >= loss
    ]


@pytest.mark.parametrize("format", [OPUS, Format(Codec.G722, 9, 8000)], ids=lambda format: format.codec.value)
def test_five_per_cent_of_loss_of_a_voice_leaves_no_gap(format: Format) -> None:
    receiver, rate = AudioReceiver((format,)), codecs.SAMPLE_RATES[format.codec]
    played = play(receiver, coded(format, voiced(rate, 20), 0.05, 6), 20)
    assert receiver.counters().lost > 30
    assert longest_silence(played[rate // 2 : -rate // 2], rate, 100) <= 60


def test_lost_opus_is_recovered_from_the_next_packet() -> None:
    receiver = AudioReceiver((OPUS,))
    play(receiver, coded(OPUS, voiced(48000, 20), 0.05, 5), 20)
    counters = receiver.counters()
    assert counters.recovered > 0.5 * counters.lost  # the first seconds' losses come before the buffer waits for it
    assert receiver.depth <= 60


@pytest.mark.parametrize(
    ("payload_type", "codec", "octets"),
    [
        (0, Codec.PCMU, bytes(160)),
        (8, Codec.PCMA, bytes(160)),
        (9, Codec.G722, bytes(160)),
        (18, Codec.G729, bytes(20)),
    ],
)
def test_static_payload_types_are_taken_though_not_negotiated(payload_type: int, codec: Codec, octets: int) -> None:
    receiver = AudioReceiver((OPUS,))
    assert receiver.push(RtpPacket(payload_type, 1, 0, 7, bytes(octets), False, START))
    assert len(receiver.pull_samples(START + 0.01)) == receiver.rate // 50
    assert receiver.codec is codec


def test_keys_are_taken_and_their_packets_are_not_missed() -> None:
    receiver = AudioReceiver((EVENT,))
    arriving = packets(tone(400, 8000), sequence=1, timestamp=0)
    for number in range(50, 55):
        event = RtpPacket(101, number + 1, 8000, 7, KEY_END, False, START + 0.027 + number / 50)
        arriving.append(event)
    arriving += packets(tone(400, 8000), sequence=56, timestamp=8800, begin=START + 1.107)
    play(receiver, arriving, 2.2)
    assert receiver.take_dtmf() == [("5", 100)]
    assert receiver.take_dtmf() == []
    assert receiver.counters().lost == 0


def test_keys_on_a_payload_type_that_was_not_negotiated_are_known_by_their_shape() -> None:
    receiver = AudioReceiver(())
    for number in range(5):
        receiver.push(RtpPacket(96, number, 1000, 7, KEY_END, False, START))
    assert receiver.take_dtmf() == [("5", 100)]


def test_other_packets_of_unknown_payload_types_are_counted_and_dropped() -> None:
    receiver = AudioReceiver(())
    for number in range(300):
        assert not receiver.push(RtpPacket(96 + number % 32, number, 1000, 7, bytes(20), False, START))
    assert receiver.counters().unknown == 300
    assert receiver.take_dtmf() == []
    assert receiver.pull(START) is None


def test_a_payload_type_may_be_given_another_meaning_while_packets_wait() -> None:
    receiver = AudioReceiver((Format(Codec.PCMU, 96, 8000),))
    for number in range(3):
        receiver.push(RtpPacket(96, number, 160 * number, 7, bytes(160), False, START))
    assert len(receiver.pull_samples(START)) == 160
    receiver.set_formats((Format(Codec.PCMA, 96, 8000),))
    assert len(receiver.pull_samples(START + 0.02)) == 160
    receiver.set_formats((OPUS,))
    assert len(receiver.pull_samples(START + 0.04)) == 160


def test_random_packets_never_raise_and_give_twenty_ms_each_time() -> None:
    rng = np.random.default_rng(11)  # the seed of this run
    receiver = AudioReceiver((OPUS, EVENT, Format(Codec.COMFORT_NOISE, 13, 8000)))
    types = [0, 4, 8, 9, 13, 18, 101, 111, 96]
    for tick in range(2000):
        now = START + tick * 0.02
        for _ in range(int(rng.integers(0, 4))):
            number = int(rng.choice(types))
            sequence, stamp = int(rng.integers(0, 1 << 16)), int(rng.integers(0, 1 << 32))
            if rng.random() < 0.8:
                sequence, stamp = tick & 0xFFFF, tick * 160
            payload = rng.bytes(int(rng.choice([0, 1, 4, 10, 20, 24, 160, 480, 1400])))
            receiver.push(RtpPacket(number, sequence, stamp, int(rng.integers(1, 3)), payload, rng.random() < 0.1, now))
        assert len(receiver.pull_samples(now)) == receiver.rate // 50
        receiver.take_dtmf()


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_sound_is_shortened_and_lengthened_without_a_click(rate: int) -> None:
    sound = tone(200, rate // 25, rate)
    step = 8000 * 2 * np.pi * 200 / rate
    shorter, gone = shorten(sound, rate, rate // 50)
    longer, more = lengthen(sound, rate, rate // 50)
    assert len(shorter) == len(sound) - gone < len(sound)
    assert len(longer) == len(sound) + more > len(sound)
    for result in (shorter, longer):
        assert np.abs(np.diff(result.astype(int))).max() < 1.2 * step + 2
