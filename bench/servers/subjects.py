"""Subjects of the comparison: every HTTP server, with its start command and its requests.

A peer may have several settings; a short trial selects the one with the highest throughput.
"""

import base64
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load.generator import Load, Target, generate
from bench.load.statistics import summarise
from bench.reporting.report import LITSERVE, MLSERVER, OURS, TORCH, TORCH_ENCODER
from bench.servers.ours import Ours, targets
from bench.servers.process import ROOT, CannotStart, Server, free_port

_BOUNDARY = "bench-boundary"

Probabilities = dict[str, float]


class NotInstalled(Exception):
    """The environment of a peer is missing."""


@dataclass(frozen=True)
class Subject:
    """One server in the comparison.

    Attributes:
        name: name in the table.
        setting: its configuration, in words.
        start: function that starts the server.
        targets: its requests.
        read: function from the body of an answer to probabilities by label.
    """

    name: str
    setting: str
    start: Callable[[], Server]
    targets: tuple[Target, ...]
    read: Callable[[bytes], Probabilities]


@dataclass(frozen=True)
class Setup:
    """Conditions that all subjects share.

    Attributes:
        folder: folder of the model version.
        files: files that are sent.
        threads: number of threads that each subject may use.
        batch: largest batch of the peers that form batches.
        work: folder for request bodies.
    """

    folder: Path
    files: Sequence[Path]
    threads: int
    batch: int
    work: Path


def ours(service: Ours, setup: Setup) -> Subject:
    """Return our service."""
    asked = targets(["/v1/classify"], setup.files)
    return Subject(OURS, f"{setup.threads} threads", service.start, asked, _findings)


def torch_handler(setup: Setup) -> list[Subject]:
    """Return the plain torch handler, in the development environment."""
    asked = tuple(Target("/predict", body=os.fspath(file)) for file in setup.files)
    start = _starter(sys.executable, "torch_handler", "/health", setup, 1)
    return [Subject(TORCH, f"{setup.threads} threads", start, asked, _findings)]


def torch_encoder(setup: Setup) -> list[Subject]:
    """Return the plain torch handler without the decoder, which findings do not read."""
    asked = tuple(Target("/predict", body=os.fspath(file)) for file in setup.files)
    start = _starter(sys.executable, "torch_handler", "/health", setup, 1, "--encoder-only")
    return [Subject(TORCH_ENCODER, f"{setup.threads} threads", start, asked, _findings)]


def litserve(setup: Setup) -> list[Subject]:
    """Return LitServe with batches, and with one worker for each thread."""
    python = environment("litserve")
    content = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    bodies = [_written(setup, file, "form", multipart(file)) for file in setup.files]
    asked = tuple(Target("/predict", headers=content, body=body) for body in bodies)
    return [
        Subject(
            LITSERVE,
            setting,
            _starter(python, "litserve_server", "/health", setup, batch),
            asked,
            _findings,
        )
        for batch, setting in _settings(setup)
    ]


def mlserver(setup: Setup) -> list[Subject]:
    """Return MLServer with batches, and with one worker for each thread."""
    python = environment("mlserver")
    content = {"Content-Type": "application/json"}
    bodies = [_written(setup, file, "json", v2_request(file)) for file in setup.files]
    path = "/v2/models/radiographs/infer"
    asked = tuple(Target(path, headers=content, body=body) for body in bodies)
    labels = _labels(setup.folder)

    def read(body: bytes) -> Probabilities:
        return dict(zip(labels, json.loads(body)["outputs"][0]["data"], strict=True))

    return [
        Subject(
            MLSERVER,
            setting,
            _starter(python, "mlserver_server", "/v2/models/radiographs/ready", setup, batch),
            asked,
            read,
        )
        for batch, setting in _settings(setup)
    ]


PEERS = {TORCH: torch_handler, TORCH_ENCODER: torch_encoder, LITSERVE: litserve, MLSERVER: mlserver}


def fastest(candidates: Sequence[Subject], clients: int, seconds: float) -> Subject:
    """Return the candidate with the highest throughput in a short trial.

    Raises:
        CannotStart: none of the candidates starts.
    """
    if len(candidates) == 1:
        return candidates[0]
    rates: dict[float, Subject] = {}
    reasons = []
    for subject in candidates:
        server = subject.start()
        try:
            server.wait_until_ready()
            load = Load(server.port, subject.targets, clients=clients, seconds=seconds + 1)
            rates[summarise(generate(load), (1, seconds + 1), 60).throughput] = subject
        except CannotStart as error:
            reasons.append(str(error))
        finally:
            server.stop()
    if not rates:
        raise CannotStart("; ".join(reasons))
    return rates[max(rates)]


def environment(name: str) -> str:
    """Return the Python interpreter of a peer's environment.

    Raises:
        NotInstalled: the environment is missing.
    """
    python = ROOT / ".venv" / f"bench-{name}" / "bin" / "python"
    if not python.exists():
        raise NotInstalled(f"no {python.relative_to(ROOT)}: run make bench-env")
    return str(python)


def multipart(file: Path) -> bytes:
    """Return the body of a form with one file."""
    head = (
        f"--{_BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{file.name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + file.read_bytes() + f"\r\n--{_BOUNDARY}--\r\n".encode()


def v2_request(file: Path) -> bytes:
    """Return a request of the Open Inference Protocol with one base64 element."""
    element = {
        "name": "file",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(file.read_bytes()).decode()],
    }
    return json.dumps({"inputs": [element]}).encode()


def _settings(setup: Setup) -> list[tuple[int, str]]:
    batches = (setup.batch, f"batches up to {setup.batch}, {setup.threads} threads")
    workers = (1, f"{setup.threads} workers of 1 thread")
    return [batches, workers]


def _starter(
    python: str, module: str, ready: str, setup: Setup, batch: int, *more: str
) -> Callable[[], Server]:
    def start() -> Server:
        port = free_port()
        command = [python, "-m", f"bench.peers.{module}", str(setup.folder.resolve())]
        command += ["--port", str(port), "--threads", str(setup.threads), "--batch", str(batch)]
        command += more
        return Server(command, port, ready, {"OMP_NUM_THREADS": str(setup.threads)})

    return start


def _written(setup: Setup, file: Path, suffix: str, body: bytes) -> str:
    path = setup.work / f"{file.name}.{suffix}"
    path.write_bytes(body)
    return os.fspath(path)


def _findings(body: bytes) -> Probabilities:
    return {item["name"]: item["probability"] for item in json.loads(body)["findings"]}


def _labels(folder: Path) -> list[str]:
    manifest = json.loads((folder / "manifest.json").read_text())
    head = next(head for head in manifest["heads"].values() if head["kind"] == "classify")
    return [label["name"] for label in head["labels"]]
