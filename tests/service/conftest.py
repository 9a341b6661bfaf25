"""Fixtures of the service's tests: the real application around the tiny version."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.api.app import create_app
from service.events import Observer
from service.loading import BackendFactory
from service.settings import Settings
from service.tracing import Tracing
from tests import sample_files, tiny_version

Start = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, httpx.AsyncClient]]]

ROWS, COLUMNS = 160, 120
"""Not square: 64 x 48 on the model's grid, 8 of its columns being padding on either side."""
RECTANGLE = (20, 40, 60, 80)
"""x0, y0, x1, y1 of what is bright, on cell edges of every map of the tiny version."""


@pytest.fixture
def settings(tiny_models: Path) -> Settings:
    return Settings(
        models_dir=tiny_models,
        default_model=tiny_version.NAME,
        threads=1,
        max_body_bytes=2_000_000,
        max_phrase_chars=64,
    )


@pytest.fixture
def start(settings: Settings) -> Start:
    """Start an application, loaded, and a client of it; settings may be changed by name."""

    @asynccontextmanager
    async def run(
        backends: BackendFactory | None = None,
        observer: Observer | None = None,
        tracing: Tracing | None = None,
        **changes: Any,
    ) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
        app = create_app(settings.model_copy(update=changes), backends, observer, tracing)
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app):
            await asyncio.to_thread(app.state.models.wait, 60)
            async with httpx.AsyncClient(transport=transport, base_url="http://g2d") as client:
                yield app, client

    return run


@pytest.fixture
async def client(start: Start) -> AsyncIterator[httpx.AsyncClient]:
    async with start() as (_, client):
        yield client


@pytest.fixture(scope="session")
def rectangle_dicom() -> bytes:
    return sample_files.dicom_file(sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE))


@pytest.fixture(scope="session")
def rectangle_png() -> bytes:
    return sample_files.png_file(sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE))
