"""Opus decoding with forward error correction and native concealment (RFC 6716, RFC 7587).

Theory of operation. FFmpeg's decoders expose neither the in-band FEC data of the following packet nor concealment.
libopus itself is already in the process, since PyAV's wheel brings it and loads it; its stable C interface is called
for decoding. Where that library cannot be found, PyAV's decoder takes over: it conceals natively too (a packet of
nothing but the TOC octet is an empty frame, for which libopus runs its concealment), but FEC data is then not used.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from transcode.audio.g711 import Pcm

RATE = 48000
MAX_PACKET_SAMPLES = 5760
"""120 ms at 48 kHz, the longest packet (RFC 6716 §3.2.5); also the size of the decoding buffer."""
DTX_OCTETS = 2
"""A packet that is no longer carries no sound: libopus sends it for silence (DTX), and then for 400 ms nothing."""
MAX_PACKET_OCTETS = 48 * 1276
"""48 frames of the largest size: more than any UDP datagram of sense; a larger payload is not looked at."""

_SILK_MS = (10, 20, 40, 60)
_CELT_TENTHS = (25, 50, 100, 200)


def packet_samples(payload: bytes) -> int:
    """Return how many samples at 48 kHz a packet holds (RFC 6716 §3.1), 0 if it is malformed."""
    if not payload:
        return 0
    toc = payload[0]
    configuration = toc >> 3
    if configuration < 12:
        frame = _SILK_MS[configuration & 3] * 48
    elif configuration < 16:
        frame = (480, 960)[configuration & 1]
    else:
        frame = _CELT_TENTHS[configuration & 3] * 48 // 10
    code = toc & 3
    if code == 3:
        if len(payload) < 2:
            return 0
        count = payload[1] & 0x3F
    else:
        count = 1 if code == 0 else 2
    samples = frame * count
    return samples if samples <= MAX_PACKET_SAMPLES else 0


@cache
def _library() -> ctypes.CDLL | None:
    """Find libopus: the one that PyAV's wheel carries, else the system's; version 1.5 or later."""
    package = Path(av.__file__).parent
    folders = (package.parent / "av.libs", package / ".dylibs")
    names = [str(path) for folder in folders for path in sorted(folder.glob("libopus[.-]*"))]
    system = ctypes.util.find_library("opus")
    for name in [*names, *([system] if system else [])]:
        try:
            library = ctypes.CDLL(name)
            library.opus_decoder_create.restype = ctypes.c_void_p
            library.opus_decoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
            library.opus_decoder_destroy.restype = None
            library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
            library.opus_decode.restype = ctypes.c_int
            library.opus_decode.argtypes = [
                ctypes.c_void_p,
                ctypes.c_char_p,
                ctypes.c_int32,
                ctypes.c_void_p,
                ctypes.c_int,
                ctypes.c_int,
            ]
            library.opus_packet_has_lbrr.restype = ctypes.c_int
            library.opus_packet_has_lbrr.argtypes = [ctypes.c_char_p, ctypes.c_int32]
        except (OSError, AttributeError):
            continue
        return library
    return None


def recovers() -> bool:
    """Tell whether FEC data can be decoded in this installation."""
    return _library() is not None


class OpusDecoder:
    """One stream's decoder: mono int16 at 48 kHz. Stereo is mixed down by libopus.

    redundant tells whether the packet last decoded carried FEC data.
    """

    rate = RATE
    clock_rate = RATE
    native = True
    silent = False

    def __init__(self, plain: bool = False) -> None:
        """Make a decoder. plain: use PyAV's, as where libopus cannot be found."""
        self._library = None if plain else _library()
        self._state: int | None = None
        self._toc = 0x78
        self.redundant = False
        if self._library is not None:
            error = ctypes.c_int(0)
            self._state = self._library.opus_decoder_create(RATE, 1, ctypes.byref(error))
            if not self._state:
                self._library = None
        if self._library is None:
            self._open_plain()
        else:
            self._buffer = np.zeros(MAX_PACKET_SAMPLES, np.int16)
            self._address = self._buffer.ctypes.data

    def __del__(self) -> None:
        state, self._state = getattr(self, "_state", None), None
        if state and self._library is not None:
            self._library.opus_decoder_destroy(state)

    def _open_plain(self) -> None:
        self._plain: Any = av.CodecContext.create("libopus", "r")
        self._plain.sample_rate = RATE
        self._plain.layout = "mono"
        self._plain.format = "s16"

    def ticks(self, payload: bytes) -> int:
        """Return the payload's duration in RTP ticks (48 kHz), 0 if it is malformed."""
        return packet_samples(payload) if len(payload) <= MAX_PACKET_OCTETS else 0

    def decode(self, payload: bytes) -> Pcm | None:
        """Return the samples of one packet, or None if it is malformed."""
        if not self.ticks(payload):
            return None
        self._toc = payload[0]
        self.silent = len(payload) <= DTX_OCTETS
        if self._library is not None:
            self.redundant = self._library.opus_packet_has_lbrr(payload, len(payload)) > 0
        return self._run(payload)

    def recover(self, following: bytes, ticks: int) -> Pcm | None:
        """Return the last `ticks` samples before the packet `following`, from its FEC data; None without libopus.

        Where the packet carries none, libopus conceals instead.
        """
        if self._library is None or not self.ticks(following):
            return None
        ticks = min(ticks, self.ticks(following))
        return self._call(following, ticks - ticks % 120, 1)

    def conceal(self, ticks: int) -> Pcm | None:
        """Return samples in place of a lost packet of `ticks` samples (a multiple of 2.5 ms is made of it)."""
        if self._library is not None:
            return self._call(None, ticks - ticks % 120, 0)
        return self._run(bytes((self._toc & 0xFC,)))

    def _run(self, payload: bytes) -> Pcm | None:
        if self._library is not None:
            return self._call(payload, MAX_PACKET_SAMPLES, 0)
        try:
            frames = self._plain.decode(av.Packet(payload))
        except av.error.FFmpegError:
            return None
        parts = [np.asarray(frame.to_ndarray(), np.int16).reshape(-1) for frame in frames]
        return np.concatenate(parts) if parts else None

    def _call(self, payload: bytes | None, samples: int, recover: int) -> Pcm | None:
        if self._library is None or samples <= 0:
            return None
        length = len(payload) if payload else 0
        count = int(self._library.opus_decode(self._state, payload, length, self._address, samples, recover))
        return self._buffer[:count].copy() if count > 0 else None
