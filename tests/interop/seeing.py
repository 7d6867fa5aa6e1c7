"""What received pictures show: the codes of the participants, and when."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from PIL import Image

from gateway.bench import clip, stripe
from gateway.bench.legs import Kept


def in_image(path: Path) -> set[int]:
    """Return the codes that a picture file shows."""
    with Image.open(path) as image:
        return {found.code for found in stripe.read(np.asarray(image.convert("L")))}


def in_gray(data: bytes, width: int, height: int) -> set[int]:
    """Return the codes in a raw picture of one octet a pixel."""
    return {found.code for found in stripe.read(np.frombuffer(data, np.uint8).reshape(height, width))}


REACH = 300
"""How far back, in packets, one that was sent again is put into its place."""


def in_order(packets: Iterable[Kept]) -> list[Kept]:
    """Return packets in order of sequence, doubled ones once; a packet counts as there when all before it are."""
    ordered: list[tuple[int, Kept]] = []
    highest = 0
    for packet in packets:
        step = (packet.sequence - highest + 0x8000) % 0x10000 - 0x8000 if ordered else packet.sequence - highest
        number = highest + step
        highest = max(highest, number)
        place = len(ordered)
        while place and ordered[place - 1][0] > number and len(ordered) - place < REACH:
            place -= 1
        if place == 0 or ordered[place - 1][0] != number:
            ordered.insert(place, (number, packet))
    latest, found = 0.0, []
    for _, packet in ordered:
        latest = max(latest, packet.arrival)
        found.append(Kept(latest, packet.data))
    return found


_KEY_FRAME = 5
"""NAL unit type of a slice of an IDR picture (H.264 table 7-1)."""


class Watcher:
    """Decodes a stream of H.264 packets in order of sequence; remembers what each picture showed.

    seen holds (arrival in seconds, codes with their counters) a picture, sizes the sizes that were received. A strict
    one looks at no picture between a lost packet and the next key frame: a terminal that shows nothing damaged.
    """

    def __init__(self, strict: bool = False) -> None:
        self._strict = strict
        self._damaged = False
        self._expected: int | None = None
        self.seen: list[tuple[float, dict[int, int]]] = []
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.broken = 0
        self._decoder = av.CodecContext.create("h264", "r")
        self._joiner = clip.Joiner()

    def watch(self, packets: Iterable[Kept], every: int = 1) -> None:
        """Take packets; look at each picture, or at one of `every`."""
        for packet in in_order(packets):
            self._damaged |= self._expected is not None and packet.sequence != self._expected
            self._expected = packet.sequence + 1 & 0xFFFF
            picture = self._joiner.push(packet.payload, packet.marker)
            if picture is None:
                continue
            if self._strict and self._damaged:
                if not any(unit and unit[0] & 0x1F == _KEY_FRAME for unit in clip.nal_units(picture)):
                    continue
                self._damaged = False
            try:
                frames = self._decoder.decode(av.Packet(picture))
            except av.FFmpegError:
                self.broken += 1
                continue
            for frame in frames:
                self.sizes[frame.width, frame.height] += 1
                if sum(self.sizes.values()) % every == 0:
                    luma = frame.to_ndarray(format="yuv420p")[: frame.height]
                    found = stripe.read(np.ascontiguousarray(luma))
                    self.seen.append((packet.arrival, {one.code: one.count for one in found}))

    def codes(self, least: int = 3) -> set[int]:
        """Return the codes that stood in at least so many pictures."""
        votes = Counter(code for _, codes in self.seen for code in codes)
        return {code for code, times in votes.items() if times >= least}

    def longest_standstill(self, code: int, since: float, until: float) -> float:
        """Return the longest time in seconds in which no new picture of `code` was seen, within an interval."""
        moments, last = [since], None
        for arrival, codes in self.seen:
            if code in codes and codes[code] != last and since <= arrival <= until:
                last = codes[code]
                moments.append(arrival)
        moments.append(until)
        return max(later - earlier for earlier, later in itertools.pairwise(moments))
