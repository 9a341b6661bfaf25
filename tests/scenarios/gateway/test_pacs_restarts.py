"""A real Orthanc is stopped and started and the gateway killed, twice each: nothing is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.pacs.namespace import missing
from tests.builders.pacs.restarts import OBJECTS, ROOT

RADIOGRAPHS = int(os.environ.get("PACS_RADIOGRAPHS", "8"))
"""PACS_RADIOGRAPHS=200 is what docs/pacs.md states, and takes minutes."""


def test_each_radiograph_has_exactly_one_set_of_results(tmp_path: Path) -> None:
    pytest.importorskip("pynetdicom")
    if reason := missing("Orthanc"):
        pytest.skip(reason)
    command = [sys.executable, "-m", "tests.builders.pacs.restarts"]
    done = subprocess.run(
        [*command, "--radiographs", str(RADIOGRAPHS), "--keep", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=300 + 10 * RADIOGRAPHS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["studies"] == RADIOGRAPHS
    assert result["instances"] == {str(1 + len(OBJECTS)): RADIOGRAPHS}
