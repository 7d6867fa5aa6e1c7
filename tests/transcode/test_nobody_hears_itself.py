"""Nobody ever hears itself, whatever network and machine do: told by turning one's wave upside down.

A room is run twice by the same chance, the second time with one telephone's sound upside down. No level and so no
decision differs, so all that this telephone could hear of itself is all that could differ in what it hears. This finds
what no look at a spectrum would: a single packet, and what is 60 dB below the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from mixer_room import Phone, Room
from torture import G722, OPUS, PCMA, PCMU, Weather

from transcode.audio import comfort, plc, receiver
from transcode.media import Format, LegId

CROWD = (PCMU, PCMU, G722, OPUS, PCMA, G722)
FEW = (PCMU, PCMU, PCMU)
SECONDS = 6.0
FAINT = 4
"""Samples that coded silence stays under."""


@pytest.fixture(autouse=True)
def no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out comfort noise: it is the same whether the sound that it is added to is upside down or not."""
    for module in (comfort, plc, receiver):
        monkeypatch.setattr(module, "noise", lambda count, level: np.zeros(count, np.int16))


def run(seed: int, formats: Sequence[Format], upside_down: int | None, sounds: Path) -> Weather:
    times = (20,) if formats is FEW else (20, 20, 30, 60)  # forwarding wants packets as long as they come
    weather = Weather(seed, formats, upside_down, sounds, times)
    weather.run(2 * SECONDS if formats is FEW else SECONDS)
    weather.close()
    return weather


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("formats", [CROWD, FEW], ids=["mixed", "mixed and forwarded"])
def test_nobody_hears_itself_whatever_network_and_machine_do(
    formats: Sequence[Format], seed: int, sounds: Path
) -> None:
    print("seed", seed)
    chosen = seed % len(formats)
    plain, turned = run(seed, formats, None, sounds), run(seed, formats, chosen, sounds)
    reached = 0
    for index, (one, other) in enumerate(zip(plain.telephones, turned.telephones, strict=True)):
        assert len(one.heard) == len(other.heard)
        changed = [packet[0] for packet, again in zip(one.heard, other.heard, strict=True) if packet != again]
        if index == chosen:
            assert not changed, f"{one.id} ({one.format.codec.value}, {one.packet_time} ms) heard itself at {changed}"
        else:
            reached += len(changed)
    assert reached > 50, "nobody heard the one whose sound was turned"
    assert plain.forwarded > 50 or formats is CROWD


@pytest.mark.parametrize("packet_time", [20, 30, 60])
def test_the_end_of_a_long_packet_does_not_bring_what_one_said_when_it_began(packet_time: int) -> None:
    room = Room(Phone(PCMU, 700, 0))
    speaker = Phone(PCMU, 400, 8000)
    room.join("speaker", speaker, packet_time)
    for tick in range(12):  # it loses its seat at each place in a packet
        room.run(0.5 + 0.02 * tick)
        room.mixer.plan({LegId("speaker"): False}, {})
        room.run(0.3)
        room.mixer.plan({LegId("speaker"): True}, {})
    assert np.abs(np.concatenate(speaker.heard)).max() < FAINT


def test_a_leg_that_comes_back_at_once_does_not_hear_its_own_end() -> None:
    room = Room(Phone(PCMU, 700, 0))
    for number in range(4):
        speaker = Phone(PCMU, 400, 8000, source=number)
        room.join("speaker", speaker)
        room.run(0.4)
        assert np.abs(np.concatenate(speaker.heard)).max() < FAINT
        room.mixer.remove(LegId("speaker"))
