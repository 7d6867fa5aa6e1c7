"""Features of H.460 as RAS and call signalling tell of them (H.225.0 FeatureSet, GenericData). Pure.

A feature is named by the number of its Recommendation. A message tells features that its sender supports, those that it
would like, and those without which it will not go on; whoever answers repeats those that hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Value = dict[str, Any]

TUNNEL = 17
"""H.460.17: RAS inside the call signalling connection."""
SIGNALLING = 18
"""H.460.18: signalling through a translator."""
MEDIA = 19
"""H.460.19: media through a translator."""
KNOWN = frozenset({TUNNEL, SIGNALLING, MEDIA})
"""Features that may be demanded of us."""
MAX_FEATURES = 32
"""Features read of one message; real endpoints name at most eight."""


def write_feature(number: int, parameters: Mapping[int, Any] | None = None) -> Value:
    """Return a FeatureDescriptor or GenericData; a parameter's value is a Content, None for one that only is there."""
    found: Value = {"id": ("standard", number)}
    if parameters:
        found["parameters"] = [
            {"id": ("standard", name)} | ({} if content is None else {"content": content})
            for name, content in parameters.items()
        ]
    return found


def write_supported(*features: Value) -> Value:
    """Return a FeatureSet of features that are supported."""
    return {"replacementFeatureSet": False, "supportedFeatures": list(features)}


def told(body: Value | None) -> list[Value]:
    """Return all features that a message's body names, in its featureSet or as SETUP does beside it."""
    found: list[Value] = []
    for place in (body or {}, (body or {}).get("featureSet") or {}):
        for name in ("neededFeatures", "desiredFeatures", "supportedFeatures"):
            found += list(place.get(name) or ())
    return found[:MAX_FEATURES]


def find(features: Iterable[Value], number: int) -> Value | None:
    """Return the feature of that number."""
    return next((one for one in features if one["id"] == ("standard", number)), None)


def parameters(feature: Value, name: int) -> list[Any]:
    """Return the contents of all parameters of that number, as CHOICEs; None for one without content."""
    listed = feature.get("parameters") or ()
    return [one.get("content") for one in listed if one["id"] == ("standard", name)]


def octets(feature: Value, name: int) -> list[bytes]:
    """Return the contents of the parameters of that number that are raw octets."""
    return [bytes(one[1]) for one in parameters(feature, name) if one is not None and one[0] == "raw"]


def refused(body: Value | None) -> list[str]:
    """Return the features that a message demands and that are not spoken here, as text."""
    places = (body or {}, (body or {}).get("featureSet") or {})
    needed = [one for place in places for one in place.get("neededFeatures") or ()]
    return [
        str(one["id"][1])[:32]
        for one in needed[:MAX_FEATURES]
        if not (one["id"][0] == "standard" and one["id"][1] in KNOWN)
    ]
