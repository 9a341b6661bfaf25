"""A real Orthanc and a real gateway that are stopped and killed while radiographs come in.

    python -m tests.builders.pacs.restarts --radiographs 200
    python -m tests.builders.pacs.restarts --radiographs 200 --real     with the service

    modality --C-STORE--> Orthanc --forward_changes--> gateway --HTTP--> service
                          Orthanc <------------C-STORE------------'

Orthanc listens on every address whatever its settings say, so that everything runs in a network
namespace of its own. A quarter and a half of the way through, the gateway is killed (SIGKILL) and,
a little later, Orthanc is stopped and started. The last line is a JSON object of what was found:
each radiograph must have exactly one set of results.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pynetdicom import AE
from pynetdicom.sop_class import ComputedRadiographyImageStorage  # type: ignore[attr-defined]

from tests.builders.gateway.fake_service import fake_service
from tests.builders.gateway.radiographs import parsed, radiograph
from tests.builders.pacs import namespace

ROOT = Path(__file__).parents[3]
DICOM, HTTP, GATEWAY, WEB, SERVICE = 4242, 8042, 11112, 8010, 8000
OBJECTS = ("seg", "sr", "gsps", "sc")

CONFIGURATION = """
folder = "{folder}/gateway"
min_free_bytes = 0
[listen]
port = {gateway}
timeout_s = 20
[web]
port = {web}
[service]
url = "http://127.0.0.1:{service}"
[[rules]]
name = "chest"
peers = ["orthanc"]
[[peers]]
name = "orthanc"
protocol = "dimse"
host = "127.0.0.1"
port = {dicom}
ae_title = "ORTHANC"
commitment = true
commitment_timeout_s = 10
retry = {{ first_s = 0.2, longest_s = 2 }}
"""


@dataclass
class Program:
    """One program that is started, killed and started again.

    Attributes:
        command: its command line.
        environment: further environment variables.
        log: file that it writes to.
    """

    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start the program."""
        with self.log.open("ab") as log:
            environment = os.environ | self.environment
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, stdout=log, stderr=log, env=environment
            )

    def end(self, how: signal.Signals) -> None:
        """End the program by a signal, and wait for it."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None


def orthanc(folder: Path) -> Program:
    """Return an Orthanc that knows the gateway, and commits to storage."""
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "DicomAet": "ORTHANC",
        "DicomPort": DICOM,
        "HttpPort": HTTP,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [],
        "DicomModalities": {"g2d": ["G2D", "127.0.0.1", GATEWAY]},
        "StableAge": 1,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    return Program(["Orthanc", str(folder / "orthanc.json")], folder / "orthanc.log")


def get(path: str) -> Any:
    """Return the answer of Orthanc."""
    with urllib.request.urlopen(f"http://127.0.0.1:{HTTP}{path}", timeout=10) as answer:
        return json.load(answer)


def send(number: int) -> None:
    """Store one radiograph in Orthanc as a modality does: again and again until it succeeds."""
    dataset = parsed(radiograph(number))
    while True:
        entity = AE("MODALITY")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
        entity.add_requested_context(
            ComputedRadiographyImageStorage, dataset.file_meta.TransferSyntaxUID
        )
        association = entity.associate("127.0.0.1", DICOM, ae_title="ORTHANC")
        if association.is_established:
            status = association.send_c_store(dataset).get("Status")
            association.release()
            if status == 0:
                return
        time.sleep(0.2)


def is_ready(port: int) -> bool:
    """Return whether the program that listens on a port is ready."""
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=10).close()
        return True
    return False


def wait_until_busy() -> None:
    """Wait until the gateway has analysed something since it was started."""
    while True:
        with contextlib.suppress(OSError):
            address = f"http://127.0.0.1:{WEB}/metrics"
            with urllib.request.urlopen(address, timeout=10) as answer:
                if b'g2d_gateway_analyses_total{outcome="done"}' in answer.read():
                    return
        time.sleep(0.05)


def found(count: int, timeout_s: float) -> dict[str, Any]:
    """Return the numbers of instances of each study, once all are there or the time is over."""
    due = time.monotonic() + timeout_s
    wanted = 1 + len(OBJECTS)
    while True:
        with contextlib.suppress(OSError):
            studies = get("/studies?expand")
            sizes = Counter(
                get(f"/studies/{study['ID']}/statistics")["CountInstances"] for study in studies
            )
            if sizes == {wanted: count} or time.monotonic() > due:
                return {"studies": len(studies), "instances": dict(sizes)}
        time.sleep(1)


@contextlib.contextmanager
def service(folder: Path, *, real: bool) -> Iterator[None]:
    """Run the real service, or one that answers at once."""
    if not real:
        with fake_service(SERVICE):
            yield
        return
    program = Program(
        [sys.executable, "-m", "g2d", "serve", "--port", str(SERVICE)], folder / "service.log"
    )
    program.start()
    try:
        while not is_ready(SERVICE):
            time.sleep(0.5)
        yield
    finally:
        program.end(signal.SIGTERM)


def run(count: int, folder: Path, *, real: bool) -> dict[str, Any]:
    """Return what Orthanc has after all radiographs came in."""
    (folder / "gateway.toml").write_text(
        CONFIGURATION.format(folder=folder, gateway=GATEWAY, web=WEB, service=SERVICE, dicom=DICOM)
    )
    g2d = [sys.executable, "-m", "g2d", "gateway"]
    gateway = Program(
        g2d, folder / "gateway.log", {"G2D_GATEWAY_FILE": str(folder / "gateway.toml")}
    )
    forward = [sys.executable, "docker/pacs/forward_changes.py"]
    forwarder = Program(
        [*forward, f"http://127.0.0.1:{HTTP}", "g2d", str(folder / "cursor")],
        folder / "forward.log",
    )
    archive = orthanc(folder)
    programs = (archive, gateway, forwarder)
    begun = time.monotonic()
    with service(folder, real=real):
        for program in programs:
            program.start()
        try:
            for number in range(count):
                if number in (count // 4, count // 2):
                    wait_until_busy()
                    gateway.end(signal.SIGKILL)
                    gateway.start()
                if number in (count // 3, 2 * count // 3):
                    archive.end(signal.SIGTERM)
                    archive.start()
                send(number)
            result = found(count, timeout_s=60 + 5 * count)
        finally:
            for program in reversed(programs):
                program.end(signal.SIGKILL)
    return {"radiographs": count, **result, "seconds": round(time.monotonic() - begun, 1)}


def main() -> None:
    """Print what was found."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--radiographs", type=int, default=20)
    line.add_argument("--real", action="store_true", help="start the real service")
    line.add_argument("--keep", type=Path, help="folder for logs and data, which is kept")
    options = line.parse_args()
    namespace.enter("tests.builders.pacs.restarts")
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(run(options.radiographs, folder, real=options.real)))  # noqa: T201


if __name__ == "__main__":
    main()
