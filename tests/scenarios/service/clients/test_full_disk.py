"""A disk that is really full: new jobs are refused, accepted ones lose nothing, no file is left."""

import contextlib
from pathlib import Path

import pytest

from bench.disturbances.scenarios import CannotRun, small_disk
from tests.builders.jobs.job_bodies import ZIP, radiograph, zip_file
from tests.builders.jobs.job_clients import accepted, finished
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

STUDY = zip_file({f"IM{number}": radiograph(number) for number in range(3)})


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


async def test_a_full_disk_refuses_new_jobs_and_loses_no_accepted_one(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "jobs"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(small_disk(folder, mib=2))
        except CannotRun as error:
            pytest.skip(str(error))
        async with start() as (_, client):
            address = await accepted(client, STUDY, ZIP, "?tasks=segment")
            fill(folder / "ballast")
            for _ in range(3):
                refused = await client.post("/v1/jobs", content=STUDY, headers=ZIP)
                check(refused, 507, "storage-full")
            (folder / "ballast").unlink()
            for job in (address, await accepted(client, STUDY, ZIP)):
                assert (await finished(client, job))["items"]["succeeded"] == 3
            assert [path.name for path in folder.rglob("*") if path.suffix == ".body"] == []
            assert list((folder / "incoming").iterdir()) == []
