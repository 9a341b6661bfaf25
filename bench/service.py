"""Measure the real service: start to ready, time by task, overhead, memory.

    python bench/service.py [--file chest.dcm] [--requests 30] > table.md

Starts `g2d serve` as a process of its own on a free port of 127.0.0.1, sends it one request
after the other over one connection, prints a Markdown table, and stops it. Without a file it
sends a DICOM object of 2500 x 2048 pixels and 12 bits that it makes up.
"""

import argparse
import http.client
import io
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from pydicom import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

MIB = 1024 * 1024
START_TIMEOUT_S = 120.0
COLUMNS = {
    ("read",): "decode",
    ("trunk", "text", "heads"): "model",
    ("receive", "unpack"): "receive",
    ("preprocess",): "preprocess",
    ("results",): "results",
    ("encode",): "encode",
}
"""Stages of Server-Timing -> column."""
TASKS = {
    "classify": ("/v1/classify", "application/json"),
    "segment": ("/v1/segment", "application/json"),
    "detect": ("/v1/detect", "application/json"),
    "ground": ("/v1/ground?phrase=left%20lung", "application/json"),
    "analyze (all)": ("/v1/analyze?phrase=left%20lung", "application/json"),
    "segment (PNG)": ("/v1/segment", "image/png"),
    "ground (PNG)": ("/v1/ground?phrase=left%20lung", "image/png"),
}


@dataclass(frozen=True)
class Sample:
    """One request: milliseconds that the client waited, and the server's own by stage."""

    wall_ms: float
    stages_ms: dict[str, float]

    def columns(self) -> list[float]:
        """Server's milliseconds in the order of COLUMNS; the last is what no stage claims."""
        given = [sum(self.stages_ms.get(stage, 0.0) for stage in group) for group in COLUMNS]
        return [*given, self.stages_ms["total"] - sum(given)]


class Service:
    """The running service, seen from outside."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = psutil.Process(process.pid)
        self._exited = process.poll
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def wait_until_ready(self, started: float) -> float:
        """Seconds from the start of the process to its first `ready`."""
        while time.perf_counter() - started < START_TIMEOUT_S:
            if self._exited() is not None:
                raise SystemExit("the service ended before it was ready")
            try:
                if self._get("/health/ready") == http.HTTPStatus.OK:
                    return time.perf_counter() - started
            except OSError:
                self._connection.close()
            time.sleep(0.01)
        raise SystemExit(f"the service was not ready after {START_TIMEOUT_S:g} s")

    def ask(self, path: str, accept: str, body: bytes) -> Sample:
        """One request for the file."""
        headers = {"Content-Type": "application/octet-stream", "Accept": accept}
        started = time.perf_counter()
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        wall_ms = (time.perf_counter() - started) * 1e3
        if response.status != http.HTTPStatus.OK:
            raise SystemExit(f"{path}: {response.status} {content.decode(errors='replace')}")
        return Sample(wall_ms, _stages(response.headers["Server-Timing"]))

    def resident_mib(self) -> float:
        """Resident memory of the process."""
        return float(self._process.memory_info().rss) / MIB

    def _get(self, path: str) -> int:
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        response.read()
        return response.status


def _stages(header: str) -> dict[str, float]:
    pairs = (item.strip().split(";dur=") for item in header.split(","))
    return {name: float(ms) for name, ms in pairs}


@contextmanager
def running(models_dir: Path, model: str | None) -> Iterator[tuple[Service, float]]:
    """The service as a process of its own and the time of its start; stopped at the end."""
    port = _free_port()
    command = [sys.executable, "-m", "g2d", "serve", "--port", str(port)]
    environment = {**os.environ, "G2D_MODELS_DIR": str(models_dir), "G2D_LOG_LEVEL": "warning"}
    if model is not None:
        environment["G2D_DEFAULT_MODEL"] = model
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment)
    try:
        yield Service(process, port), started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def synthetic_dicom(rows: int = 2500, columns: int = 2048) -> bytes:
    """An uncompressed DX object of 12 bits: two dark lungs in a bright body, some noise."""
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    lungs = [
        ((x / columns - centre) / 0.14) ** 2 + ((y / rows - 0.45) / 0.3) ** 2 < 1
        for centre in (0.3, 0.7)
    ]
    noise = np.random.default_rng(0).normal(0, 40, (rows, columns))
    pixels = np.clip(np.where(lungs[0] | lungs[1], 1000, 2800) + noise, 0, 4095)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID("1.2.826.0.1.3680043.8.498.2")
    dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.ViewPosition, dataset.BodyPartExamined = "DX", "PA", "CHEST"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    dataset.Rows, dataset.Columns, dataset.PixelSpacing = rows, columns, [0.168, 0.168]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def row(name: str, samples: list[Sample]) -> str:
    """One task as a line of the table."""
    walls = sorted(sample.wall_ms for sample in samples)
    p95 = walls[min(len(walls) - 1, round(0.95 * (len(walls) - 1)))]
    columns = zip(*(sample.columns() for sample in samples), strict=True)
    cells = [statistics.median(walls), p95, *(statistics.median(column) for column in columns)]
    return f"| {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |"


def report(service: Service, started: float, body: bytes, requests: int, what: str) -> None:
    """Measure everything and print it."""
    ready_s = service.wait_until_ready(started)
    idle_mib = service.resident_mib()
    print(f"{what}, {len(body) / MIB:.1f} MiB, {requests} requests a task, one at a time,")
    print(
        f"{os.cpu_count()} CPUs. Times in ms: median and p95 are what a client waits, the rest are"
    )
    print("medians of the server's stages, `service` being what no stage claims.\n")
    names = ["task", "median", "p95", *COLUMNS.values(), "service"]
    print(f"| {' | '.join(names)} |")
    print("|---" * len(names) + "|")
    highest_mib = idle_mib
    for name, (path, accept) in TASKS.items():
        service.ask(path, accept, body)
        print(row(name, [service.ask(path, accept, body) for _ in range(requests)]), flush=True)
        highest_mib = max(highest_mib, service.resident_mib())
    print(f"\n| start to ready | resident, ready | resident, after {requests} requests a task |")
    print("|---|---|---|")
    print(f"| {ready_s:.2f} s | {idle_mib:.0f} MiB | {highest_mib:.0f} MiB |")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--file", type=Path, help="a radiograph; without it, one is made up")
    parser.add_argument("--requests", type=int, default=30, help="for each task")
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--model", help="another model than the default one")
    options = parser.parse_args()
    body = options.file.read_bytes() if options.file else synthetic_dicom()
    what = options.file.name if options.file else "A DICOM object of 2500 x 2048 pixels, 12 bits"
    with running(options.models_dir, options.model) as (service, started):
        report(service, started, body, max(1, options.requests), what)


if __name__ == "__main__":
    main()
