"""What menus say: every language has every prompt, as text and as a sound, and operators may replace each."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.app import House
from gateway.config import Config
from gateway.ivr.make_prompts import digest, read_words
from gateway.ivr.texts import LANGUAGES, PROMPTS, TABLE, shipped, with_own
from gateway.ivr.voice import Voice
from transcode.audio.sounds import SoundLibrary, State
from transcode.media import Sound

MAX_OCTETS = 2_500_000
"""Of all sounds that are shipped: they are in every copy of the repository."""
TONES = ("enter", "leave", "knock", "ringback", "confirm", "deny", "beep")


def at_once(job):  # type: ignore[no-untyped-def]
    job()
    return True


def test_every_language_has_the_same_texts() -> None:
    table = yaml.safe_load(TABLE.read_text("utf-8"))
    assert tuple(table) == LANGUAGES == shipped().languages
    first = table["en"]
    for entry in table.values():
        assert entry.keys() == first.keys()
        assert entry["prompts"].keys() == first["prompts"].keys()
        assert entry["slates"].keys() == first["slates"].keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_prompt_is_shipped_and_can_be_read(language: str) -> None:
    library = SoundLibrary([PROMPTS], at_once)
    names = shipped().language(language).prompts
    assert {path.stem for path in (PROMPTS / language).iterdir()} == set(names)
    for name in names:
        clip = library.clip(f"{language}/{name}")
        assert clip.state is State.READY
        assert 0.3 < clip.length / 8000 < 8
        assert -26 < clip.level < -20


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_prompt_says_what_stands_in_the_table(language: str) -> None:
    said, known = read_words(PROMPTS), shipped().language(language)
    for name, text in known.prompts.items():
        made = digest(PROMPTS / language / f"{name}.ogg"), known.voice, known.spoken(text)
        assert said[f"{language}/{name}"] == made, "run python -m gateway.ivr.make_prompts"


def test_tones_and_music_are_shipped_and_all_sounds_together_are_small() -> None:
    library = SoundLibrary([PROMPTS], at_once)
    for name in TONES:
        clip = library.clip(f"tones/{name}")
        assert clip.state is State.READY
        assert not clip.ducks
    assert 20 <= library.clip("music/waiting").length / 8000 <= 30
    assert sum(path.stat().st_size for path in PROMPTS.rglob("*.ogg")) < MAX_OCTETS


def test_a_number_is_told_digit_by_digit() -> None:
    assert Voice().digits("de", "1 0-7") == tuple(Sound(f"de/number-{digit}") for digit in "107")


def test_a_language_that_is_not_there_is_english() -> None:
    assert shipped().text("xx", "welcome") == "Welcome."
    with pytest.raises(KeyError):
        shipped().text("en", "nonsense")


def test_what_cannot_be_drawn_is_written_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = with_own(None)
    monkeypatch.setattr("gateway.ivr.texts.can_draw", lambda text: "请" not in text)
    texts = type(texts)({name: texts.language(name) for name in texts.languages})
    assert texts.written("zh", "enter-pin") == texts.text("en", "enter-pin")
    assert texts.written("ru", "enter-pin") == texts.text("ru", "enter-pin")


def test_an_operators_texts_win_one_by_one(tmp_path: Path) -> None:
    own = {
        "de": {"prompts": {"welcome": "Guten Tag bei Muster."}},
        "it": {"voice": "it", "hash": "cancelletto", "star": "asterisco", "prompts": {"welcome": "Benvenuti."}},
    }
    (tmp_path / "texts.yaml").write_text(yaml.safe_dump(own, allow_unicode=True))
    texts = with_own(tmp_path)
    assert texts.text("de", "welcome") == "Guten Tag bei Muster."
    assert texts.text("de", "goodbye") == shipped().text("de", "goodbye")
    assert texts.text("it", "welcome") == "Benvenuti."
    assert texts.text("it", "goodbye") == shipped().text("en", "goodbye")
    assert texts.prompt("it", "welcome") == Sound("it/welcome")
    assert texts.prompt("it", "goodbye", 100) == Sound("en/goodbye", 100)
    assert texts.language("it").spoken("premere # o *") == "premere cancelletto o asterisco"


@pytest.mark.parametrize(
    "text",
    [
        "- a list",
        "de: nothing",
        "de: {prompts: [a]}",
        "de: {prompts: {welcome: 5}}",
        "de: {promts: {}}",
        "a: [",
        "\x00",
    ],
)
def test_a_table_that_cannot_be_used_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "texts.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"texts\.yaml"):
        with_own(tmp_path)


def test_the_house_looks_for_sounds_at_the_operators_first(tmp_path: Path) -> None:
    own = tmp_path / "own"
    house = House(Config.model_validate({"ivr": {"prompts": str(own)}}), tmp_path / "state")
    assert house._sounds() == [own, tmp_path / "state" / "sounds", PROMPTS]
    assert House(Config(), tmp_path)._sounds() == [tmp_path / "sounds", PROMPTS]
