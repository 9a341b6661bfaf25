"""Subjects: everything that answers HTTP in the comparison, and how each is asked.

A peer may have several settings; a short trial chooses the one that gives most.
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
from bench.names import LITSERVE, MLSERVER, OURS, TORCH, TORCH_ENCODER
from bench.servers.ours import Ours, targets
from bench.servers.ports import free_port
from bench.servers.process import ROOT, CannotStart, Server

_BOUNDARY = "bench-boundary"

Probabilities = dict[str, float]


class NotInstalled(Exception):
    """A peer's environment is not there."""


@dataclass(frozen=True)
class Subject:
    """One server that is compared.

    Attributes:
        name: in the table.
        setting: how it was started, in words.
        start: starts it.
        targets: what is asked of it.
        read: body of an answer -> probabilities by label.
    """

    name: str
    setting: str
    start: Callable[[], Server]
    targets: tuple[Target, ...]
    read: Callable[[bytes], Probabilities]


@dataclass(frozen=True)
class Field:
    """What all subjects share.

    Attributes:
        folder: of the version.
        files: that are asked.
        threads: of the machine that each may use.
        batch: largest batch of peers that batch.
        work: a folder for bodies that have to be written first.
    """

    folder: Path
    files: Sequence[Path]
    threads: int
    batch: int
    work: Path


def ours(service: Ours, field: Field) -> Subject:
    """Our service as it is."""
    asked = targets(["/v1/classify"], field.files)
    return Subject(OURS, f"{field.threads} threads", service.start, asked, _findings)


def torch_handler(field: Field) -> list[Subject]:
    """The plain handler, in the environment of the training."""
    asked = tuple(Target("/predict", body=os.fspath(file)) for file in field.files)
    start = _starter(sys.executable, "torch_handler", "/health", field, 1)
    return [Subject(TORCH, f"{field.threads} threads", start, asked, _findings)]


def torch_encoder(field: Field) -> list[Subject]:
    """The plain handler without the part of the model that findings do not read."""
    asked = tuple(Target("/predict", body=os.fspath(file)) for file in field.files)
    start = _starter(sys.executable, "torch_handler", "/health", field, 1, "--encoder-only")
    return [Subject(TORCH_ENCODER, f"{field.threads} threads", start, asked, _findings)]


def litserve(field: Field) -> list[Subject]:
    """LitServe in batches, and with one worker for each thread."""
    python = environment("litserve")
    content = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    bodies = [_written(field, file, "form", multipart(file)) for file in field.files]
    asked = tuple(Target("/predict", headers=content, body=body) for body in bodies)
    return [
        Subject(
            LITSERVE,
            setting,
            _starter(python, "litserve_server", "/health", field, batch),
            asked,
            _findings,
        )
        for batch, setting in _settings(field)
    ]


def mlserver(field: Field) -> list[Subject]:
    """MLServer in batches, and with one worker for each thread."""
    python = environment("mlserver")
    content = {"Content-Type": "application/json"}
    bodies = [_written(field, file, "json", v2_request(file)) for file in field.files]
    path = "/v2/models/radiographs/infer"
    asked = tuple(Target(path, headers=content, body=body) for body in bodies)
    labels = _labels(field.folder)

    def read(body: bytes) -> Probabilities:
        return dict(zip(labels, json.loads(body)["outputs"][0]["data"], strict=True))

    return [
        Subject(
            MLSERVER,
            setting,
            _starter(python, "mlserver_server", "/v2/models/radiographs/ready", field, batch),
            asked,
            read,
        )
        for batch, setting in _settings(field)
    ]


PEERS = {TORCH: torch_handler, TORCH_ENCODER: torch_encoder, LITSERVE: litserve, MLSERVER: mlserver}


def better(candidates: Sequence[Subject], clients: int, seconds: float) -> Subject:
    """The candidate that answers most in a short trial.

    Raises:
        CannotStart: none of them starts.
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
    """The interpreter of a peer's environment.

    Raises:
        NotInstalled: it is not there.
    """
    python = ROOT / ".venv" / f"bench-{name}" / "bin" / "python"
    if not python.exists():
        raise NotInstalled(f"no {python.relative_to(ROOT)}: run make bench-env")
    return str(python)


def multipart(file: Path) -> bytes:
    """A form with one file."""
    head = (
        f"--{_BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{file.name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + file.read_bytes() + f"\r\n--{_BOUNDARY}--\r\n".encode()


def v2_request(file: Path) -> bytes:
    """A request of the Open Inference Protocol with one base64 element."""
    element = {
        "name": "file",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(file.read_bytes()).decode()],
    }
    return json.dumps({"inputs": [element]}).encode()


def _settings(field: Field) -> list[tuple[int, str]]:
    batches = (field.batch, f"batches up to {field.batch}, {field.threads} threads")
    workers = (1, f"{field.threads} workers of 1 thread")
    return [batches, workers]


def _starter(
    python: str, module: str, ready: str, field: Field, batch: int, *more: str
) -> Callable[[], Server]:
    def start() -> Server:
        port = free_port()
        command = [python, "-m", f"bench.peers.{module}", str(field.folder.resolve())]
        command += ["--port", str(port), "--threads", str(field.threads), "--batch", str(batch)]
        command += more
        return Server(command, port, ready, {"OMP_NUM_THREADS": str(field.threads)})

    return start


def _written(field: Field, file: Path, suffix: str, body: bytes) -> str:
    path = field.work / f"{file.name}.{suffix}"
    path.write_bytes(body)
    return os.fspath(path)


def _findings(body: bytes) -> Probabilities:
    return {item["name"]: item["probability"] for item in json.loads(body)["findings"]}


def _labels(folder: Path) -> list[str]:
    manifest = json.loads((folder / "manifest.json").read_text())
    head = next(head for head in manifest["heads"].values() if head["kind"] == "classify")
    return [label["name"] for label in head["labels"]]
