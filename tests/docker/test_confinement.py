"""The service as its image runs it: another user, no privileges, and a read-only file system.

The writable folders are those that `docker-compose.yml` declares. An engine is not needed.
"""

import errno
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.builders.deploy.confined import USER, confined, missing
from tests.builders.gateway.ports import free_port
from tests.builders.models.versions import tiny_version
from tests.docker.test_compose import ROOT, environment, mounted

NAME = "service"
INSIDE = """
import errno, json, os, pathlib, sys
found = {}
for folder in sys.argv[1:]:
    try:
        (pathlib.Path(folder) / "written").touch()
        found[folder] = 0
    except OSError as error:
        found[folder] = error.errno
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(json.dumps([found, os.getuid(), int(status["CapEff"], 16), int(status["NoNewPrivs"])]))
"""


class Container:
    """What the image and compose declare, below a folder of this host.

    Attributes:
        writable: the declared folders that may be written.
        variables: environment of the image and of compose, with these folders.
    """

    def __init__(self, folder: Path, models: Path) -> None:
        places = {
            place: folder / Path(place).name
            for place, (_, mode) in mounted(NAME).items()
            if mode != "ro"
        }
        places["/tmp"] = folder / "tmp"  # noqa: S108 - in the container
        for place in places.values():
            place.mkdir(mode=0o700)
        self.writable = tuple(places.values())
        self.port = free_port()
        self.variables = {
            **{name: str(places.get(value, value)) for name, value in environment(NAME).items()},
            "G2D_MODELS_DIR": str(models),
            "G2D_DEFAULT_MODEL": tiny_version.NAME,
            "G2D_HOST": "127.0.0.1",
            "G2D_PORT": str(self.port),
            "G2D_THREADS": "1",
            "G2D_KEYS_FILE": str(places["/srv/g2d/keys"] / "keys.json"),
            "G2D_ALLOW_ANONYMOUS": "false",
            "G2D_AUDIT_FILE": str(places["/srv/g2d/audit"] / "audit.sqlite"),
            "HOME": str(places["/tmp"]),  # noqa: S108 - in the container
            "TMPDIR": str(places["/tmp"]),  # noqa: S108 - in the container
            "PATH": os.environ["PATH"],
        }

    def start(self, *command: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            confined(self.writable, command),
            cwd=ROOT,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str) -> str:
        """Return what a command prints that must succeed."""
        with self.start(*command) as process:
            output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return output

    def g2d(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "g2d", *arguments)

    def ask(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        with closing(connection):
            connection.request("POST", path, body, dict(headers))
            response = connection.getresponse()
            response.read()
            return response.status


@pytest.fixture
def container(tmp_path: Path, tiny_models: Path) -> Container:
    if reason := missing(tmp_path):
        pytest.skip(reason)
    return Container(tmp_path, tiny_models)


@pytest.fixture
def key(container: Container) -> str:
    scopes = ("--scope", "infer", "--scope", "jobs")
    return container.g2d("keys", "create", "--owner", "pacs", *scopes).strip()


@pytest.fixture
def service(container: Container, key: str) -> Iterator["subprocess.Popen[str]"]:
    with container.start(sys.executable, "-m", "g2d", "serve") as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: "subprocess.Popen[str]", *messages: str) -> None:
    """Read the log until each of these messages has come."""
    assert process.stderr is not None
    awaited = set(messages)
    seen: list[str] = []
    while awaited:
        line = process.stderr.readline()
        assert line, f"the service ended: {seen[-5:]}"
        seen.append(line)
        awaited -= {message for message in awaited if message in line}


def test_nothing_but_the_declared_folders_can_be_written(
    container: Container, tmp_path: Path, tiny_models: Path
) -> None:
    fixed = (ROOT, ROOT / "service", tiny_models, tmp_path)
    folders = [str(folder) for folder in (*container.writable, *fixed)]
    found, user, capabilities, no_new_privileges = json.loads(
        container.run(sys.executable, "-c", INSIDE, *folders)
    )
    written = dict.fromkeys(map(str, container.writable), 0)
    assert found == written | dict.fromkeys(map(str, fixed), errno.EROFS)
    assert (user, capabilities, no_new_privileges) == (USER, 0, 1)


def test_the_service_does_all_its_work_there(
    container: Container, key: str, service: "subprocess.Popen[str]", rectangle_dicom: bytes
) -> None:
    wait_for(service, "Uvicorn running", "is ready after")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/dicom"}
    assert container.ask("/v1/analyze?phrase=bright", rectangle_dicom, headers) == 200
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("a.dcm", rectangle_dicom)
    zipped = headers | {"Content-Type": "application/zip"}
    assert container.ask("/v1/jobs", body.getvalue(), zipped) == 202
    wait_for(service, "job finished")
    container.run(sys.executable, str(ROOT / "docker/healthcheck.py"))
    service.send_signal(signal.SIGTERM)
    assert service.wait(120) in (0, -signal.SIGTERM)
    audit = ("--file", container.variables["G2D_AUDIT_FILE"])
    container.g2d("audit", "verify", *audit)
    acts = {
        json.loads(json.loads(line)["record"])["act"]
        for line in container.g2d("audit", "export", *audit).splitlines()
    }
    assert {"started", "infer", "infer-job-item", "stopped"} <= acts
