"""The compose profile `pacs` without containers: its commands and files, run natively.

    python -m tests.builders.pacs.compose_profile [--ohif DIST]

    Orthanc --docker/pacs/orthanc.json     nginx --docker/pacs/nginx.conf: viewer and /dicom-web/
    gateway --docker/pacs/gateway.toml     forwarder --command of docker-compose.yml
    service: a stand-in that answers at once

Everything runs in a network and a mount namespace of its own, in which the names of the services
are those of this host, and the folders of the volumes are temporary ones. A radiograph is stored in
Orthanc; its results must come back, and be had through nginx. The last line is JSON.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.builders.gateway.fake_service import fake_service
from tests.builders.gateway.radiographs import ROOT as UIDS
from tests.builders.gateway.radiographs import radiograph
from tests.builders.pacs import namespace
from tests.builders.pacs.restarts import OBJECTS, ROOT, Program

NGINX = "/usr/sbin/nginx"
PACS = ROOT / "docker/pacs"
VIEWER, ORTHANC, WEB, SERVICE = 3000, 8042, 8010, 8000
INDEX = "<!doctype html><title>OHIF</title>"
_INSIDE = "G2D_INSIDE_MOUNTS"
_NAMES = "127.0.0.1 localhost service gateway orthanc ohif forwarder\n"


def enter(module: str) -> None:
    """Run a module again in namespaces for mounts and the network, unless it is in them."""
    if os.environ.get(_INSIDE):
        namespace.enter(module)
        return
    os.environ[_INSIDE] = "1"
    command = [sys.executable, "-m", module, *sys.argv[1:]]
    os.execvp("unshare", ["unshare", "--mount", *command])  # noqa: S606, S607


def mount(source: Path, target: Path) -> None:
    """Mount a file or folder over another one, in this namespace only."""
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)  # noqa: S607


@contextlib.contextmanager
def names(folder: Path) -> Iterator[None]:
    """Give this host the names of the services."""
    (folder / "hosts").write_text(_NAMES)
    mount(folder / "hosts", Path("/etc/hosts"))
    yield


@contextlib.contextmanager
def volumes(folder: Path, *paths: str) -> Iterator[None]:
    """Make the folders of volumes, each a temporary one."""
    srv = folder / "srv"
    srv.mkdir()
    mount(srv, Path("/srv"))
    for path in paths:
        (folder / path.lstrip("/")).mkdir(parents=True)
    yield


def services() -> dict[str, Any]:
    """Return the services of docker-compose.yml."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def programs(folder: Path) -> dict[str, Program]:
    """Return the programs of the profile, with the commands and settings of the compose file."""
    described = services()
    settings = json.loads((PACS / "orthanc.json").read_text())
    database = str(folder / "orthanc-db")  # the image makes the folder of its volume
    settings |= {"StorageDirectory": database, "IndexDirectory": database}
    (folder / "orthanc.json").write_text(json.dumps(settings))
    environment = described["gateway"]["environment"] | {
        "G2D_GATEWAY_FILE": str(PACS / "gateway.toml"),  # mounted in the container
        "PYTHONPATH": str(ROOT),
    }
    forwarder = [sys.executable, str(PACS / "forward_changes.py")]
    return {
        "orthanc": Program(["Orthanc", str(folder / "orthanc.json")], folder / "orthanc.log"),
        "nginx": Program(
            [NGINX, "-c", str(PACS / "nginx.conf"), "-g", "daemon off;"], folder / "nginx.log"
        ),
        "gateway": Program(
            [sys.executable, "-m", "g2d", *described["gateway"]["command"]],
            folder / "gateway.log",
            environment,
        ),
        "forwarder": Program(
            [*forwarder, *described["forwarder"]["command"]], folder / "forwarder.log"
        ),
    }


