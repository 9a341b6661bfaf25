"""A DICOMweb server for every test of this folder."""

from collections.abc import Iterator

import pytest

from tests.builders.dicomweb.server import DicomwebServer, running


@pytest.fixture
def pacs() -> Iterator[DicomwebServer]:
    with running() as server:
        yield server
