"""A run, in half precision on a GPU: killed after a checkpoint, resumed, compared with a whole one.

g2d pretrain --kill--> last.ckpt --g2d pretrain--> history   ==   history of an unbroken run
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from bench.accelerator.findings import Findings, Options, Table
from bench.accelerator.paper_model import configure, precisions
from bench.accelerator.synthetic_set import NAME, write_set
from bench.reporting.checks import Check, at_most
from bench.servers.process import ROOT
from training.config.pretrain import PretrainConfig

_GAP = 0.02
"""Largest relative difference of a loss: sums on a GPU have no fixed order, and half precision
has 11 bits of mantissa."""
_EVERY = 2


def measure(options: Options) -> Findings:
    """Compare the last losses of the two runs."""
    write_set(options.work / "data", count=48)
    config = configure(
        options,
        precisions(options)[-1],
        f"data.root={options.work / 'data'}",
        f"data.tables=[{NAME}]",
        "epochs=2",
        "batch_size=8",
        f"checkpoint_every={_EVERY}",
        "engine.log_every=1",
        "engine.bucket=0",
    )
    path = write_configuration(config, options.work / "run.yaml")
    whole, broken = options.work / "whole", options.work / "broken"
    _wait(_start(path, whole, options), whole, options.patience_s)
    _kill_after_a_checkpoint(_start(path, broken, options), broken, options.patience_s)
    killed_at = len(_losses(broken))
    _wait(_start(path, broken, options), broken, options.patience_s)
    pairs = list(zip(_losses(whole), _losses(broken), strict=True))
    gap = largest_gap(pairs)
    note = f"{len(pairs)} steps, killed after step {killed_at}; largest relative difference"
    rows = [[str(step), f"{a:.5f}", f"{b:.5f}"] for step, (a, b) in enumerate(pairs, 1)]
    steps_left = len(pairs) - killed_at
    return Findings(
        [
            at_most("losses of the resumed run", gap, _GAP, "", note),
            Check("steps after the kill", "at least 1", str(steps_left), steps_left > 0),
        ],
        [Table("Total loss", ["step", "unbroken", "killed and resumed"], rows)],
    )


def largest_gap(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the largest relative difference of the losses of two runs.

    The loss of a step that a gradient scaler skipped is 0 in the history.
    """
    return max(abs(a - b) / max(abs(a), abs(b), 1e-6) for a, b in pairs)


def write_configuration(config: PretrainConfig, path: Path) -> Path:
    """Write a configuration whole; a key that is left out, such as null, would have its default."""
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return path


def _start(config: Path, out: Path, options: Options) -> subprocess.Popen[bytes]:
    """Start a pre-training in a process group of its own, which can be killed as a whole."""
    command = [sys.executable, "-m", "g2d", "pretrain", str(config), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--cache", str(options.work / "cache")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _wait(process: subprocess.Popen[bytes], out: Path, patience_s: float) -> None:
    """Wait for the end of a run.

    Raises:
        RuntimeError: the run failed; the message has its last line.
    """
    said, _ = process.communicate(timeout=patience_s)
    if process.returncode:
        raise RuntimeError(f"{out.name} run: {said.decode(errors='replace').strip()[-300:]}")


def _kill_after_a_checkpoint(
    process: subprocess.Popen[bytes], out: Path, patience_s: float
) -> None:
    """Send SIGKILL as soon as the run has written a checkpoint."""
    deadline = time.monotonic() + patience_s
    while not (out / "last.ckpt").is_file():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the run ended before its first checkpoint")
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _losses(out: Path) -> list[float]:
    """Return the total loss of each step that the history has."""
    lines = (out / "history.jsonl").read_text().splitlines()
    return [float(json.loads(line)["total"]) for line in lines]
