"""Fixtures of the service's tests: the real application around the tiny version."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.api.app import create_app
from service.decoding import DecoderOptions, Decoders
from service.events import Observer
from service.opening import BackendFactory
from service.settings import Settings
from service.tracing import Tracing
from tests import distinct_versions, sample_files, tiny_version
from tests.service.gate import Gate

Start = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, httpx.AsyncClient]]]

ROWS, COLUMNS = 160, 120
"""Not square: 64 x 48 on the model's grid, 8 of its columns being padding on either side."""
RECTANGLE = (20, 40, 60, 80)
"""x0, y0, x1, y1 of what is bright, on cell edges of every map of the tiny version."""


@pytest.fixture(scope="session")
def distinct_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions that answer differently, the first as `stable`; to be copied."""
    root = tmp_path_factory.mktemp("distinct")
    distinct_versions.publish(root, bias=1.0)
    distinct_versions.publish(root, bias=2.0, alias=None)
    return root


@pytest.fixture
def root(distinct_models: Path, tmp_path: Path) -> Path:
    """A copy of `distinct_models` that a test may change."""
    return tiny_version.copy(distinct_models, tmp_path / "models")


@pytest.fixture
def settings(tiny_models: Path, tmp_path: Path) -> Settings:
    return Settings(
        models_dir=tiny_models,
        jobs_dir=tmp_path / "jobs",
        jobs_min_free_bytes=0,
        default_model=tiny_version.NAME,
        threads=1,
        max_body_bytes=2_000_000,
        max_phrase_chars=64,
    )


@pytest.fixture(scope="session")
def decoders() -> Iterator[Decoders]:
    """The decoder processes of every application that does not ask for its own."""
    running = Decoders(DecoderOptions(workers=2))
    running.start()
    yield running
    running.close()


@pytest.fixture
def start(settings: Settings, decoders: Decoders) -> Start:
    """Start an application, loaded, and a client of it; settings may be changed by name.

    One that asks for a number of `decode_workers` gets processes of its own.
    """

    @asynccontextmanager
    async def run(
        backends: BackendFactory | None = None,
        observer: Observer | None = None,
        tracing: Tracing | None = None,
        **changes: Any,
    ) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
        shared = None if "decode_workers" in changes else decoders
        changed = settings.changed(**changes)
        app = create_app(changed, backends, observer, tracing, shared)
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


@pytest.fixture
def gates() -> Iterator[list[Gate]]:
    """Where `gate.build` keeps its backends; opened at the end, so that no thread is left."""
    made: list[Gate] = []
    yield made
    for gate in made:
        gate.open.set()
