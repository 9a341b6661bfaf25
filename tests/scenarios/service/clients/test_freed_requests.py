"""An answered request leaves nothing to the garbage collector, least of all its file.

What only the collector frees stays for as long as it takes to run, and with files of 10 MB a few
requests double the memory of the service.
"""

import gc
from collections.abc import Iterator

import pytest

from service.api.http.request_context import RequestContext
from service.dataplane.query import Upload
from service.scheduling.admission import Permit
from tests.fixtures.service import Start

KINDS = (Upload, Permit, RequestContext)
DICOM = {"Content-Type": "application/dicom"}


def objects() -> list[object]:
    """Return the objects of requests that exist."""
    return [item for item in gc.get_objects() if type(item) in KINDS]


@pytest.fixture
def before() -> Iterator[list[object]]:
    """Objects that other tests have left; from now on, the collector frees none."""
    gc.collect()
    gc.disable()
    yield objects()
    gc.enable()


def new(before: list[object]) -> list[str]:
    """Return the kinds of the objects that were made since."""
    known = {id(item) for item in before}
    return [type(item).__name__ for item in objects() if id(item) not in known]


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/v1/classify", "application/json", 200),
        ("/v1/ground?phrase=bright", "image/png", 200),
        ("/v1/ground", "application/json", 422),
        ("/v1/classify", "text/plain", 406),
    ],
)
async def test_a_request_is_freed_once_it_is_answered(
    start: Start,
    rectangle_dicom: bytes,
    before: list[object],
    path: str,
    accept: str,
    status: int,
) -> None:
    async with start() as (_, client):
        headers = {**DICOM, "Accept": accept}
        response = await client.post(path, content=rectangle_dicom, headers=headers)
        assert response.status_code == status
    assert new(before) == []


async def test_a_damaged_file_is_freed_once_it_is_refused(
    start: Start, rectangle_dicom: bytes, before: list[object]
) -> None:
    async with start() as (_, client):
        response = await client.post("/v1/classify", content=rectangle_dicom[:900], headers=DICOM)
        assert response.status_code == 400
    assert new(before) == []
