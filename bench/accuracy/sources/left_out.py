"""One source left out of training: its test split, from a run with it and one without it.

    python -m bench.accuracy.sources.left_out --data ../shared/data --source wingspan_ctr

    source_left_out.yaml --> run of all sources ------.
           '--without the source--> run without it ---+--> its test split --> figures, difference

Both runs have the same seed, steps and rows of a step. Temperature and thresholds of both are
chosen on the validation split without the source, so that the run without it has seen nothing of
it. Labels that no other source has are left out. A run that was interrupted goes on where it was,
and the run of all sources serves every `--source`.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.config.files import load
from training.config.finetune import FinetuneConfig
from training.config.run import RowGroup
from training.evaluation.calibration.calibrate import calibrate
from training.evaluation.evaluate import Evaluation
from training.evaluation.evaluators.estimates import Figure, Quantity
from training.evaluation.phrases.regions import TARGETS
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel, load_run
from training.export.variants.drift import COMPARED
from training.finetune.finetune import finetune
from training.metrics import Counts, bootstrap

CONFIG = "source_left_out"
HEADER = (
    "| left out | head | label | metric | with it | without it | without - with "
    "| 95 % interval | images |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Difference:
    """One figure of both runs.

    Attributes:
        head: name of the head.
        quantity: the figure.
        with_it, without_it: its values.
        low, high: 95 % interval of their difference over patients, the same ones for both runs.
        n: number of images.
    """

    head: str
    quantity: Quantity
    with_it: float
    without_it: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        about = (
            f"{self.quantity.data} | {self.head} | {self.quantity.label} | {self.quantity.metric}"
        )
        values = (
            f"{self.with_it:.3f} | {self.without_it:.3f} | {self.without_it - self.with_it:+.3f}"
        )
        return f"| {about} | {values} | {self.low:+.3f} to {self.high:+.3f} | {self.n} |"


def main() -> None:
    """Train what is missing, then measure and print a Markdown table."""
    options = _options()
    config = load(CONFIG, FinetuneConfig, [f"data.root={options.data}", *options.set])
    whole = finetune(config, options.out / "all", options.cache).parent
    print(HEADER)
    for source in options.source:
        folder = options.out / f"without_{source}"
        finetune(without(config, source), folder, options.cache)
        for difference in differences(load_run(whole), load_run(folder), source):
            print(difference, flush=True)


def without(config: FinetuneConfig, source: str) -> FinetuneConfig:
    """Return the configuration without the groups of a data set, whose rows are then not shown.

    Args:
        config: configuration of the run of all sources, whose groups name their data sets.
        source: name of the data set; the shares of the other groups are raised to a whole.
    """
    kept = [group for group in config.groups if group.table != source]
    total = sum(group.share for group in kept)
    groups: tuple[RowGroup, ...] = tuple(
        group.model_copy(update={"share": group.share / total}) for group in kept
    )
    return config.model_copy(update={"groups": groups})


def differences(
    with_it: TrainedModel, without_it: TrainedModel, source: str
) -> Iterator[Difference]:
    """Yield the figures of the test split of a data set that both runs have."""
    ours, theirs = (figures_of(model, source) for model in (with_it, without_it))
    for (head, quantity), figure in ours.items():
        other = theirs.get((head, quantity))
        metrics = COMPARED.get(quantity.task, frozenset())
        if other is None or quantity.metric.partition(" (")[0] not in metrics:
            continue
        if (difference := compared(head, figure, other)) is not None:
            yield difference


def figures_of(model: TrainedModel, source: str) -> dict[tuple[str, Quantity], Figure]:
    """Return the figures of a run on the test split of a data set, by head and quantity.

    Choices are made on the other data sets, and labels that these do not have are left out.
    """
    others = tuple(name for name in model.config.data.tables if name != source)
    known: set[str] = set()
    valid = predict_split(reading(model, others), "valid", model.config.data.licences)
    specs = calibrate(model, _noted(valid, known))
    evaluation = Evaluation(model, specs, "test")
    for prediction in predict_split(reading(model, (source,)), "test", ("open", "noncommercial")):
        evaluation.add(prediction)
    known |= {concept for concept, names in TARGETS.items() if known & set(names)}
    return {
        (head, figure.quantity): figure
        for head, figure in evaluation.figures()
        if figure.quantity.label.partition(",")[0] in known
    }


def _noted(predictions: Iterable[Prediction], known: set[str]) -> Iterator[Prediction]:
    """Yield the predictions, and add the findings, masks and boxes of which something is known."""
    for prediction in predictions:
        known.update(prediction.row.findings, prediction.masks, prediction.boxes)
        yield prediction


def reading(model: TrainedModel, tables: tuple[str, ...]) -> TrainedModel:
    """Return a run as one that reads these data sets."""
    data = model.config.data.model_copy(update={"tables": tables})
    return replace(model, config=model.config.model_copy(update={"data": data}))


def compared(head: str, ours: Figure, theirs: Figure) -> Difference | None:
    """Return the difference of a figure; None where one run does not define it.

    Args:
        head: name of the head.
        ours: the figure of the run of all sources.
        theirs: the figure of the run without the source, of the same images.
    """

    def less(counts: Counts) -> float:
        return theirs.statistic(counts) - ours.statistic(counts)

    every = np.ones(len(ours.patients), dtype=np.int64)
    values = ours.statistic(every), theirs.statistic(every)
    if not np.isfinite(values).all():
        return None
    found = bootstrap(less, ours.patients)
    return Difference(head, ours.quantity, *values, found.low, found.high, len(every))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--source", nargs="+", required=True, help="data sets, each left out once")
    parser.add_argument("--out", type=Path, default=Path("runs/source_left_out"), help="runs")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), help="preprocessed images"
    )
    parser.add_argument("--set", nargs="*", default=[], help="changes of the configuration")
    return parser.parse_args()


if __name__ == "__main__":
    main()
