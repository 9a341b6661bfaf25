"""OHIF in headless Chromium shows masks and boxes where they should be, in every load."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.pacs.namespace import missing

ROOT = Path(__file__).parents[3]
CHROMIUM = "/usr/bin/chromium"
LOADS = int(os.environ.get("OHIF_LOADS", "2"))
"""OHIF_LOADS=10 is what docs/pacs.md states."""


@pytest.fixture
def dist() -> Path:
    """The viewer as its authors built it: `package/dist` of `npm pack @ohif/app@3.12.10`."""
    folder = os.environ.get("OHIF_DIST")
    if folder is None:
        pytest.skip("OHIF_DIST does not name the folder of OHIF")
    return Path(folder)


def test_ohif_shows_masks_and_boxes_aligned_and_asks_no_other_host(
    dist: Path, tmp_path: Path
) -> None:
    for package in ("playwright", "highdicom", "pynetdicom"):
        pytest.importorskip(package)
    if reason := missing("Orthanc", CHROMIUM):
        pytest.skip(reason)
    from tests.builders.pacs.phantom_study import write_study

    write_study(tmp_path / "study")
    command = [sys.executable, "-m", "tests.builders.pacs.ohif_view", "--loads", str(LOADS)]
    done = subprocess.run(
        [*command, "--ohif", str(dist), "--folder", str(tmp_path / "study")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=300 + 300 * LOADS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["faults"] == [[]] * LOADS
    assert result["hosts"] == ["127.0.0.1:3000"]
