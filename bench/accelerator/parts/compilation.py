"""torch.compile in the trainer: steps that it makes faster, and how often it compiles again."""

from torch._dynamo.utils import counters

from bench.accelerator.findings import Findings, Options, Table
from bench.accelerator.paper_model import configure, reports
from bench.pretraining.step import Ours, make_cache
from bench.reporting.checks import Check

_RECOMPILATIONS = 3
"""Graphs that may be compiled after the first steps: the length of the reports varies."""


def measure(options: Options) -> Findings:
    """Train with and without compilation, and count what is compiled after the first steps."""
    cache = make_cache(options.work, reports(options))
    rates: dict[str, float] = {}
    compiled: dict[str, int] = {}
    for name, flag in (("as written", "false"), ("compiled", "true")):
        config = configure(options, "bf16-mixed", f"engine.compile={flag}")
        ours = Ours(config, cache, options.work)
        ours.round(options.steps)  # every length of a batch occurs, and is compiled
        before = _graphs()
        rates[name] = ours.round(options.steps).images_per_s
        compiled[name] = _graphs() - before
    again = compiled["compiled"]
    checks = [
        Check(
            f"graphs compiled after {options.steps} steps",
            f"at most {_RECOMPILATIONS}",
            str(again),
            again <= _RECOMPILATIONS,
            f"{_graphs()} in all",
        )
    ]
    rows = [[name, f"{rate:.1f}"] for name, rate in rates.items()]
    return Findings(checks, [Table("Pre-training, bf16-mixed", ["model", "images in 1 s"], rows)])


def _graphs() -> int:
    """Return the number of graphs that this process has compiled."""
    return int(counters["stats"]["unique_graphs"])
