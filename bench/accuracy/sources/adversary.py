"""An adversary against learning the source: a hospital left out, with the adversary and without it.

    python -m bench.accuracy.sources.adversary --data ../shared/data --source kermany_224

    source_left_out.yaml without the source --> run without an adversary --.
                                            '-> run with an adversary -----+--> its test split
                                                                           '--> sets told apart

Both runs have the same seed, steps and rows. The figures are those of the test split of the set
that neither has seen. The row `told apart` is the balanced accuracy with which a linear classifier,
fitted on training patients, tells the other sets apart by the features of test patients.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.accuracy.sources.left_out import CONFIG, differences, reading, without
from bench.accuracy.sources.told_apart import told_apart
from training.config.files import load
from training.config.finetune import FinetuneConfig
from training.evaluation.predictions import predict_split
from training.evaluation.trained_model import TrainedModel, load_run
from training.finetune.finetune import finetune
from training.metrics.arrays import FloatArray

HEADER = (
    "| weight | left out | head | label | metric | without an adversary | with it | with - without "
    "| 95 % interval | images |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Train what is missing, then measure and print a Markdown table."""
    options = _options()
    config = load(CONFIG, FinetuneConfig, [f"data.root={options.data}", *options.set])
    print(HEADER)
    for source in options.source:
        plain = without(config, source)
        kept = [name for name in config.data.tables if name != source]
        folders = (f"without_{source}", f"without_{source}_adversary")
        arms = (plain, plain.model_copy(update={"source_adversary": options.weight}))
        runs = [
            load_run(finetune(arm, options.out / folder, options.cache).parent)
            for arm, folder in zip(arms, folders, strict=True)
        ]
        for difference in differences(runs[0], runs[1], source):
            print(f"| {options.weight:g} {difference}", flush=True)
        told = [
            told_apart(*(_features(run, kept, split, options.limit) for split in ("train", "test")))
            for run in runs
        ]
        print(
            f"| {options.weight:g} | {source} | features | other sets | told apart "
            f"| {told[0]:.3f} | {told[1]:.3f} | {told[1] - told[0]:+.3f} | | |",
            flush=True,
        )


def _features(
    model: TrainedModel, tables: Sequence[str], split: str, limit: int
) -> list[FloatArray]:
    """Return the features of some radiographs of each set, n x C."""
    licences = model.config.data.licences
    found = (predict_split(reading(model, (name,)), split, licences, limit) for name in tables)
    return [np.concatenate([one.features["global_features"] for one in each]) for each in found]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--source", nargs="+", required=True, help="data sets, each left out once")
    parser.add_argument("--weight", type=float, default=0.1, help="weight of the adversary")
    parser.add_argument("--limit", type=int, default=150, help="radiographs of a set and a split")
    parser.add_argument("--out", type=Path, default=Path("runs/source_left_out"), help="runs")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), help="preprocessed images"
    )
    parser.add_argument("--set", nargs="*", default=[], help="changes of the configuration")
    return parser.parse_args()


if __name__ == "__main__":
    main()
