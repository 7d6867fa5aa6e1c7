"""SIP messages with a part replaced: values that grammars allow, or nearly, and that nobody would send.

Octets changed by chance are mostly refused by the parser. A graft is a message that it reads: somewhere in it stands
another value of the same kind, a header field or line is missing, doubled, or is one that belongs elsewhere.
"""

from __future__ import annotations

import random
import re

from sip_odd_values import ATTRIBUTES, BODIES, LINES, NUMBERS, PARAMETERS, POOL, STATUSES, URIS, WORDS

KEPT = frozenset({"via", "from", "to", "call-id", "cseq"})
"""What a message finds its way by: changed seldom, or nothing would come far."""
_NUMBER = re.compile(r"\d+")
_PARAMETER = re.compile(r';[^;,<>"\s]*(?:"[^"]*")?')
_URI = re.compile(r"(?:sips?|tel):[^\s<>,;\"]+")


class Grafts:
    """Makes them, by chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def message(self, data: bytes, times: int = 1) -> bytes:
        """Return a message with so many parts replaced; Content-Length is right."""
        head, _, body = data.partition(b"\r\n\r\n")
        start, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        fields = [field for field in fields if field[0].lower() not in ("content-length", "l")]
        for _ in range(times):
            if body.startswith(b"v=") and self._chance.random() < 0.4:
                body = self.description(body)
                continue
            choice = self._chance.random()
            if choice < 0.1:
                start = self._start(start)
            elif choice < 0.5:
                fields = self._changed(fields)
            elif choice < 0.95 or start.startswith("SIP/2.0"):
                fields.insert(self._chance.randrange(len(fields) + 1), self.field())
            else:
                kind, body = self._chance.choice(BODIES)
                fields = [field for field in fields if field[0].lower() != "content-type"]
                fields += [("Content-Type", kind)] if kind else []
        fields.append(("Content-Length", str(len(body))))
        text = "\r\n".join([start, *(f"{name}: {value}" for name, value in fields)])
        return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body

    def field(self) -> tuple[str, str]:
        """Return a header field."""
        name = self._chance.choice(list(POOL))
        return name, self._other(name)

    def _start(self, start: str) -> str:
        words = start.split(" ")
        if start.startswith("SIP/2.0"):
            status = self._chance.choice(STATUSES)
            return f"SIP/2.0 {status} {self._chance.choice(WORDS)}"
        return " ".join([words[0], self._chance.choice(URIS), words[-1]])

    def _changed(self, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
        weights = [1 if name.lower() in KEPT else 8 for name, _ in fields]
        (at,) = self._chance.choices(range(len(fields)), weights)
        name, value = fields[at]
        choice = self._chance.random()
        if choice < 0.1:
            return fields[:at] + fields[at + 1 :]
        if choice < 0.2:
            return [*fields, (name, self._other(name) if self._chance.random() < 0.5 else value)]
        return [*fields[:at], (name, self._varied(name, value)), *fields[at + 1 :]]

    def _other(self, name: str) -> str:
        known = POOL.get(name, WORDS)
        value = self._chance.choice(known)
        return self._varied(name, value) if self._chance.random() < 0.3 else value

    def _varied(self, name: str, value: str) -> str:
        """Return a value with a number, parameter, URI or itself replaced."""
        ways = [lambda: self._other(name) if name in POOL else value + self._chance.choice(PARAMETERS)]
        ways.append(lambda: value + self._chance.choice(PARAMETERS))
        for pattern, pool in ((_NUMBER, NUMBERS), (_PARAMETER, (*PARAMETERS, "")), (_URI, URIS), (_URI, URIS)):
            if pattern.search(value):
                ways.append(lambda pattern=pattern, pool=pool: self._swapped(pattern, value, pool))
        return self._chance.choice(ways)()

    def _swapped(self, pattern: re.Pattern[str], text: str, pool: tuple[str, ...]) -> str:
        found = self._chance.choice(list(pattern.finditer(text)))
        return text[: found.start()] + self._chance.choice(pool) + text[found.end() :]

    def description(self, body: bytes) -> bytes:
        """Return a session description with a line replaced, doubled, moved, left out or added."""
        lines = body.decode("utf-8", "replace").split("\r\n")[:-1] or ["v=0"]
        at = self._chance.randrange(len(lines))
        choice = self._chance.random()
        if choice < 0.1:
            del lines[at]
        elif choice < 0.2:
            lines.insert(self._chance.randrange(len(lines) + 1), lines[at])
        elif choice < 0.45:
            lines.insert(self._chance.randrange(1, len(lines) + 1), "a=" + self._chance.choice(ATTRIBUTES))
        elif choice < 0.6:
            lines.insert(self._chance.randrange(1, len(lines) + 1), self._chance.choice(LINES))
        elif choice < 0.8 and _NUMBER.search(lines[at]):
            lines[at] = self._swapped(_NUMBER, lines[at], NUMBERS)
        else:
            words = lines[at].split(" ")
            words[self._chance.randrange(len(words))] = self._chance.choice(WORDS + NUMBERS)
            lines[at] = " ".join(words)
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")
