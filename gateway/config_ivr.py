"""Configuration of what callers hear and read of menus."""

from __future__ import annotations

from pathlib import Path

from gateway.config_base import Section


class IvrConfig(Section):
    """Menus. prompts: a directory of the operator's own sounds and texts, looked at before the shipped ones."""

    prompts: Path | None = None
