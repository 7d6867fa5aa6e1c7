"""Rows as plain data, whatever stands in them: a damaged value must not hide the rows around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

import structlog

log = structlog.get_logger()

LARGEST = 2**63 - 1
"""The largest whole number of a column."""
LATEST = 1e11
"""The latest moment in seconds since 1970, some three thousand years from now: later ones are no dates to Python."""

Row = TypeVar("Row")


def fit(kind: type[Row], row: Mapping[Any, Any]) -> Row:
    """Return a row; a value that cannot stand in its column becomes what is usual there, and the log tells of it.

    A text of a wrong type stays what it can be read as: a damaged PIN must not become none.
    """
    found: dict[str, Any] = {}
    mended = []
    for field in fields(kind):  # type: ignore[arg-type]
        value = row[field.name]
        fitting = _FITTING[str(field.type)](value)
        found[field.name] = _usual(field) if fitting is None and field.type != OPTIONAL else fitting
        if found[field.name] != value or type(found[field.name]) is not type(value):
            mended.append(field.name)
    if mended:
        log.warning("row_mended", kind=kind.__name__, row=str(row[fields(kind)[0].name])[:64], columns=mended)  # type: ignore[arg-type]
    return kind(**found)


def _usual(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return {"str": "", "int": 0, "float": 0.0, "bool": False}[str(field.type)]


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if value is None else str(value)


def _number(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) <= LARGEST else None


def _moment(value: Any) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > LATEST:
        return None
    return float(value)


def _flag(value: Any) -> bool | None:
    return None if value is None else bool(value)


OPTIONAL = "str | None"
_FITTING: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    OPTIONAL: _text,
    "int": _number,
    "float": _moment,
    "bool": _flag,
}
"""By the type of a field, as it is written in `tables`."""
