"""Cost of the trial: time to load a version with a trial, without one, and with one that is kept.

    python -m bench.costs.loading --models models --model g2d-cxr --version 3 --rounds 5

The three alternate in one process, so that other load meets all of them.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from radiograph.repository.repository import Repository
from service.backends.factory import backend_factory
from service.registry.loading.loader import VersionLoader
from service.registry.loading.trial import Trial
from service.settings import Settings


def seconds(load: Callable[[], object]) -> float:
    """Return the time that a call takes."""
    start = time.perf_counter()
    load()
    return time.perf_counter() - start


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description="Measure what the trial of a version costs.")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--model", default="g2d-cxr")
    parser.add_argument("--version", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    settings = Settings.of(models_dir=options.models)
    backends = backend_factory(settings)

    def loading(trial: Trial | None) -> Callable[[], object]:
        repository = Repository(options.models)
        loader = VersionLoader(repository, backends, settings.limits, trial=trial)
        return lambda: loader.load(options.model, options.version).close()

    kept = Trial(settings)
    ways = {"without": None, "kept": kept}
    times: dict[str, list[float]] = {"with": [], "without": [], "kept": []}
    loading(kept)()
    for _ in range(options.rounds):
        times["with"].append(seconds(loading(Trial(settings))))
        for name, trial in ways.items():
            times[name].append(seconds(loading(trial)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["with"] / medians["without"]
    print(
        f"with a trial {medians['with']:.2f} s, without {medians['without']:.2f} s "
        f"(ratio {ratio:.2f}), with a trial that passed before {medians['kept']:.2f} s; "
        f"medians of {options.rounds}"
    )


if __name__ == "__main__":
    main()
