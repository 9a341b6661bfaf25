"""Jobs by reference with a real Orthanc: radiographs are answered, and results go back."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.dicomweb import orthanc_jobs


def test_radiographs_of_orthanc_are_answered_and_results_are_stored(tiny_models: Path) -> None:
    if shutil.which("Orthanc") is None or not orthanc_jobs.PLUGIN.exists():
        pytest.skip("Orthanc is not installed (Debian packages `orthanc`, `orthanc-dicomweb`)")
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("a network namespace needs root, unshare and ip")
    command = [sys.executable, "-m", "tests.builders.dicomweb.orthanc_jobs", str(tiny_models)]
    ended = subprocess.run(command, cwd=orthanc_jobs.ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    for job in ("first", "second"):
        assert (found[job]["succeeded"], found[job]["failed"]) == (2, 0)
    results = sum(found["modalities"].values()) - 2
    assert found["modalities"]["CR"] == 2
    assert {"SEG", "SR", "OT"} <= found["modalities"].keys()
    assert found["skipped"] == {"other_modality": results}  # the second job makes the same objects
