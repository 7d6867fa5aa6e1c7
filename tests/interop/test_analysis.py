"""The analysis that the interop tests trust: tones, gaps, stripes, and the bad network."""

from __future__ import annotations

import asyncio
from pathlib import Path

import hearing
import marks
import numpy as np
import pytest
import seeing
from lossy import LossyPath
from peers.voice import payloads, timeline

from gateway.bench import sound
from gateway.bench.legs import Kept, RtpSocket, describe
from gateway.bench.phone import Message, media_lines

SEED = 5


def _mix(chosen: list[marks.Mark], seconds: float, rate: int = 8000) -> sound.Samples:
    mixed = np.random.default_rng(SEED).normal(0, 30, round(seconds * rate)).astype(np.int16)
    for mark in chosen:
        sound.add(mixed, mark.voice(seconds, rate))
    return mixed


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_tones_of_a_mix_are_told_apart(rate: int) -> None:
    chosen = [marks.BOB, marks.DAN, marks.FAY]
    found = hearing.heard(_mix(chosen, 8.0, rate), rate, marks.TONES)
    for mark in marks.MARKS:
        assert (found[mark.tone] > 1.5) == (mark in chosen), found
        assert mark in chosen or found[mark.tone] == 0.0, found


@pytest.mark.parametrize("absent", marks.MARKS)
def test_one_that_is_absent_is_not_heard_among_all_others(absent: marks.Mark) -> None:
    coded = sound.from_pcmu(sound.to_pcmu(_mix([mark for mark in marks.MARKS if mark != absent], 12.0)))
    found = hearing.heard(coded, 8000, marks.TONES)
    assert found[absent.tone] <= 0.3, found
    assert all(found[mark.tone] > 2.0 for mark in marks.MARKS if mark != absent), found


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize(("own", "other"), [(marks.ANN, marks.BOB), (marks.BOB, marks.ANN)])
def test_holes_in_anothers_tone_are_not_taken_for_ones_own(own: marks.Mark, other: marks.Mark, rate: int) -> None:
    chance = np.random.default_rng(SEED)
    for _ in range(25):
        recording = other.voice(6.0, rate)
        for _ in range(8):  # what a starved telephone or gateway leaves out: 10 to 120 ms
            place = chance.choice(np.flatnonzero(np.abs(recording.astype(int)) > 2000))
            recording[place : place + rate * int(chance.integers(1, 13)) // 100] = 0
        found = hearing.heard(recording, rate, marks.TONES)
        assert found[own.tone] <= 0.1, f"seed {SEED}: {found}"
        assert found[other.tone] >= 1.5, f"seed {SEED}: {found}"


def test_ones_own_tone_is_found_though_it_is_faint_and_short() -> None:
    recording = marks.BOB.voice(6.0)
    sound.add(recording, sound.tone(marks.ANN.tone, 0.5, level=0.02), 2 * sound.RATE)
    assert hearing.heard(recording, sound.RATE, marks.TONES)[marks.ANN.tone] > 0.3


def test_no_tone_lies_near_anothers_overtones() -> None:
    for one in marks.TONES:
        assert 300 <= one <= 3400
        for other in marks.TONES:
            assert all(abs(one - order * other) >= 20 for order in range(1 + (one == other), 6)), (one, other)


@pytest.mark.interop  # it speaks with espeak-ng
def test_a_hole_in_speech_is_measured(tmp_path: Path) -> None:
    spoken = marks.speech(tmp_path)
    assert 6 < len(spoken) / 8000 < 20
    heard = np.concatenate([np.zeros(4000, np.int16), spoken, np.zeros(4000, np.int16)])
    assert hearing.added_gaps(spoken, heard, 8000) <= 10
    envelope = np.abs(spoken.reshape(-1)[: len(spoken) // 800 * 800].reshape(-1, 800)).max(axis=1)
    place = 4000 + int(envelope[5:-5].argmax() + 5) * 800
    heard[place : place + 960] = 0
    assert 90 <= hearing.added_gaps(spoken, heard, 8000) <= 150


def test_a_recording_that_still_grows_is_read(tmp_path: Path) -> None:
    path = marks.voice_file(tmp_path, marks.ANN, seconds=1.0, rate=16000, channels=2)
    data = bytearray(path.read_bytes())
    data[40:44] = bytes(4)
    path.write_bytes(data[:-3])
    samples, rate = hearing.read_wav(path)
    assert (len(samples), rate) == (15_999, 16000)
    path.write_bytes(bytes(100))
    with pytest.raises(ValueError, match="no WAV"):
        hearing.read_wav(path)


def test_lost_packets_leave_silence_in_the_timeline() -> None:
    whole = sound.tone(500, 1.0)
    kept = []
    for index, payload in enumerate(payloads(whole)):
        head = b"\x80\x00" + index.to_bytes(2, "big") + ((index * 160 + 2**32 - 1600) % 2**32).to_bytes(4, "big")
        kept.append(Kept(0.0, head + bytes(4) + payload))
    del kept[20]
    kept[30], kept[31] = kept[31], kept[30]
    heard = timeline(kept)
    assert len(heard) == 8000
    assert not heard[3200:3360].any()
    assert np.abs(heard[4640:5120].astype(int) - whole[4640:5120]).max() < 600


class _Listener(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.back = ("", 0)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.messages.put_nowait(data)
        self.back = addr


async def test_the_bad_network_drops_its_share_both_ways() -> None:
    loop = asyncio.get_running_loop()
    gateway, at_gateway = await loop.create_datagram_endpoint(_Listener, local_addr=("127.0.0.1", 0))
    peer, at_peer = await loop.create_datagram_endpoint(_Listener, local_addr=("127.0.0.1", 0))
    path = LossyPath(gateway.get_extra_info("sockname")[1], 0.05, SEED)
    peer_media, gateway_media = RtpSocket(), RtpSocket()

    body = describe("127.0.0.1", await peer_media.open())
    invite = f"INVITE sip:x SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 1\r\n\r\n{body}".encode()
    peer.sendto(invite, ("127.0.0.1", await path.open()))
    offer = Message.parse(await asyncio.wait_for(at_gateway.messages.get(), 2))
    assert int(offer.headers["content-length"]) == len(offer.body)
    gateway_media.remote = ("127.0.0.1", media_lines(offer.body)[0][1])
    body = describe("127.0.0.1", await gateway_media.open())
    gateway.sendto(f"SIP/2.0 200 OK\r\nl: 1\r\n\r\n{body}".encode(), at_gateway.back)
    answer = Message.parse(await asyncio.wait_for(at_peer.messages.get(), 2))
    peer_media.remote = ("127.0.0.1", media_lines(answer.body)[0][1])

    for index in range(1000):
        peer_media.send(b"\x80" + bytes(20))
        gateway_media.send(b"\x80" + bytes(20))
        if index % 20 == 0:
            await asyncio.sleep(0.002)
    await asyncio.sleep(0.1)
    for one in (peer_media, gateway_media, path, peer, gateway):
        one.close()
    await asyncio.sleep(0)
    assert peer_media.counters.received == path.down.passed
    assert gateway_media.counters.received == path.up.passed
    for tally in (path.up, path.down):
        assert 25 <= tally.dropped <= 80, f"seed {SEED}: {tally}"
        assert tally.passed + tally.dropped == 1000


def test_packets_that_were_sent_again_stand_in_their_place() -> None:
    numbers = [65533, 65534, 1, 2, 65535, 0, 2, 3]
    kept = [
        Kept(float(index), b"\x80\x60" + number.to_bytes(2, "big") + bytes(8)) for index, number in enumerate(numbers)
    ]
    ordered = seeing.in_order(kept)
    assert [packet.sequence for packet in ordered] == [65533, 65534, 65535, 0, 1, 2, 3]
    assert [packet.arrival for packet in ordered] == [0, 1, 4, 5, 5, 5, 7]
