"""Fixtures of the worklist's tests: a strict worklist, a DICOMweb server, and a gateway."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.gateway.configuration import Configuration
from tests.builders.dicomweb import server as dicomweb_server
from tests.builders.dicomweb.server import DicomwebServer
from tests.builders.gateway import running
from tests.builders.gateway.archive import Archive
from tests.builders.gateway.fake_service import FakeService
from tests.builders.gateway.radiographs import ROOT, radiograph
from tests.builders.gateway.worklist_server import (
    PROCEDURE,
    STATION,
    WorklistServer,
    worklist_server,
)

Configure = Callable[..., Configuration]
QUICK = {"first_s": 0.02, "longest_s": 0.1, "attempts": 60, "refusals": 3}


@pytest.fixture(params=[400, 409], ids=["incorrect-400", "incorrect-409"])
def each_worklist(request: pytest.FixtureRequest, worklist: WorklistServer) -> WorklistServer:
    """The worklist with each status that servers give to an incorrect Transaction UID."""
    worklist.incorrect = request.param
    return worklist


@pytest.fixture
def worklist() -> Iterator[WorklistServer]:
    with worklist_server() as state:
        yield state
    assert state.violations == []


@pytest.fixture
def sources() -> Iterator[DicomwebServer]:
    """A server that has the radiographs 1 to 3."""
    with dicomweb_server.running() as state:
        for number in (1, 2, 3):
            key = (f"{ROOT}.2.{number}", f"{ROOT}.3.{number}", f"{ROOT}.1.{number}")
            state.instances[key] = radiograph(number)
        yield state


@pytest.fixture
def configure(
    tmp_path: Path,
    service: FakeService,
    pacs: Archive,
    worklist: WorklistServer,
    sources: DicomwebServer,
) -> Configure:
    """Return a function that makes a configuration with changes to its worklist."""

    def make(peer: dict[str, Any] | None = None, **changes: Any) -> Configuration:
        servers = tmp_path / "servers.toml"
        servers.write_text(f'[servers.pacs]\nurl = "{sources.url}"\n')
        usual = {
            "name": "hospital",
            "url": worklist.url,
            "station": STATION,
            "procedures": [PROCEDURE],
            "servers_file": servers,
            "server": "pacs",
            "poll_s": 0.05,
            "timeout_s": 5.0,
            "retry": QUICK,
        }
        return running.configuration(
            tmp_path / "gateway",
            service.url,
            pacs.port,
            peer or {},
            worklists=[usual | changes],
        )

    return make
