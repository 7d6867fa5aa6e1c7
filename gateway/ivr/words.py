"""What the slates of the menu say, in the languages that prompts are spoken in; each line has its prompt's name."""

from __future__ import annotations

LANGUAGES = ("en", "de", "fr", "es", "ru", "zh")
"""Those that prompts are there in, by ISO 639-1."""

_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "welcome": "Welcome",
        "enter-room": "Enter the room number, then press #",
        "enter-pin": "Enter the PIN, then press #",
        "wrong-room": "There is no such room.",
        "wrong-pin": "This PIN is wrong.",
        "too-many-tries": "Those were too many tries.",
        "room-full": "The room is full.",
        "room-locked": "The room is locked.",
        "goodbye": "Goodbye!",
        "clears": "* clears what you typed",
    },
    "de": {
        "welcome": "Willkommen",
        "enter-room": "Geben Sie die Raumnummer ein und drücken Sie #",
        "enter-pin": "Geben Sie die PIN ein und drücken Sie #",
        "wrong-room": "Diesen Raum gibt es nicht.",
        "wrong-pin": "Diese PIN ist falsch.",
        "too-many-tries": "Das waren zu viele Versuche.",
        "room-full": "Der Raum ist voll.",
        "room-locked": "Der Raum ist abgeschlossen.",
        "goodbye": "Auf Wiederhören!",
        "clears": "* löscht die Eingabe",
    },
    "fr": {
        "welcome": "Bienvenue",
        "enter-room": "Entrez le numéro de la salle, puis appuyez sur #",
        "enter-pin": "Entrez le code PIN, puis appuyez sur #",
        "wrong-room": "Cette salle n'existe pas.",
        "wrong-pin": "Ce code PIN est faux.",
        "too-many-tries": "Trop de tentatives.",
        "room-full": "La salle est pleine.",
        "room-locked": "La salle est verrouillée.",
        "goodbye": "Au revoir !",
        "clears": "* efface la saisie",
    },
    "es": {
        "welcome": "Bienvenido",
        "enter-room": "Introduzca el número de la sala y pulse #",
        "enter-pin": "Introduzca el PIN y pulse #",
        "wrong-room": "Esa sala no existe.",
        "wrong-pin": "El PIN no es correcto.",
        "too-many-tries": "Demasiados intentos.",
        "room-full": "La sala está llena.",
        "room-locked": "La sala está cerrada.",
        "goodbye": "¡Adiós!",
        "clears": "* borra lo introducido",
    },
    "ru": {
        "welcome": "Добро пожаловать",
        "enter-room": "Введите номер комнаты и нажмите #",
        "enter-pin": "Введите PIN-код и нажмите #",
        "wrong-room": "Такой комнаты нет.",
        "wrong-pin": "Неверный PIN-код.",
        "too-many-tries": "Слишком много попыток.",
        "room-full": "Комната заполнена.",
        "room-locked": "Комната закрыта.",
        "goodbye": "До свидания!",
        "clears": "* стирает введённое",
    },
    "zh": {
        "welcome": "欢迎",
        "enter-room": "请输入会议室号码，然后按 # 键",
        "enter-pin": "请输入密码，然后按 # 键",
        "wrong-room": "没有这个会议室。",
        "wrong-pin": "密码不正确。",
        "too-many-tries": "尝试次数过多。",
        "room-full": "会议室已满。",
        "room-locked": "会议室已锁定。",
        "goodbye": "再见！",
        "clears": "按 * 键清除",
    },
}


def written(language: str, name: str) -> str:
    """Return a line of a slate; English where a language is not known."""
    return _WORDS.get(language, _WORDS["en"])[name]
