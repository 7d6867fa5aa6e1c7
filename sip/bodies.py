"""Message bodies besides session descriptions: multipart, picture requests, keys pressed (RFC 5621, RFC 5168)."""

from __future__ import annotations

import re

from sip.message import Request, Response

SDP = "application/sdp"
MEDIA_CONTROL = "application/media_control+xml"
DTMF_RELAY = "application/dtmf-relay"
DTMF = "application/dtmf"
MAX_PARTS = 8
"""Parts of a multipart body that are looked at; a description with location or ISUP has two or three."""
MAX_NESTING = 3
"""Multipart bodies inside of each other; a description in two spellings beside its location has two."""
MAX_CONTROL = 4_096
"""Octets of a media_control or DTMF body; real ones have about 200."""
DEFAULT_TONE = 160
"""ms of a key press whose length is not said."""
MAX_TONE = 10_000
"""ms that a key press may claim to have lasted."""

_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_MIME_FOLD = re.compile(rb"\n[ \t]+")
_ELEMENT = re.compile(rb"<\s*(?:[\w.-]+:)?picture_fast_update\b")
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_VIDEO = re.compile(rb"^m=video [1-9]", re.MULTILINE)
_AUDIO = re.compile(rb"^m=audio [1-9]", re.MULTILINE)
_EVENTS = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}
PICTURE_FAST_UPDATE = (
    b'<?xml version="1.0" encoding="utf-8"?>\r\n'
    b"<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>\r\n"
)
"""Asks for a key frame (RFC 5168 §8)."""


def session_description(content_type: str, body: bytes) -> bytes | None:
    """Return the session description in a body, alone or as a part of a multipart one; None where there is none.

    content_type is the header's whole value. A body of no type is taken as one, as RFC 2543 peers mean it.
    """
    if not content_type.strip():
        return body if body.strip() else None
    return _description(content_type, body, MAX_NESTING)


def _description(content_type: str, body: bytes, depth: int) -> bytes | None:
    """Return the description in a body of a type, at most so many multipart bodies inside of each other."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == SDP:
        return body if body.strip() else None
    boundary = _BOUNDARY.search(content_type)
    if not kind.startswith("multipart/") or boundary is None or not depth:
        return None
    delimiter = re.escape((boundary[1] or boundary[2]).encode("utf-8", "surrogateescape"))
    plain = b"\n" + body.replace(b"\r\n", b"\n")
    parts = re.split(rb"\n--%b(?=[ \t]*\n|--)" % delimiter, plain, maxsplit=MAX_PARTS + 1)[1 : MAX_PARTS + 1]
    if kind == "multipart/alternative":
        parts.reverse()  # of what says the same, the last that is understood is meant (RFC 2046 §5.1.4)
    for part in parts:
        type, content = _part(part)
        description = _description(type, content, depth - 1) if type else None
        if description is not None:
            return description
    return None


def description_in(message: Request | Response) -> bytes | None:
    """Return the session description that a message brings; None where there is none."""
    return session_description(message.headers.get("Content-Type") or "", message.body) if message.body else None


def _part(part: bytes) -> tuple[str, bytes]:
    """Return type and content of what stands between two delimiters; no type where it is not for the session.

    A part with another disposition is for something else: early media in a dialog of its own (RFC 3959), a picture.
    """
    head, blank, content = part.partition(b"\n\n")
    if part.startswith(b"--") or not blank:
        return "", b""
    fields: dict[str, str] = {}
    for line in _MIME_FOLD.sub(b" ", head).decode("utf-8", "replace").split("\n"):
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    disposition = fields.get("content-disposition", "session").partition(";")[0].strip().lower()
    type = fields.get("content-type") or fields.get("c", "")
    return (type if disposition == "session" or type.lower().startswith("multipart/") else ""), content


def asks_key_frame(body: bytes) -> bool:
    """Tell whether a media_control body holds picture_fast_update (RFC 5168 §4); it is searched and not parsed,
    so that no XML of a peer's is ever expanded."""
    return len(body) <= MAX_CONTROL and _ELEMENT.search(_COMMENT.sub(b"", body)) is not None


def pressed_key(content_type: str, body: bytes) -> tuple[str, int] | None:
    """Return the key and ms of an application/dtmf-relay ("Signal=5", "Duration=160") or dtmf body ("5")."""
    if len(body) > MAX_CONTROL:
        return None
    text = body.decode("ascii", "replace").strip()
    if content_type == DTMF and "=" not in text:
        return _key(text, DEFAULT_TONE)
    fields: dict[str, str] = {}
    for line in re.split(r"[\r\n;]+", text):
        name, _, value = line.partition("=")
        fields.setdefault(name.strip().lower(), value.strip())
    duration = fields.get("duration", "")
    ms = (
        min(int(duration), MAX_TONE)
        if duration.isascii() and duration.isdigit() and len(duration) < 9
        else DEFAULT_TONE
    )
    return _key(fields.get("signal", ""), ms)


def key_press(digit: str, duration: int) -> bytes:
    """Return an application/dtmf-relay body for a key and ms."""
    return f"Signal={digit}\r\nDuration={duration}\r\n".encode()


def has_picture(description: bytes | None) -> bool:
    """Tell whether a session description may bring pictures; where there is none yet it may."""
    return description is None or _VIDEO.search(description) is not None


def has_sound(description: bytes | None) -> bool:
    """Tell whether a session description may bring sound; where there is none yet it may."""
    return description is None or _AUDIO.search(description) is not None


def _key(text: str, duration: int) -> tuple[str, int] | None:
    key = _EVENTS.get(text, text.upper())
    return (key, duration) if len(key) == 1 and key in "0123456789*#ABCD" else None
