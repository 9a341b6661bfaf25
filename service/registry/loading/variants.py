"""Variants: the graphs of a version that answer here, by setting, golden outputs and speed.

    float32 --golden outputs--> refused, or usable --------.
    int8    --golden outputs--> left out, or usable --time--+--> backend and its precision

Kernels of int8 differ between processors. A variant that computes other golden outputs here than
where it was published is left out, and float32 answers; a variant that is damaged, whose graph
does not build or gives other shapes, makes the version invalid like any other damage.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from radiograph.manifest import ModelManifest, Precision
from service.backends import golden
from service.backends.base import Backend, BackendFactory
from service.inference.batch_runner import BatchRunner
from service.observability.observer import NULL_OBSERVER

logger = logging.getLogger("g2d.variants")

Choice = Literal["auto"] | Precision

MIN_GAIN = 1.1
"""A variant must be this many times as fast as float32, to exceed the noise and its drift."""
_ROUNDS = 5
_CPU = "CPUExecutionProvider"

Run = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Variants:
    """The backends that one verified version can have.

    Attributes:
        folder: folder of the version.
        manifest: manifest of the version.
        backends: builds a backend.
        refused: called with a precision whose golden outputs differ here.
        clock: gives seconds.
    """

    folder: Path
    manifest: ModelManifest
    backends: BackendFactory
    refused: Callable[[Precision], None]
    clock: Clock = time.perf_counter

    def open(self, choice: Choice) -> tuple[Backend, Precision]:
        """Build the chosen backend; float32 where the choice is not to be had.

        Raises:
            InvalidVersion: the graphs of float32 give other golden outputs, or graphs are damaged.
        """
        if choice == "auto":
            return self._faster()
        if choice != "float32":
            if choice not in self.manifest.variants:
                logger.info("%s has no variant %s: float32 answers", self._name, choice)
            elif (backend := self._usable(choice)) is not None:
                return backend, choice
        return self._float32(), "float32"

    def _faster(self) -> tuple[Backend, Precision]:
        """Build float32 and the variant for processors, and keep the one that is faster here."""
        float32 = self._float32()
        on_cpu = not float32.remote and float32.providers[0] == _CPU
        if "int8" not in self.manifest.variants or not on_cpu:
            return float32, "float32"
        try:
            int8 = self._usable("int8")
        except BaseException:
            float32.close()
            raise
        if int8 is None:
            return float32, "float32"
        times = gain(self._blank(float32), self._blank(int8), self.clock)
        logger.info("%s: int8 is %.2f times as fast as float32", self._name, times)
        kept, closed = (int8, float32) if times >= MIN_GAIN else (float32, int8)
        closed.close()
        return kept, "int8" if kept is int8 else "float32"

    def _float32(self) -> Backend:
        """Build the graphs of float32 and verify them."""
        backend = self.backends(self.folder, self.manifest)
        try:
            golden.replay(backend, self.manifest, self.folder)
            if not golden.replay_answers(backend, self.manifest, self.folder):
                logger.info("%s has no golden answers: its graphs alone are replayed", self._name)
        except BaseException:
            backend.close()
            raise
        return backend

    def _usable(self, precision: Precision) -> Backend | None:
        """Build a variant; None if its golden outputs differ here by more than its tolerance."""
        manifest = self.manifest.in_precision(precision)
        backend = self.backends(self.folder, manifest)
        try:
            difference = golden.largest_difference(backend, manifest, self.folder)
        except BaseException:
            backend.close()
            raise
        if difference.accepted:
            return backend
        backend.close()
        logger.warning("%s: float32 answers, not %s: %s", self._name, precision, difference)
        self.refused(precision)
        return None

    def _blank(self, backend: Backend) -> Run:
        """Return a call that runs one black image through a backend."""
        runner = BatchRunner(self._name, self.manifest, backend, NULL_OBSERVER)
        return lambda: runner.run_blank(1)

    @property
    def _name(self) -> str:
        return f"{self.manifest.name}/{self.manifest.version}"


def gain(baseline: Run, candidate: Run, clock: Clock = time.perf_counter) -> float:
    """Return how many times as fast the candidate is as the baseline.

    The runs alternate, so that other load meets both, and the fastest run of each counts. The
    first run of each allocates memory and is not timed.
    """
    for run in (baseline, candidate):
        run()
    rounds = [(_seconds(baseline, clock), _seconds(candidate, clock)) for _ in range(_ROUNDS)]
    slow, fast = (min(times) for times in zip(*rounds, strict=True))
    return slow / fast if fast > 0 else 1.0


def _seconds(run: Run, clock: Clock) -> float:
    start = clock()
    run()
    return clock() - start
