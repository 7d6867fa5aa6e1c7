"""What the probe reads out of recordings, and what it makes of it."""

from __future__ import annotations

import random

import numpy as np
import pytest

from gateway.bench import sound
from gateway.probe.analysis import confirmed_keys, find_tone, levels, loudness, strongest
from gateway.probe.options import BadTarget, ProbeOptions, Report, read_target
from gateway.probe.verdict import KEY_WAYS, Status, as_plain, judge
from transcode.echo import SoundEcho

RATE = 16000


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.int16)


def key_tones(keys: str) -> np.ndarray:
    echo = SoundEcho()
    for key in keys:
        echo.confirm(key)
    return (np.concatenate([echo.next(None, RATE) for _ in range(20 * len(keys))]) * 32767).astype(np.int16)


@pytest.mark.parametrize("began", [0.0, 0.7, 1.063])
def test_a_tone_is_found_where_it_begins_with_its_level_and_frequency(began: float) -> None:
    recording = np.concatenate((silence(began), sound.tone(1000, 2.0, RATE, 0.25), silence(0.5)))
    found = find_tone(recording, RATE, 1000, 2.0)
    assert found is not None
    assert found.began == pytest.approx(began, abs=0.02)
    assert found.level == pytest.approx(-12.0, abs=0.2)
    assert found.frequency == pytest.approx(1000, abs=5)
    assert found.whole == 1.0
    assert strongest(recording[round(began * RATE) :], RATE) == pytest.approx(1000, abs=5)


def test_neither_silence_nor_noise_nor_another_tone_is_taken_for_it() -> None:
    noise = np.random.default_rng(1).normal(0, 60, 2 * RATE).astype(np.int16)
    for recording in (silence(2.0), noise, sound.tone(1300, 2.0, RATE), silence(0.001)):
        assert find_tone(recording, RATE, 1000, 2.0) is None
    assert strongest(silence(2.0), RATE) == 0.0
    assert loudness(silence(1.0)) < -100
    assert len(levels(silence(0.01), RATE, 1000)) == 0


def test_holes_in_a_tone_are_told_by_its_share() -> None:
    recording = sound.tone(1000, 4.0, RATE, 0.25)
    recording[RATE : RATE + RATE // 2] = 0
    found = find_tone(recording, RATE, 1000, 4.0)
    assert found is not None
    assert found.whole == pytest.approx(0.88, abs=0.03)


@pytest.mark.parametrize("keys", ["5", "0123456789", "*#ABCD"])
def test_confirmed_keys_are_read_wherever_the_windows_fall(keys: str) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    for _ in range(5):
        recording = np.concatenate((silence(chance.uniform(0, 0.3)), key_tones(keys), silence(0.2)))
        assert confirmed_keys(recording, RATE) == keys, f"seed {seed}"


def test_a_key_that_comes_back_as_both_tones_at_once_is_no_confirmation() -> None:
    press = sound.tone(770, 0.2, RATE, 0.2) + sound.tone(1336, 0.2, RATE, 0.2)
    assert confirmed_keys(np.concatenate((silence(0.1), press, silence(0.3))), RATE) == ""
    assert confirmed_keys(sound.tone(1000, 1.0, RATE), RATE) == ""
    assert confirmed_keys(silence(0.01), RATE) == ""


@pytest.mark.parametrize(
    ("text", "target", "host"),
    [
        ("sip:echo@192.0.2.1", "sip:echo@192.0.2.1", "192.0.2.1"),
        ("9196@gateway.example:5070", "sip:9196@gateway.example:5070", "gateway.example:5070"),
        ("SIP:echo@host;transport=tcp", "sip:echo@host", "host"),
    ],
)
def test_targets_are_read_as_people_write_them(text: str, target: str, host: str) -> None:
    assert read_target(text) == (target, host)


@pytest.mark.parametrize(
    "text", ["", "echo", "sip:echo", "sip:@host", "tel:+1", "sip:a b@host", "sip:a@host>\r\nX: y", "sip:a@h\rX"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadTarget):
        read_target(text)


def fine(**changes: object) -> Report:
    report = Report(
        "sip:echo@192.0.2.1", "udp", called=True, status=200, reason="OK", setup=20.0, codec="PCMU/8000",
        packets_sent=500, packets_received=500, loss_in=0.0, loss_out=0.0, jitter=2.0, round_trip=1.0, tone_sent=-12.0,
        tone_heard=True, tone_level=-12.0, tone_frequency=1000.0, tone_whole=1.0, echo_delay=1060.0,
        keys=dict.fromkeys(KEY_WAYS, True), complete=True,
    )  # fmt: skip
    for name, value in changes.items():
        setattr(report, name, value)
    return report


@pytest.mark.parametrize(
    ("changes", "status", "fault"),
    [
        ({}, Status.FINE, ""),
        ({"tone_heard": False, "tone_level": None, "tone_frequency": None}, Status.BAD, "no echo of the tone"),
        ({"packets_received": 0}, Status.BAD, "no media came back"),
        ({"tone_level": -40.0}, Status.BAD, "28 dB quieter"),
        ({"tone_frequency": 1030.0}, Status.BAD, "1030 Hz"),
        ({"tone_whole": 0.8}, Status.BAD, "20% of the echo is missing"),
        ({"loss_in": 0.08}, Status.BAD, "8.0% of packets are lost on the way here"),
        ({"loss_out": 0.08}, Status.BAD, "on the way there"),
        ({"jitter": 90.0}, Status.BAD, "jitter is 90 ms"),
        ({"round_trip": 500.0}, Status.BAD, "round trip"),
        ({"round_trip": None, "loss_out": None}, Status.FINE, ""),
        ({"keys": {"rfc4733": True}}, Status.BAD, "SIP INFO"),
        ({"complete": False}, Status.BAD, ""),
        ({"called": False, "status": 404, "reason": "Not Found"}, Status.NOT_CALLED, "the call failed: 404 Not Found"),
        ({"called": False, "status": 401}, Status.NOT_CALLED, "wrong user or password"),
        ({"called": False, "status": 0}, Status.NOT_CALLED, "not answered in time"),
        ({"called": False, "registered": False, "status": 403}, Status.NOT_CALLED, "registration failed: wrong user"),
        ({"called": False, "registered": False, "status": 503}, Status.NOT_CALLED, "registration failed: 503"),
    ],
)
def test_the_verdict_names_what_is_wrong(changes: dict[str, object], status: Status, fault: str) -> None:
    report = fine(**changes)
    assert judge(ProbeOptions(report.target), report) is status
    assert fault in "\n".join(report.faults)
    assert bool(report.faults) == bool(fault)
    plain = as_plain(report, status)
    assert (plain["exit_status"], plain["verdict"]) == (status.value, status.name.lower().replace("_", "-"))


def test_sound_that_should_be_encrypted_and_is_not_is_bad() -> None:
    report = fine()
    assert judge(ProbeOptions(report.target, srtp=True), report) is Status.BAD
    assert judge(ProbeOptions(report.target, srtp=True), fine(encryption="SRTP")) is Status.FINE


def test_a_password_is_in_no_text_of_the_options() -> None:
    assert "secret" not in repr(ProbeOptions("sip:a@b", password="secret"))
