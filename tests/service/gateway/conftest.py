"""Fixtures of the gateway's tests: a fake service, an archive, and a gateway between them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom")

from service.gateway.configuration import Configuration
from service.gateway.gateway import Gateway
from tests.builders.gateway import running
from tests.builders.gateway.archive import Archive, archive
from tests.builders.gateway.fake_service import FakeService, fake_service


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as state:
        yield state


@pytest.fixture
def pacs() -> Iterator[Archive]:
    with archive() as state:
        yield state


@pytest.fixture
def configured(tmp_path: Path, service: FakeService, pacs: Archive) -> Configuration:
    return running.configuration(tmp_path / "gateway", service.url, pacs.port)


@pytest.fixture
def gateway(configured: Configuration) -> Iterator[Gateway]:
    with running.running(configured) as started:
        yield started
