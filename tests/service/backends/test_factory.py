"""A service imports only the runtime that its settings choose."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
sys.modules[{absent!r}] = None  # as if it were not installed
from service.api.app import create_app
from service.settings import Settings
create_app(Settings.of(models_dir={models!r}, backend={backend!r}))
"""


@pytest.mark.parametrize(
    ("backend", "absent"), [("ort", "tritonclient"), ("ort", "gevent"), ("triton", "onnxruntime")]
)
def test_a_service_starts_without_the_runtime_that_it_does_not_use(
    tiny_models: Path, backend: str, absent: str
) -> None:
    script = SCRIPT.format(absent=absent, models=str(tiny_models), backend=backend)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
