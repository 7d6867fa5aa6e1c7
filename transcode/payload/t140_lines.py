"""From T.140 characters to lines that can be shown as messages (ITU-T T.140 §8). Sans-IO."""

from __future__ import annotations

import unicodedata

PAUSE = 5.0
"""Seconds without a character after which what stands in the line is told: many never press return."""
MAX_LINE = 1000
"""Characters of one line; a longer one is told in pieces."""
MAX_SEQUENCE = 64
"""Characters of a control sequence that is left out; one that goes on is taken for text."""

_ENDS = "\r\n\u2028\u2029"
_BACKSPACE = "\b"
_ESCAPE, _CSI, _SOS, _ST = "\x1b", "\x9b", "\x98", "\x9c"


class LineMaker:
    """Gathers one peer's characters; `take` and `poll` return the lines that are complete."""

    def __init__(self) -> None:
        self._line: list[str] = []
        self._control = ""
        self._last = float("-inf")

    def take(self, text: str, now: float) -> list[str]:
        """Take characters as they came."""
        lines: list[str] = []
        if text:
            self._last = now
        for char in text:
            if self._control:
                self._in_control(char)
            elif char in _ENDS:
                self._end(lines)
            elif char == _BACKSPACE:
                self._erase()
            elif char in (_ESCAPE, _CSI, _SOS):
                self._control = char
            elif char == "\t" or unicodedata.category(char) not in ("Cc", "Cs"):
                self._line.append(char)
                if len(self._line) >= MAX_LINE:
                    self._end(lines)
        return lines

    def poll(self, now: float) -> list[str]:
        """Tell what stands in a line to which nothing was added for PAUSE seconds."""
        return self.finish() if self._line and now - self._last >= PAUSE else []

    def finish(self) -> list[str]:
        """Tell what stands in the line: no more will come."""
        lines: list[str] = []
        self._end(lines)
        return lines

    def _end(self, lines: list[str]) -> None:
        line = "".join(self._line).strip()
        self._line.clear()
        if line:
            lines.append(line)

    def _erase(self) -> None:
        """Take back the last character with the marks that combine with it; a line that was told stays told."""
        while self._line and unicodedata.combining(self._line.pop()):
            pass

    def _in_control(self, char: str) -> None:
        """Leave out what changes colours or talks to applications (T.140 §8.2, §8.4)."""
        kind = self._control[0]
        self._control += char
        if kind == _ESCAPE and len(self._control) == 2:
            if char == "[":
                self._control = _CSI
            elif char == "X":
                self._control = _SOS
            else:
                self._control = ""
        elif char in _ENDS or len(self._control) > MAX_SEQUENCE or _closes(kind, char):
            self._control = ""


def _closes(kind: str, char: str) -> bool:
    return "@" <= char <= "~" if kind == _CSI else kind == _SOS and char == _ST
