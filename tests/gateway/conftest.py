"""Fixtures of the control plane's tests."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide this machine's ROOMBRIDGE_... from tests, which are about the defaults."""
    for name in list(os.environ):
        if name.startswith("ROOMBRIDGE_"):
            monkeypatch.delenv(name)
