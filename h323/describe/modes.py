"""requestMode of H.245 and the formats of the house (H.245 §B.7). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from h323.describe.audio import read_audio
from h323.describe.video import H264
from transcode.media import Codec, Kind

_VIDEO = {"h261VideoMode": Codec.H261, "h263VideoMode": Codec.H263}


def read_mode(elements: Iterable[Any]) -> dict[Kind, Codec | None]:
    """Return the codec that a ModeDescription wants of each kind; None stands for one that is not spoken here.

    Kinds that it does not name stay as they are.
    """
    wanted: dict[Kind, Codec | None] = {}
    for element in elements:
        name, value = element["type"]
        if name == "audioMode" and value is not None and value[0] is not None:
            format = read_audio(value)
            wanted[Kind.AUDIO] = None if format is None else format.codec
        elif name == "videoMode" and value is not None and value[0] is not None:
            wanted[Kind.VIDEO] = _video(value)
    return wanted


def _video(mode: tuple[str, Any]) -> Codec | None:
    name, value = mode
    if name == "genericVideoMode":
        return Codec.H264 if value["capabilityIdentifier"] == ("standard", H264) else None
    return _VIDEO.get(name)
