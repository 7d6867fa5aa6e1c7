"""A media plane to test, in three forms: direct, through a proxy that pickles all, and in a process of its own."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sound_files import make_sounds

from transcode.events import MediaEvent
from transcode.interface import MediaPlane
from transcode.plane import Plane
from transcode.remote import RemotePlane
from transcode.settings import PlaneSettings


class PicklingPlane:
    """Lets nothing cross that cannot be pickled: every call, answer, exception and event is copied that way."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._plane, name)

        async def call(*arguments: Any) -> Any:
            try:
                answer = await method(*pickle.loads(pickle.dumps(arguments)))
            except Exception as error:
                raise pickle.loads(pickle.dumps(error)) from None
            return pickle.loads(pickle.dumps(answer))

        return call

    async def events(self) -> AsyncIterator[MediaEvent]:
        async for event in self._plane.events():
            yield pickle.loads(pickle.dumps(event))


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the sounds that planes of these tests play (see sound_files.py)."""
    return make_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(params=["direct", "pickled", "process"])
async def plane(request: pytest.FixtureRequest, sounds: Path) -> AsyncIterator[MediaPlane]:
    settings = PlaneSettings(address="127.0.0.1", low=41000, high=41399, sounds=(str(sounds),))
    made: Plane | RemotePlane = RemotePlane(settings) if request.param == "process" else Plane(settings)
    await made.start()
    yield PicklingPlane(made) if request.param == "pickled" else made  # type: ignore[misc]
    await made.stop()
