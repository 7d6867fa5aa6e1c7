"""Configuration of menus, and of what callers hear and read there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from gateway.config_base import Section

Language = Annotated[str, Field(pattern=r"^[a-z]{2,8}(-[A-Za-z0-9]{1,8})?$")]
"""A language by its tag (ISO 639-1 for those that are shipped); an operator's own texts may add more."""


class IvrConfig(Section):
    """Menus. enabled: whether telephones and room systems are asked for a room and its PIN; language: what in.

    prompts: a directory of the operator's own sounds and texts, looked at before the shipped ones.
    """

    enabled: bool = True
    language: Language = "en"
    prompts: Path | None = None
