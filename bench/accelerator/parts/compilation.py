"""torch.compile in the trainer: steps that it makes faster, and how often it compiles again."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest import mock

import torch
from torch._dynamo.utils import counters

from bench.accelerator.findings import Findings, Options, Table
from bench.accelerator.paper_model import configure, reports
from bench.pretraining.step import Ours, make_cache
from bench.reporting.checks import Check

_RECOMPILATIONS = 3
"""Graphs that may be compiled after the first steps: the length of the reports varies."""


def measure(options: Options) -> Findings:
    """Train with and without compilation, and count what is compiled after the first steps."""
    cache = make_cache(options.work, reports(options), options.side)
    steps = 4 if options.quick else options.steps
    rates: dict[str, float] = {}
    compiled: dict[str, int] = {}
    for name, flag in (("as written", "false"), ("compiled", "true")):
        config = configure(options, "bf16-mixed", f"engine.compile={flag}")
        with _captured_alone(options):
            ours = Ours(config, cache, options.work)
            ours.round(steps)  # the lengths of batches differ: lengths become variables
            before = _graphs()
            rates[name] = ours.round(steps).images_per_s
        compiled[name] = _graphs() - before
    again = compiled["compiled"]
    checks = [
        Check(
            f"graphs compiled after {steps} steps",
            f"at most {_RECOMPILATIONS}",
            str(again),
            again <= _RECOMPILATIONS,
            f"{_graphs()} in all",
        )
    ]
    rows = [[name, f"{rate:.1f}"] for name, rate in rates.items()]
    return Findings(checks, [Table("Pre-training, bf16-mixed", ["model", "images in 1 s"], rows)])


@contextmanager
def _captured_alone(options: Options) -> Iterator[None]:
    """Capture graphs without generating code for them, if the run is a quick one.

    A CPU generates code for the many kernels of a step in an hour; what is captured, and how often,
    is the same.
    """
    if not options.quick:
        yield
        return
    captured = partial(torch.compile, backend="aot_eager")
    with mock.patch("torch.compile", captured):
        yield


def _graphs() -> int:
    """Return the number of graphs that this process has compiled."""
    return int(counters["stats"]["unique_graphs"])
