"""The service on the device: golden outputs, latency, throughput by batch, swaps under load."""

import os
import time
from pathlib import Path

import numpy as np

from bench.accelerator.findings import Findings, Options, Skipped, Table
from bench.inputs import prepare
from bench.load.statistics import percentile
from bench.reporting.checks import Check, at_most
from bench.scenarios import version_swaps
from bench.scenarios.timed_client import Client
from bench.servers.ours import ALL_TASKS, TASKS, Ours
from bench.servers.process import CannotStart, serving
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from service.backends.golden import replay
from service.backends.ort.backend import OrtBackend
from service.backends.ort.graph import GraphCache
from service.backends.ort.session import OrtOptions
from service.errors import ProviderUnavailable
from service.settings import Settings

_MODEL, _ALIAS = "g2d-cxr", "stable"
_BATCHES = (1, 2, 4, 8, 16, 32, 64)


def measure(options: Options) -> Findings:
    """Replay the golden outputs, time requests and batches, and swap versions under load."""
    repository = Repository(options.models_dir)
    number = repository.resolve(_MODEL, _ALIAS)
    folder, manifest = repository.folder(_MODEL, number), repository.load_manifest(_MODEL, number)
    backend = _backend(options, folder, manifest)
    golden = at_most(
        "golden outputs", replay(backend, manifest, folder), manifest.golden.tolerance, ""
    )
    batches = _throughput(backend, manifest, options)
    del backend  # its sessions hold memory of the device, which the service is to have
    ours = Ours(
        options.models_dir,
        _MODEL,
        len(os.sched_getaffinity(0)),
        settings={"G2D_PROVIDER": options.device},
    )
    try:
        latency, swaps = _serve(ours, folder, options)
    except CannotStart as error:
        raise RuntimeError(f"the service did not start: {error}") from error
    return Findings([golden, *swaps], [batches, latency])


def _backend(options: Options, folder: Path, manifest: ModelManifest) -> OrtBackend:
    settings = Settings.of(provider=options.device)
    try:
        graphs = GraphCache(OrtOptions.of(settings))
    except ProviderUnavailable as error:
        raise Skipped(str(error)) from error
    return OrtBackend(folder, manifest, graphs)


def _throughput(backend: OrtBackend, manifest: ModelManifest, options: Options) -> Table:
    """Time the trunk and all heads without a phrase, by the number of images in a batch."""
    heads = [name for name, head in manifest.heads.items() if "phrase_features" not in head.inputs]
    side = manifest.preprocess.size_px
    rng, runs = np.random.default_rng(0), options.steps
    rows = []
    for batch in _BATCHES[: 2 if options.quick else None]:
        image = rng.random((batch, 1, side, side), dtype=np.float32)
        backend.infer(image, heads)  # memory and kernels of this shape
        times = [_seconds(backend, image, heads) for _ in range(runs)]
        middle = percentile(times, 50)
        rows.append([str(batch), f"{middle * 1e3:.2f}", f"{batch / middle:.0f}"])
    return Table(
        "Trunk and heads by batch", ["images", "median ms of a batch", "images in 1 s"], rows
    )


def _seconds(
    backend: OrtBackend, image: "np.typing.NDArray[np.float32]", heads: list[str]
) -> float:
    started = time.perf_counter()
    backend.infer(image, heads)
    return time.perf_counter() - started


def _serve(ours: Ours, folder: Path, options: Options) -> tuple[Table, list[Check]]:
    """Time requests of one client, then move the alias under load."""
    inputs = prepare(options.work, [])
    paths = {**TASKS, "all tasks": ALL_TASKS}
    with serving(ours.start()) as (server, ready_s):
        samples = Client(server.port).interleaved(paths, inputs.small, options.steps)
    rows = [
        [
            name,
            *(f"{percentile([s.total_ms for s in found], q):.1f}" for q in (50, 99)),
            f"{percentile([s.model_ms for s in found], 50):.1f}",
        ]
        for name, found in samples.items()
    ]
    title = f"One client; ready after {ready_s:.1f} s"
    latency = Table(title, ["task", "median ms", "p99 ms", "model, median ms"], rows)
    moves = 4 if options.quick else 20
    checks, _ = version_swaps.measure(ours, folder, inputs.small, moves, options.work)
    return latency, checks
