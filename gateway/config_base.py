"""What all sections of the configuration have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration; an unknown key is an error, so that a misspelt one is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
