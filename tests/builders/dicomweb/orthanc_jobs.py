"""A real Orthanc and a real service: a study is answered by reference, and its results go back.

    python -m tests.builders.dicomweb.orthanc_jobs MODELS

    Orthanc (DICOMweb) <--QIDO-RS, WADO-RS, STOW-RS-- g2d serve <--POST /v1/jobs-- this program

Orthanc listens on every address whatever its settings say, so that everything runs in a network
namespace of its own. The last line is a JSON object: the counts of the items of two jobs over the
same study, what the second skipped, and the modalities that the study then has.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx

from tests.builders.files import dicom_files

ROOT = Path(__file__).parents[3]
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ORTHANC, SERVICE = "http://127.0.0.1:8042", "http://127.0.0.1:8000"
STUDY = "1.2.3"
_INSIDE = "G2D_INSIDE_NAMESPACE"
_WAIT_S = 120

T = TypeVar("T")


def inside_namespace() -> None:
    """Run this program again in a network namespace of its own, unless it is in one."""
    if os.environ.get(_INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607
        return
    os.environ[_INSIDE] = "1"
    command = [sys.executable, "-m", "tests.builders.dicomweb.orthanc_jobs", *sys.argv[1:]]
    os.execvp("unshare", ["unshare", "--net", *command])  # noqa: S606, S607


@contextlib.contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[None]:
    """Run a program until the end of the context."""
    with log.open("wb") as output:
        variables = os.environ | environment
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=variables)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def until(ask: Callable[[], T | None]) -> T:
    """Return the first answer that is not None; errors of the connection are no answer."""
    end = time.monotonic() + _WAIT_S
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if (answer := ask()) is not None:
                return answer
        time.sleep(0.2)
    raise TimeoutError


def send_radiographs(client: httpx.Client) -> None:
    """Send two radiographs of one study to Orthanc."""
    pixels = dicom_files.ramp()
    for number in (1, 2):
        made = dicom_files.dataset(
            pixels,
            StudyInstanceUID=STUDY,
            SeriesInstanceUID=f"{STUDY}.4",
            SOPInstanceUID=f"{STUDY}.4.{number}",
            PatientID="7",
            StudyDate="20260101",
            StudyTime="101010",
        )
        file = dicom_files.write(made, pixels.tobytes())
        client.post(f"{ORTHANC}/instances", content=file).raise_for_status()


def job(client: httpx.Client) -> tuple[dict[str, int], dict[str, int]]:
    """Send a job about the study and wait for its end; return its counts and what it skipped."""
    references = [{"server": "pacs", "study": STUDY}]
    body = {"references": references, "store": True}
    accepted = client.post(f"{SERVICE}/v1/jobs?tasks=classify,segment", json=body)
    accepted.raise_for_status()

    def finished() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"{SERVICE}{accepted.headers['location']}").json()
        return found if found["state"] == "finished" else None

    end = until(finished)
    return end["items"], end["skipped"]


def main() -> None:
    """Run everything and print what was found."""
    inside_namespace()
    with TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        settings = {
            "StorageDirectory": str(folder / "orthanc"),
            "IndexDirectory": str(folder / "orthanc"),
            "DicomServerEnabled": False,
            "AuthenticationEnabled": False,
            "Plugins": [str(PLUGIN)],
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        servers = f'[servers.pacs]\nurl = "{ORTHANC}/dicom-web"\nstore = true\n'
        (folder / "servers.toml").write_text(servers)
        stack.enter_context(running(["Orthanc", str(folder / "orthanc.json")], folder / "o.log"))
        serve = [sys.executable, "-m", "g2d", "serve", "--models-dir", sys.argv[1]]
        environment = {
            "G2D_DEFAULT_MODEL": "tiny",
            "G2D_DICOMWEB_FILE": str(folder / "servers.toml"),
            "G2D_JOBS_DIR": str(folder / "jobs"),
            "G2D_JOBS_MIN_FREE_BYTES": "0",
            "G2D_TRIAL_TIMEOUT_S": "0",
        }
        stack.enter_context(running(serve, folder / "g.log", **environment))
        client = stack.enter_context(httpx.Client(trust_env=False, timeout=60))
        until(lambda: client.get(f"{ORTHANC}/system").raise_for_status())
        send_radiographs(client)
        until(lambda: client.get(f"{SERVICE}/health/ready").raise_for_status())
        first, _ = job(client)
        second, skipped = job(client)
        listed = f"{ORTHANC}/dicom-web/studies/{STUDY}/instances?includefield=00080060"
        modalities = Counter(row["00080060"]["Value"][0] for row in client.get(listed).json())
        found = {"first": first, "second": second, "skipped": skipped, "modalities": modalities}
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
