"""The voice of the house: in which language it speaks and writes to whom, and how it speaks names."""

from __future__ import annotations

from gateway.ivr.speech import Speaker
from gateway.ivr.texts import Texts, shipped
from transcode.media import Sound


class Voice:
    """language is the house's, for whoever has none of its own; speaker None speaks no names."""

    def __init__(self, texts: Texts | None = None, language: str = "", speaker: Speaker | None = None) -> None:
        self._texts = texts
        self._language = language
        self._speaker = speaker

    @property
    def texts(self) -> Texts:
        """All that can be said and written."""
        if self._texts is None:
            self._texts = shipped()
        return self._texts

    def language(self, *wanted: str) -> str:
        """Return the first of these languages that is given, else the house's; the usual one for an unknown one."""
        known = self.texts.languages
        language = next((one for one in wanted if one), self._language)
        return language if language in known else known[0]

    def prompts(self, language: str, *names: str) -> tuple[Sound, ...]:
        """Return the sounds of prompts, one after the other."""
        return tuple(self.texts.prompt(language, name) for name in names)

    def digits(self, language: str, number: str) -> tuple[Sound, ...]:
        """Return the sounds of a number, digit by digit; what is no digit is left out."""
        return self.prompts(language, *(f"number-{digit}" for digit in number if digit in "0123456789"))

    def written(self, language: str, *names: str) -> str:
        """Return texts for a slate, a line each."""
        return "\n".join(self.texts.written(language, name) for name in names)

    async def name(self, language: str, name: str) -> Sound:
        """Return the sound of somebody's name; "somebody" where it cannot be spoken."""
        spoken = await self._speaker.speak(language, name) if self._speaker is not None else None
        return self.texts.prompt(language, "somebody") if spoken is None else Sound(spoken)
