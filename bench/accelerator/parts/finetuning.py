"""Fine-tuning of every head: steps without a wait for the device, and their speed."""

import tempfile
from pathlib import Path

from bench.accelerator.findings import Findings, Options, Table
from bench.accelerator.paper_model import configure, no_waiting
from bench.accelerator.synthetic_set import FINDING, NAME, STRUCTURES, write_set
from bench.pretraining.step import FewSteps
from bench.reporting.checks import Check
from training.config.finetune import FinetuneConfig
from training.data.cache.cache import open_cache
from training.engine.distributed import launch
from training.finetune.finetune import FinetuneTask

HEADS: dict[str, dict[str, object]] = {
    "findings": {"findings": [FINDING]},
    "masks": {"masks": list(STRUCTURES)},
    "boxes, centre": {"boxes": [FINDING]},
    "boxes, yolov3": {"boxes": [FINDING], "detector": "yolov3"},
    "boxes, fcos": {"boxes": [FINDING], "detector": "fcos"},
    "regions": {"regions": True},
    "all of them": {
        "findings": [FINDING],
        "masks": list(STRUCTURES),
        "boxes": [FINDING],
        "regions": True,
        "keep_alignment": True,
    },
}
"""Name of a run -> its heads."""


def fine_tuning(options: Options, **keys: object) -> FinetuneConfig:
    """Return a fine-tuning of the paper's model on the synthetic set."""
    paper = configure(options, "bf16-mixed" if options.device == "cuda" else "32-true")
    return FinetuneConfig.model_validate(
        {
            "kind": "finetune",
            "epochs": 2,
            "batch_size": 4 if options.quick else 32,
            "precision": paper.precision,
            "model": paper.model.model_dump(),
            "data": {"root": options.work / "data", "tables": [NAME]},
            "engine": paper.engine.model_dump(),
            "regions": False,
            "keep_alignment": False,
            **keys,
        }
    )


def measure(options: Options) -> Findings:
    """Train each head alone and all together."""
    write_set(options.work / "data")
    checks, rows = [], []
    for name, keys in HEADS.items():
        check, rate = _train(options, name, fine_tuning(options, **keys))
        checks.append(check)
        rows.append([name, rate])
    return Findings(checks, [Table("Fine-tuning", ["heads", "images in 1 s"], rows)])


def _train(options: Options, name: str, config: FinetuneConfig) -> tuple[Check, str]:
    """Take steps of one fine-tuning under the mode that refuses waits."""
    cache = open_cache(config.data, config.preprocess, options.work / "cache")
    task = FinetuneTask(config, cache)
    task.repeat_pool(config.batch_size)
    steps = options.steps // 3 or 1
    title, waits = f"{name}: waits for the device", "none in a step"
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        run = FewSteps(launch(config.engine, config.precision), task, config, Path(folder))
        run.round(2)
        try:
            with no_waiting(options):
                rate = run.round(steps).images_per_s
        except RuntimeError as error:
            return Check(title, waits, "at least one", False, str(error).splitlines()[0]), ""
    return Check(title, waits, "none", True), f"{rate:.1f}"
