"""Cost of the checks of a published version: one image with and without them, in turns.

    python -m bench.costs.pixel_checks --models models --model g2d-cxr --version stable

Prints the median of both in milliseconds, their difference and their ratio, for `/classify`, which
reads least of the trunk, and for all heads that read no phrase.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from radiograph.manifest import CHECK, Task
from radiograph.repository.repository import Repository
from service.backends.base import Backend, FloatArray
from service.backends.ort.backend import OrtBackend
from service.backends.ort.graph import GraphCache
from service.backends.ort.session import OrtOptions
from service.settings import RuntimeSettings


def compare(
    backend: Backend, image: FloatArray, heads: Sequence[str], checks: Sequence[str], rounds: int
) -> tuple[float, float]:
    """Return the median milliseconds of the heads without and with the checks, run in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 3):  # the first three warm up
        for names, times in zip((heads, [*heads, *checks]), taken, strict=True):
            start = time.perf_counter()
            backend.infer(image, names)
            if number >= 3:
                times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken[0]), statistics.median(taken[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a version and print a line for each set of heads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("models"), help="model repository")
    parser.add_argument("--model", default="g2d-cxr", help="name of the model")
    parser.add_argument("--version", default="stable", help="version number or alias")
    parser.add_argument("--rounds", type=int, default=100, help="measured rounds")
    options = parser.parse_args(arguments)
    repository = Repository(options.models)
    number = repository.resolve(options.model, options.version)
    manifest = repository.load_manifest(options.model, number)
    checks = list(manifest.heads_for(CHECK))
    if not checks:
        parser.error(f"{options.model}/{number} has no checks")
    graphs = GraphCache(OrtOptions(RuntimeSettings()))
    backend = OrtBackend(repository.folder(options.model, number), manifest, graphs)
    side = manifest.preprocess.size_px
    image = np.random.default_rng(0).standard_normal((1, 1, side, side)).astype(np.float32)
    every = [name for task in Task if task is not Task.GROUND for name in manifest.heads_for(task)]
    for words, heads in (("classify", list(manifest.heads_for(Task.CLASSIFY))), ("all", every)):
        without, with_checks = compare(backend, image, heads, checks, options.rounds)
        print(
            f"{words}: {without:.2f} ms, with checks {with_checks:.2f} ms, "
            f"{with_checks - without:+.2f} ms, {with_checks / without:.3f} x"
        )


if __name__ == "__main__":
    main()
