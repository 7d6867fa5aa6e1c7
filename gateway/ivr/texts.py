"""What menus say and write, in each language: the table `texts.yaml`, and an operator's own over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from transcode.media import Sound
from transcode.video.text import can_draw

PROMPTS = Path(__file__).with_name("prompts")
"""The directory of the sounds that are shipped."""
TABLE = Path(__file__).with_name("texts.yaml")
LANGUAGES = ("en", "de", "fr", "es", "ru", "zh")
"""Languages that are shipped; the first one is spoken where nothing else is set."""
MAX_TEXT = 300
"""Characters of one text: it is spoken in half a minute."""
MAX_TABLE = 1_000_000
"""Octets of an operator's table; the shipped one has 20,000."""


@dataclass(frozen=True)
class Language:
    """One language: espeak-ng's voice of it, how # and * are spoken, and texts by name.

    says is how other words are spoken that espeak-ng would read wrongly as they are written.
    """

    voice: str
    hash: str
    star: str
    prompts: Mapping[str, str] = field(default_factory=dict)
    slates: Mapping[str, str] = field(default_factory=dict)
    says: Mapping[str, str] = field(default_factory=dict)

    def spoken(self, text: str) -> str:
        """Return a text as it is to be spoken."""
        for word, way in (("#", self.hash), ("*", self.star), *self.says.items()):
            text = text.replace(word, way)
        return text


class Texts:
    """All languages. An unknown language is the first one's, and so is a text that one lacks."""

    def __init__(self, languages: Mapping[str, Language]) -> None:
        self._languages = languages
        self._drawn: dict[str, bool] = {}

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that there are."""
        return tuple(self._languages)

    def language(self, name: str) -> Language:
        """Return a language, the first one for an unknown name."""
        return self._languages.get(name) or next(iter(self._languages.values()))

    def text(self, language: str, name: str) -> str:
        """Return a text. Raises KeyError if no language has it."""
        for one in (self.language(language), self.language("")):
            found = one.prompts.get(name, one.slates.get(name))
            if found is not None:
                return found
        raise KeyError(name)

    def has_prompt(self, name: str) -> bool:
        """Whether there is a prompt of this name that can be played in any language."""
        return name in self.language("").prompts

    def prompt(self, language: str, name: str, pause: int = 0) -> Sound:
        """Return the sound of a prompt, after so many ms of silence; of the first language where one lacks it."""
        known = self._languages.get(language)
        language = language if known is not None and name in known.prompts else self.languages[0]
        return Sound(f"{language}/{name}", pause)

    def written(self, language: str, name: str) -> str:
        """Return a text for a slate: in the first language where this machine has no letters of the wanted one."""
        return self.text(language if self._drawable(language) else "", name)

    def _drawable(self, language: str) -> bool:
        if language not in self._drawn:
            known = self.language(language)
            self._drawn[language] = can_draw("".join({*"".join((*known.prompts.values(), *known.slates.values()))}))
        return self._drawn[language]


@cache
def shipped() -> Texts:
    """Return the texts that are shipped."""
    return Texts(_languages(yaml.safe_load(TABLE.read_text("utf-8")), {}))


def with_own(directory: Path | None) -> Texts:
    """Return the texts with an operator's own ones, where the directory has such a table.

    Raises ValueError, with what is wrong, if it cannot be read.
    """
    path = None if directory is None else directory / "texts.yaml"
    if path is None or not path.is_file():
        return shipped()
    if path.stat().st_size > MAX_TABLE:
        raise ValueError(f"{path}: too large")
    try:
        own = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        return Texts(_languages(own or {}, {name: shipped().language(name) for name in shipped().languages}))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _languages(table: Any, below: Mapping[str, Language]) -> dict[str, Language]:
    if not isinstance(table, dict):
        raise ValueError("languages are wanted, each with its texts")
    found = dict(below)
    for name, entry in table.items():
        if not isinstance(entry, dict) or not entry.keys() <= {"voice", "hash", "star", "says", "prompts", "slates"}:
            raise ValueError(f"{name}: voice, hash, star, says, prompts and slates are wanted")
        found[str(name)] = _language(str(name), entry, below.get(str(name)))
    return found


def _language(name: str, entry: Mapping[str, Any], below: Language | None) -> Language:
    base = below or Language(name, "#", "*")
    words = {key: _text(name, entry.get(key, getattr(base, key))) for key in ("voice", "hash", "star")}
    return Language(
        **words,
        prompts={**base.prompts, **_table(name, entry.get("prompts"))},
        slates={**base.slates, **_table(name, entry.get("slates"))},
        says={**base.says, **_table(name, entry.get("says"))},
    )


def _table(language: str, texts: object) -> dict[str, str]:
    if not isinstance(texts, dict | None):
        raise ValueError(f"{language}: texts by name are wanted")
    return {str(name): _text(f"{language}: {name}", text) for name, text in (texts or {}).items()}


def _text(where: str, text: object) -> str:
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise ValueError(f"{where}: a text of at most {MAX_TEXT} characters is wanted")
    return text


def names(texts: Texts, languages: Iterable[str] = LANGUAGES) -> frozenset[str]:
    """Return the names of all prompts."""
    return frozenset(name for language in languages for name in texts.language(language).prompts)
