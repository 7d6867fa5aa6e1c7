"""What received pictures show: the codes of the participants, and when."""

from __future__ import annotations

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


class Watcher:
    """Decodes a stream of H.264 packets in order of sequence; remembers what each picture showed.

    seen holds (arrival in seconds, codes with their counters) a picture, sizes the sizes that were received.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[float, dict[int, int]]] = []
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.broken = 0
        self._decoder = av.CodecContext.create("h264", "r")
        self._joiner = clip.Joiner()

    def watch(self, packets: Iterable[Kept], every: int = 1) -> None:
        """Take packets; look at each picture, or at one of `every`."""
        for packet in packets:
            picture = self._joiner.push(packet.payload, packet.marker)
            if picture is None:
                continue
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
