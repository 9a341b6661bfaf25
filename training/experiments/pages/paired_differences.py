"""Parts of a page that compare pre-training arms: paired differences, losses and a picture.

figures of a task          -> differences of two rows, paired by seed
<out>/pretrain/<arm>-<n>   -> steps, minutes and losses of each pre-training
                           -> picture: image | attention | pseudo mask | decoder, one line for
                              each arm and radiograph
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from training.config.experiments import Table
from training.config.pretrain import PretrainConfig
from training.data.cache.cache import Cache, open_cache
from training.engine.checkpoint import CHECKPOINT, read_checkpoint
from training.experiments.pages.markdown import grid, mean_and_spread
from training.experiments.plan import TableJob, arm_pretraining, cells, tasks
from training.experiments.result_store import ResultFolder
from training.pretrain.objective import Pretraining
from training.pretrain.panels import draw_panel

Figures = Mapping[tuple[str, float | None], Mapping[int | None, float]]
"""Name of a row and fraction of the labels -> seed -> figure, of one column."""


def differences(table: Table, fractions: Sequence[float | None], figures: Figures) -> str:
    """Return a grid of the paired differences, and of the number of seeds where the first leads.

    Args:
        table: table whose `pairs` are compared; pairs without figures of both rows are left out.
        fractions: fractions of the labels; one column of the grid each.
        figures: figures of one column, an empty mapping for a row without results.
    """
    known = {row for row, _ in figures}
    lines = [
        [table.rows[first].title, table.rows[second].title]
        + [_difference(figures[first, f], figures[second, f]) for f in fractions]
        for first, second in table.pairs
        if {first, second} <= known
    ]
    titles = ["Difference" if f is None else f"{100 * f:g} %" for f in fractions]
    return grid(["First", "Second", *titles], lines)


def _difference(first: Mapping[int | None, float], second: Mapping[int | None, float]) -> str:
    values = [first[seed] - second[seed] for seed in first if seed in second]
    higher = f", higher in {sum(v > 0 for v in values)} of {len(values)}" if values else ""
    return mean_and_spread(values, sign=True) + higher


def pretraining_report(job: TableJob, folder: ResultFolder) -> str:
    """Return the setting of the pre-trainings, a grid of their losses, and the time of the probes.

    Raises:
        ValueError: a result is broken.
    """
    config, results = job.pretraining, [folder.result(cell) for cell in cells(job)]
    there = [result for result in results if result is not None]
    names = ", ".join(f"`{table}`" for table in config.data.tables)
    commits = ", ".join(sorted({f"`{result.commit[:12]}`" for result in there}))
    setting = (
        f"Pre-training on {names}: train rows, licences {' and '.join(config.data.licences)}; "
        f"`{config.model.encoder.name}` at {config.preprocess.size_px} px; epochs: "
        f"{config.epochs}, in batches of {config.batch_size}. Seeds "
        f"{', '.join(map(str, job.seeds))}; commit {commits or 'none'}. Losses are means of the "
        f"last {config.checkpoint_every} steps or fewer."
    )
    titles = ("Arm", "Seed", "Steps", "Minutes", "Image-report loss", "Decoder loss")
    rows = reversed(job.table.rows.values())  # so that an arm has the title of its first row
    arms = {row.of: row.title for row in rows}
    lines = [
        (arms[arm], str(seed), *_losses(folder.pretraining(arm, seed)))
        for arm in job.config.arms
        if arm in arms
        for seed in job.seeds
    ]
    report = f"{setting}\n\n{grid(titles, lines)}"
    probes = [result.seconds for result in there if result.probe]
    return (
        f"{report}\nThe probes took {sum(probes) / 60:.0f} minutes in all.\n" if probes else report
    )


def _losses(run: Path) -> tuple[str, ...]:
    """Return steps, minutes and last losses of a pre-training."""
    file = run / "history.jsonl"
    if not file.is_file():
        return ("missing", "", "", "")
    notes = [json.loads(line) for line in file.read_text().splitlines()]
    last = notes[-1]
    decoder = f"{last['pa']:.3f}" if "pa" in last else ""
    return (str(last["step"]), f"{_minutes(notes):.1f}", f"{last['vla']:.2f}", decoder)


def _minutes(notes: Sequence[Mapping[str, float]]) -> float:
    """Return the minutes of all starts of a run.

    A note counts the minutes since its own start, so that a smaller number begins a new start.
    """
    total, before = 0.0, 0.0
    for note in notes:
        total += note["minutes"] - (before if note["minutes"] >= before else 0.0)
        before = note["minutes"]
    return total


def draw(job: TableJob, folder: ResultFolder, cache_folder: Path, file: Path) -> None:
    """Write a PNG of what the pre-trained decoders see in two radiographs of open licence.

    Args:
        job: table; the arms with a decoder are drawn, of its first seed.
        folder: folder with the pre-trainings.
        cache_folder: folder of preprocessed radiographs.
        file: the PNG.

    Raises:
        FileNotFoundError: no arm with a decoder was pre-trained.
        ValueError: the table has no task that classifies.
    """
    seed = job.seeds[0] if job.config.pretrains_each_seed else None
    arms = [arm for arm in job.config.arms if _predicts_masks(arm_pretraining(job, arm))]
    runs = [job.checkpoints.get(a, folder.pretraining(a, seed) / CHECKPOINT) for a in arms]
    checkpoints = [checkpoint for checkpoint in runs if checkpoint.is_file()]
    if not checkpoints:
        raise FileNotFoundError(f"{folder.path} holds no pre-training with a decoder")
    classified = [job.config.tasks[t] for t in tasks(job)]
    classified = [task for task in classified if task.kind == "classify"]
    if not classified:
        raise ValueError("a picture needs a task that classifies, which chooses the radiographs")
    data = job.pretraining.data.model_copy(update={"root": job.data})
    cache = open_cache(data, job.pretraining.preprocess, cache_folder)
    rows = open_examples(cache, classified[-1].data, classified[-1].labels[0])
    pixels = np.stack([cache.images[row] for row in rows])
    images = torch.from_numpy(pixels).unsqueeze(1).float() / 255
    panels = [draw_panel(_read(checkpoint), images).numpy() for checkpoint in checkpoints]
    Image.fromarray(np.concatenate(panels)).save(file, optimize=True)


def _predicts_masks(config: PretrainConfig) -> bool:
    return config.decoder_loss == "pseudo_segmentation"


def open_examples(cache: Cache, table: str, finding: str) -> list[int]:
    """Return the first test radiographs of open licence without and with a finding."""
    found: dict[bool, int] = {}
    for i in cache.where("test"):
        row = cache.samples[i].row
        if row.table == table and row.licence_class == "open":
            found.setdefault(row.findings[finding], i)
    return [found[positive] for positive in sorted(found)]


def _read(checkpoint: Path) -> Pretraining:
    """Return a pre-trained module; nothing in the file is executed."""
    saved = read_checkpoint(checkpoint)
    module = Pretraining(PretrainConfig.model_validate_json(saved.config))
    module.load_state_dict(saved.weights)
    return module
