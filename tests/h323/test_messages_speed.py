"""What it costs to load the modules and to read messages."""

from __future__ import annotations

import subprocess
import sys
import time

from h323_samples import encodings

from h323.messages import decode, encode

LOAD = 0.3
"""Processor seconds to load and compile all modules; 0.1 where nothing else runs."""
DECODED = 300
"""Messages a second of processor time, at least; 4,000 where nothing else runs."""

PROGRAM = """
import time
before = time.process_time()
import h323.messages
print(time.process_time() - before)
"""


def test_the_modules_are_there_soon() -> None:
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True) for _ in range(3)
    ]
    best = min(float(run.stdout) for run in runs)
    print(f"loaded in {best:.3f} s of processor time")
    assert best < LOAD


def test_messages_are_read_quickly() -> None:
    samples = encodings()
    before = time.process_time()
    values = [(kind, decode(kind, octets)) for _, kind, octets in samples]
    read = len(samples) / (time.process_time() - before)
    before = time.process_time()
    for kind, value in values:
        encode(kind, value)
    written = len(samples) / (time.process_time() - before)
    print(f"{read:.0f} messages read and {written:.0f} written a second of processor time")
    assert read > DECODED
    assert written > DECODED
