"""Bare runtime: loops over ONNX Runtime without a server, in a process of its own.

    a line of JSON (mode, batch, seconds) --stdin--> loop --stdout--> images and seconds

single     one tensor after the other, with all threads within the graph
batch      the same, in batches
lanes      parallel threads, each with a session of one thread
cut        parallel threads that run only the stages of the trunk that findings read
decoding   the same, which also read and preprocess the files: an upper bound for any server

Sessions use the default settings of ONNX Runtime, except for the number of threads.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.peers.plain import Floats, Model
from bench.peers.sessions import Classifier, CutClassifier
from bench.servers.process import ROOT
from radiograph.manifest import ModelManifest
from radiograph.preprocess import preprocess
from radiograph.readers.read import read

MODES = ("single", "batch", "lanes", "cut", "decoding")


@dataclass(frozen=True)
class LoopResult:
    """Number of images that a loop computed, and its duration."""

    images: int
    seconds: float

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds


class Loops:
    """Loops over one model version and some files."""

    def __init__(self, folder: Path, files: list[Path], threads: int) -> None:
        model = Model.of(folder)
        self._spec = ModelManifest.from_json((folder / "manifest.json").read_bytes()).preprocess
        self._files = [path.read_bytes() for path in files]
        self._tensors = [self._tensor(data) for data in self._files]
        self._wide = Classifier(model, threads)
        self._narrow = [Classifier(model, 1) for _ in range(threads)]
        self._cut = [CutClassifier(model, 1) for _ in range(threads)]

    def run(self, mode: str, batch: int, seconds: float) -> LoopResult:
        """Run one loop for a number of seconds.

        Raises:
            ValueError: the mode is unknown.
        """
        if mode in ("single", "batch"):
            size = batch if mode == "batch" else 1
            chosen = [self._tensors[i % len(self._tensors)] for i in range(size)]
            stacked = np.stack(chosen)
            return _timed([lambda _: self._wide(stacked)], size, seconds)
        if mode == "lanes":
            return _timed([self._classifying(session) for session in self._narrow], 1, seconds)
        if mode == "cut":
            return _timed([self._classifying(session) for session in self._cut], 1, seconds)
        if mode == "decoding":
            return _timed([self._decoding(session) for session in self._cut], 1, seconds)
        raise ValueError(f"not one of {MODES}: {mode}")

    def _classifying(self, classify: Classifier | CutClassifier) -> Callable[[int], object]:
        return lambda i: classify(self._tensors[i % len(self._tensors)][None])

    def _decoding(self, classify: CutClassifier) -> Callable[[int], object]:
        return lambda i: classify(self._tensor(self._files[i % len(self._files)])[None])

    def _tensor(self, data: bytes) -> Floats:
        return preprocess(read(data), self._spec)[0]


def _timed(workers: list[Callable[[int], object]], size: int, seconds: float) -> LoopResult:
    """Call each worker in a thread of its own until the time is over.

    Args:
        workers: functions of the number of calls so far; each call computes `size` images.
        size: images of one call.
        seconds: duration of the loop.
    """
    counts = [0] * len(workers)
    started = time.perf_counter()

    def work(number: int) -> None:
        while time.perf_counter() - started < seconds:
            workers[number](counts[number])
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return LoopResult(size * sum(counts), time.perf_counter() - started)


class BareRuntime:
    """The process of the loops, seen from outside."""

    def __init__(self, folder: Path, files: tuple[Path, ...], threads: int) -> None:
        command = [
            sys.executable,
            "-m",
            "bench.scenarios.bare_runtime",
            str(folder),
            *map(str, files),
        ]
        self._process = subprocess.Popen(
            [*command, "--threads", str(threads)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, mode: str, seconds: float, batch: int = 1) -> LoopResult:
        """Run one loop in the process."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self._process.stdin.write(
            json.dumps({"mode": mode, "batch": batch, "seconds": seconds}) + "\n"
        )
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the bare runtime ended")
        return LoopResult(**json.loads(line))

    def best_batch(self, sizes: tuple[int, ...], seconds: float) -> int:
        """Return the batch size with the highest rate."""
        return max(sizes, key=lambda size: self.run("batch", seconds, size).rate)

    def stop(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Run a loop for each line of standard input until it ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of a model version")
    parser.add_argument("files", type=Path, nargs="+", help="radiographs")
    parser.add_argument("--threads", type=int, required=True, help="threads of each loop")
    options = parser.parse_args()
    loops = Loops(options.folder, options.files, options.threads)
    for line in sys.stdin:
        done = loops.run(**json.loads(line))
        print(json.dumps({"images": done.images, "seconds": done.seconds}), flush=True)


if __name__ == "__main__":
    main()
