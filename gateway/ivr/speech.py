"""Speaking a text to a file, by espeak-ng in a process of its own, where that is installed.

Names of participants are spoken so. A text is cleaned, goes by standard input and never by a shell, and what was
spoken is kept under a name that its words make, so that it is spoken once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
import threading
import unicodedata
import wave
from io import BytesIO
from pathlib import Path

import structlog

from gateway.ivr.texts import Language, Texts

log = structlog.get_logger()

PROGRAM = "espeak-ng"
FOLDER = "spoken"
"""Folder of the spoken files, and first half of their sounds' names."""
MAX_WORDS = 60
"""Characters that are spoken: a long name and a place."""
SPEED = 150
"""Words a minute."""
TIME = 5.0
"""Seconds that one text may take; it takes a twentieth, and what is spoken later is out of date."""
MAX_FILE = 1_000_000
"""Octets of one file: 20 s, more than MAX_WORDS take."""
MAX_FILES = 500
"""Files that are kept, the newest: 50 MB of names of 2 s."""
MAX_AT_ONCE = 2
"""Texts that are spoken at once; more wait."""
MAX_WAITING = 50
"""Texts that wait; more are not spoken."""


def command(language: Language, program: str = PROGRAM) -> list[str]:
    """Return the command that speaks what it reads from standard input into a WAV file on standard output."""
    return [program, "-v", language.voice, "-s", str(SPEED), "-b", "1", "--stdin", "--stdout"]


def clean_words(text: str) -> str:
    """Return what of a text is to be spoken: letters, digits, and spaces for everything else.

    Nothing is left that espeak-ng takes for a command of its own ("[[...]]", markup).
    """
    kept = (
        char if unicodedata.category(char)[0] in "LMN" or char in "'’-." else " "
        for char in unicodedata.normalize("NFC", text[: 4 * MAX_WORDS])
    )
    return " ".join("".join(kept).split())[:MAX_WORDS].strip(" -.'’")


class Speaker:
    """Speaks texts into files below a directory."""

    def __init__(self, directory: Path, texts: Texts, program: str = PROGRAM) -> None:
        self._directory = directory
        self._texts = texts
        self._program = shutil.which(program)
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._keeping = asyncio.Lock()
        self._under_way: dict[str, asyncio.Task[bool]] = {}

    @property
    def can_speak(self) -> bool:
        """Whether the program is there."""
        return self._program is not None

    async def speak(self, language: str, text: str) -> str | None:
        """Return the name of the sound of a text; None if it cannot be spoken. Takes at most TIME for each that waits.

        Nothing is raised: a name that is not spoken is no fault of the call.
        """
        words = clean_words(text)
        if self._program is None or not words:
            return None
        key = hashlib.sha256(f"{self._texts.language(language).voice}\n{words}".encode()).hexdigest()[:32]
        name = f"{FOLDER}/{key}"
        path = self._directory / f"{name}.wav"
        if path.is_file():
            return name
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= MAX_WAITING:
                return None
            task = asyncio.create_task(self._make(path, self._texts.language(language), words))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return name if await asyncio.shield(task) else None

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, path: Path, language: Language, words: str) -> bool:
        try:
            async with self._turns:
                data = await asyncio.to_thread(spoken, command(language, self._program or PROGRAM), words)
        except (OSError, TimeoutError, ValueError) as error:
            log.warning("not_spoken", why=str(error)[:200] or type(error).__name__)
            return False
        try:
            async with self._keeping:
                await asyncio.to_thread(_keep, path, data)
        except OSError as error:
            log.warning("not_spoken", why=error.strerror)
            return False
        return True


def spoken(arguments: list[str], words: str) -> bytes:
    """Run the command and return the WAV file that it makes. Blocks, for TIME at most.

    Raises OSError, TimeoutError, or ValueError if there is no sound, or too much.
    """
    # Popen, not asyncio.create_subprocess_exec: its child watcher would fight over SIGCHLD with Twisted.
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as process:
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(TIME, stop)
        timer.start()
        try:
            data = _through(process, words.encode())
            if len(data) > MAX_FILE:
                process.kill()
            process.wait()
        finally:
            timer.cancel()
    if late.is_set():
        raise TimeoutError(f"it took longer than {TIME:g} s")
    if len(data) > MAX_FILE:
        raise ValueError("too long")
    if process.returncode:
        raise ValueError(f"{PROGRAM} ended with {process.returncode}")
    return mended(data)


def _through(process: subprocess.Popen[bytes], words: bytes) -> bytes:
    """Write the words and return what comes, up to one octet more than MAX_FILE."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it did not want to know; its status says why
        process.stdin.write(words)
    process.stdin.close()
    data = bytearray()
    while len(data) <= MAX_FILE and (part := process.stdout.read(65536)):
        data += part
    return bytes(data[: MAX_FILE + 1])


def mended(data: bytes) -> bytes:
    """Return a WAV file with the right lengths in its header: one that was written to a pipe does not know them.

    Raises ValueError if it is none, or empty.
    """
    try:
        with wave.open(BytesIO(data)) as spoken:
            shape = spoken.getparams()
            samples = spoken.readframes(spoken.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"no sound: {error}") from None
    if not samples:
        raise ValueError("no sound")
    whole = BytesIO()
    with wave.open(whole, "wb") as file:
        file.setparams(shape._replace(nframes=0))
        file.writeframes(samples[: len(samples) // 2 * 2])
    return whole.getvalue()


def _keep(path: Path, data: bytes) -> None:
    """Write a file whole, and forget the oldest ones beyond MAX_FILES."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_suffix(f".{os.getpid()}")
    new.write_bytes(data)
    new.replace(path)
    kept = sorted(path.parent.glob("*.wav"), key=lambda one: one.stat().st_mtime)
    for old in kept[: max(0, len(kept) - MAX_FILES)]:
        old.unlink(missing_ok=True)
