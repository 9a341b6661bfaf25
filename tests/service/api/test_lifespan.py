"""Stopping waits for what ends, and not for a version that never loads."""

import asyncio
import logging
import threading
from pathlib import Path

import pytest

from radiograph.errors import InvalidVersion
from radiograph.manifest import ModelManifest
from service.api import lifespan
from service.api.app import create_app
from service.backends.base import Backend
from service.decoding.pool import DecoderPool
from service.dicom_results import kinds, writer
from service.settings import Settings


async def test_stopping_leaves_a_version_that_never_loads(
    settings: Settings,
    decoders: DecoderPool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def never(folder: Path, manifest: ModelManifest) -> Backend:
        begun.set()
        assert go.wait(600)
        ended.set()
        raise InvalidVersion("the test is over")

    monkeypatch.setattr(lifespan, "STEP_ENDS_WITHIN_S", 0.05)
    app = create_app(settings, never, decoders=decoders)
    async with app.router.lifespan_context(app):
        assert await asyncio.to_thread(begun.wait, 600)
    assert not ended.is_set()
    assert "loading at start did not end within 0.05 s" in caplog.text
    with caplog.at_level(logging.CRITICAL):
        go.set()
        assert await asyncio.to_thread(ended.wait, 600)


async def test_dicom_encoders_are_prepared_beside_the_versions(
    settings: Settings,
    decoders: DecoderPool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = threading.Event()

    def fail() -> None:
        begun.set()
        raise ImportError("a name that is not to be logged")

    monkeypatch.setattr(kinds, "is_installed", lambda: True)
    monkeypatch.setattr(writer, "warm_up", fail)
    app = create_app(settings, decoders=decoders)
    async with app.router.lifespan_context(app):
        assert await asyncio.to_thread(begun.wait, 600)
        for thread in threading.enumerate():
            if thread.name == "dicom-results":
                await asyncio.to_thread(thread.join, 600)
    assert "the DICOM encoders cannot be prepared: ImportError" in caplog.text
