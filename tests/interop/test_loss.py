"""One packet in twenty is lost, in each direction: speech goes on, and the picture comes back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import hearing
import marks
import pytest
from lossy import LossyPath
from peers.linphone import Linphone
from peers.ours import Terminal
from starting import LendGateway

from gateway.bench import clip, sound
from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.alone, pytest.mark.timeout(300)]

LOSS = 0.05
SEED = 20_001
LONGEST_GAP = 60.0
"""ms without sound inside speech."""
RECOVERY = 2.0
"""Seconds until a picture is there again."""


def _assert_lossy(path: LossyPath) -> None:
    for tally in (path.up, path.down):
        share = tally.dropped / (tally.passed + tally.dropped)
        assert 0.02 < share < 0.09, f"seed {path.seed}: {share:.3f} of {tally} was dropped"


async def test_speech_has_no_long_gaps(lend_gateway: LendGateway, tmp_path: Path) -> None:
    gateway = await lend_gateway()
    spoken = marks.speech(tmp_path)
    first, second = LossyPath(gateway.udp, LOSS, SEED), LossyPath(gateway.udp, LOSS, SEED + 1)
    speaker, listener = Terminal(marks.ANN, samples=spoken), Terminal(marks.BOB, samples=spoken[:160] * 0)
    try:
        await listener.dial("127.0.0.1", await second.open(), "100")
        await speaker.dial("127.0.0.1", await first.open(), "100")
        await asyncio.sleep(2.2 * len(spoken) / sound.RATE + 4)
        samples, rate = listener.heard()
    finally:
        await speaker.hang_up()
        await listener.hang_up()
        first.close()
        second.close()
    _assert_lossy(first)
    _assert_lossy(second)
    gap = hearing.added_gaps(spoken, samples[4 * rate :], rate)
    assert gap <= LONGEST_GAP, f"seed {SEED}: {gap} ms of silence inside speech"


async def test_a_softphone_behind_loss_hears_without_long_gaps(lend_gateway: LendGateway, tmp_path: Path) -> None:
    gateway = await lend_gateway()
    spoken = marks.speech(tmp_path)
    path = LossyPath(gateway.udp, LOSS, SEED + 4)
    speaker, listener = Terminal(marks.ANN, samples=spoken), Linphone(marks.BOB, tmp_path)
    try:
        await listener.begin()
        await listener.dial(f"sip:100@127.0.0.1:{await path.open()}")
        await speaker.dial("127.0.0.1", gateway.udp, "100")
        await asyncio.sleep(2.2 * len(spoken) / sound.RATE + 4)
        await listener.hang_up()
    finally:
        await speaker.hang_up()
        await listener.quit()
        path.close()
    _assert_lossy(path)
    samples, rate = listener.heard()
    samples = samples[: len(samples) // 6 * 6].reshape(-1, rate // sound.RATE).mean(axis=1).astype("int16")
    gap = hearing.added_gaps(spoken, samples[4 * sound.RATE :], sound.RATE)
    assert gap <= LONGEST_GAP, f"seed {path.seed}: {gap} ms of silence inside speech"


async def _watch(gateway: GatewayProcess, retransmission: bool, loss: float, lossy: float, after: float) -> float:
    """Lose packets of a sender and of a receiver for `lossy` seconds, watch `after` seconds more.

    Return the longest time in seconds without a new good picture: while packets are lost, where lost ones are sent
    again; after it has ended, where they are not.
    """
    first, second = LossyPath(gateway.udp, loss, SEED + 2), LossyPath(gateway.udp, loss, SEED + 3)
    # A loop of 32 s has one key frame only: without asking for another one no picture would recover in time.
    long = clip.encode(marks.ANN.code, 640, 360, 15, 400_000, count=480)
    sender = Terminal(marks.ANN, long, retransmission=retransmission)
    own = clip.encode(marks.BOB.code, 640, 360, 15, 400_000)
    receiver = Terminal(marks.BOB, own, retransmission=retransmission)
    minding: list[asyncio.Task[None]] = []
    try:
        first.lossy = second.lossy = False
        await receiver.dial("127.0.0.1", await second.open(), "100")
        await sender.dial("127.0.0.1", await first.open(), "100")
        minding = [asyncio.create_task(one.mind_losses()) for one in (receiver, sender)]
        await asyncio.sleep(4)
        first.lossy = second.lossy = True
        since = time.monotonic()
        await asyncio.sleep(lossy)
        first.lossy = second.lossy = False
        if not retransmission:
            since = time.monotonic()
        await asyncio.sleep(after)
        until = time.monotonic()
    finally:
        for task in minding:
            task.cancel()
        await sender.hang_up()
        await receiver.hang_up()
        first.close()
        second.close()
    for path in (first, second):
        assert path.up.dropped, f"seed {path.seed}: nothing was lost"
        assert path.down.dropped, f"seed {path.seed}: nothing was lost"
    return receiver.saw(strict=True).longest_standstill(marks.ANN.code, since, until)


async def test_a_picture_whose_lost_packets_are_sent_again_goes_on(lend_gateway: LendGateway) -> None:
    standstill = await _watch(await lend_gateway(), retransmission=True, loss=LOSS, lossy=15, after=1)
    assert standstill <= RECOVERY, f"seed {SEED}: stood still for {standstill:.2f} s"


@pytest.mark.parametrize(("loss", "lossy"), [(LOSS, 6.0), (1.0, 0.5)])
async def test_a_picture_without_retransmission_comes_back_when_loss_ends(
    lend_gateway: LendGateway, loss: float, lossy: float
) -> None:
    standstill = await _watch(await lend_gateway(), retransmission=False, loss=loss, lossy=lossy, after=5)
    assert standstill <= RECOVERY, f"seed {SEED}: stood still for {standstill:.2f} s"
