"""The compose profile `pacs` does its work with the files and commands that it is made of."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.builders.pacs.namespace import missing
from tests.builders.pacs.restarts import ROOT

NGINX = "/usr/sbin/nginx"


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    pytest.importorskip("pynetdicom")
    if reason := missing("Orthanc", NGINX, "mount"):
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, "-m", "tests.builders.pacs.compose_profile"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_radiograph_in_orthanc_gets_its_results(result: dict[str, Any]) -> None:
    assert result["ready"]
    assert result["stored"] == 200
    assert result["complete"]
    assert result["committed"]
    assert result["modalities"] == ["CR", "OT", "PR", "SEG", "SR"]


def test_the_configuration_of_nginx_is_valid(result: dict[str, Any]) -> None:
    assert "test is successful" in result["nginx"]
    assert "[warn]" not in result["nginx"]
    assert "[emerg]" not in result["nginx"]


def test_the_viewer_is_served_with_its_headers(result: dict[str, Any]) -> None:
    assert set(result["pages"].values()) == {200}
    assert result["fallback_is_index"]
    assert result["headers"]["content-security-policy"].startswith("default-src 'self'")
    assert result["headers"]["cross-origin-opener-policy"] == "same-origin"
    assert result["headers"]["cross-origin-embedder-policy"] == "require-corp"
    assert result["headers"]["server"] == "nginx"
    assert result["wasm"] == "application/wasm"


def test_dicomweb_is_served_below_the_address_of_the_viewer(result: dict[str, Any]) -> None:
    assert result["presentation"] == [200, 200]
    assert result["retrieve_url"].startswith("http://127.0.0.1:3000/dicom-web/")
    assert result["large_body"] != 413