def get(port: int, path: str, data: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    """Return status, header fields in lower case and body of an answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            fields = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, fields, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {}, error.read()


def until(condition: Callable[[], bool], timeout_s: float = 120.0) -> bool:
    """Wait until a condition holds; return False if it does not in time."""
    due = time.monotonic() + timeout_s
    while time.monotonic() < due:
        with contextlib.suppress(OSError):
            if condition():
                return True
        time.sleep(0.2)
    return False


def found_through_nginx() -> dict[str, Any]:
    """Return what a browser finds below the address of the viewer."""
    study = f"/dicom-web/studies/{UIDS}.2.1"
    status, _, body = get(VIEWER, f"{study}/instances?includefield=00080060")
    rows = json.loads(body) if status == 200 else []
    modalities = sorted(row["00080060"]["Value"][0] for row in rows)
    presentation = [row for row in rows if row["00080060"]["Value"][0] == "PR"]
    retrieved = []
    for row in presentation:  # acceptance case 6: no 400 or 500 for a presentation state
        series = row["0020000E"]["Value"][0]
        instance = row["00080018"]["Value"][0]
        path = f"{study}/series/{series}/instances/{instance}"
        retrieved = [get(VIEWER, path)[0], get(VIEWER, f"{path}/metadata")[0]]
    pages = {path: get(VIEWER, path) for path in ("/", "/viewer?StudyInstanceUIDs=1", "/x.wasm")}
    large = get(VIEWER, "/dicom-web/studies", b"\0" * 3_000_000)[0]
    return {
        "modalities": modalities,
        "presentation": retrieved,
        "pages": {path: page[0] for path, page in pages.items()},
        "fallback_is_index": pages["/viewer?StudyInstanceUIDs=1"][2] == pages["/"][2],
        "headers": {
            name: pages["/"][1].get(name)
            for name in (
                "content-security-policy",
                "cross-origin-opener-policy",
                "cross-origin-embedder-policy",
                "server",
            )
        },
        "wasm": pages["/x.wasm"][1].get("content-type"),
        "large_body": large,
        "retrieve_url": rows[0].get("00081190", {}).get("Value", [""])[0] if rows else "",
    }


def lay_out_viewer(dist: Path | None) -> None:
    """Put the viewer where the image has it: its package, or a page in its place."""
    root = Path("/srv/ohif")
    root.mkdir()
    if dist is not None:
        mount(dist, root)
        return
    (root / "index.html").write_text(INDEX)
    (root / "x.wasm").write_bytes(b"\0asm")


def run(folder: Path, dist: Path | None) -> dict[str, Any]:
    """Return what came of one radiograph."""
    with (
        names(folder),
        volumes(folder, "/srv/g2d/gateway", "/srv/g2d/forwarder", "orthanc-db"),
        fake_service(SERVICE),
        contextlib.ExitStack() as stack,
    ):
        lay_out_viewer(dist)
        parts = programs(folder)
        checked = subprocess.run(
            [NGINX, "-t", "-c", str(PACS / "nginx.conf")],
            check=False,
            capture_output=True,
            text=True,
        )
        for part in parts.values():
            part.start()
            stack.callback(part.end, signal.SIGTERM)
        ready = until(lambda: get(WEB, "/health/ready")[0] == 200)
        until(lambda: get(ORTHANC, "/system")[0] == 200)
        stored = get(ORTHANC, "/instances", radiograph(1))[0]
        expected = 1 + len(OBJECTS)
        complete = until(
            lambda: json.loads(get(ORTHANC, "/statistics")[2])["CountInstances"] == expected
        )
        delivered = 'g2d_gateway_results{peer="orthanc",state="done"} 4.0'
        committed = until(lambda: delivered in get(WEB, "/metrics")[2].decode())
        return {
            "nginx": checked.stderr,
            "ready": ready,
            "stored": stored,
            "complete": complete,
            "committed": committed,
            **found_through_nginx(),
        }


def main() -> None:
    """Print what was found."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--ohif", type=Path, help="folder of the viewer, instead of a page")
    options = line.parse_args()
    enter("tests.builders.pacs.compose_profile")
    dist = None if options.ohif is None else options.ohif.resolve()
    with TemporaryDirectory() as folder:
        result = run(Path(folder), dist)
    print(json.dumps(result))  # noqa: T201


if __name__ == "__main__":
    main()
