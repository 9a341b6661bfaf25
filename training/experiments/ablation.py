r"""The ablation of G2D at our scale: arms that differ in pre-training alone, then frozen probes.

    for each seed, for each arm:
        pre-train (or not) -> frozen encoder -> features
            \-> lungs:     decoder from the start, and transferred where one was pre-trained
            \-> pneumonia: linear layer
                           each on every table, at every fraction of the labels

    <out>/config.json                 what the results belong to
    <out>/pretrain/<arm>-<seed>/      run of the pre-training, with its checkpoints
    <out>/cells/<name>.json           one result each, written whole or not at all

Killed at any time, the same command goes on: a cell that is there is not computed again.
"""

import json
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp

from training.config.ablation import AblationConfig, Arm
from training.config.pretrain import PretrainConfig
from training.data.cache.cache import open_cache
from training.data.rows.masks import LUNGS
from training.experiments import results
from training.experiments.ablation_probes import Encoded, Found, probe_decoder, probe_linear
from training.experiments.probe_segment import build_probe
from training.experiments.results import Claimed
from training.finetune.frozen_features import fresh_unet, read_unet
from training.git_commit import current_commit
from training.pretrain.pretrain import pretrain

PRETRAINED: dict[Arm, dict[str, object]] = {
    "none": {"decoder_loss": "none", "shuffle_masks": False},
    "pseudo": {"decoder_loss": "pseudo_segmentation", "shuffle_masks": False},
    "shuffled": {"decoder_loss": "pseudo_segmentation", "shuffle_masks": True},
}
"""What each pre-trained arm changes of the shared configuration."""


@dataclass(frozen=True, order=True)
class Cell:
    """One figure of the ablation.

    Attributes:
        seed, arm: of the encoder.
        task: `segment` or `classify`.
        table: trained and measured on.
        start: of the head: `new`, or `transferred` with the pre-trained decoder.
        fraction: of the labelled patients.
    """

    seed: int
    arm: Arm
    task: str
    table: str
    start: str
    fraction: float

    @property
    def name(self) -> str:
        """As a file is called."""
        parts = (self.task, self.table, self.arm, self.start, f"{self.fraction:g}", f"s{self.seed}")
        return "-".join(parts)


@dataclass(frozen=True)
class Result:
    """What a cell found.

    Attributes:
        cell: what was asked.
        found: the figure and how it came about.
        seconds: the cell took, without the features.
        commit: that computed it.
    """

    cell: Cell
    found: Found
    seconds: float
    commit: str


def cells(config: AblationConfig) -> list[Cell]:
    """Every cell, in the order in which they are computed: whole seeds first, `random` last."""
    found: list[Cell] = []
    for seed in config.seeds:
        for arm in config.arms:
            decoders = ("new", "transferred") if has_decoder(arm) else ("new",)
            for task, probe, starts in (
                ("classify", config.classify, ("new",)),
                ("segment", config.segment, decoders),
            ):
                found += [
                    Cell(seed, arm, task, table, start, fraction)
                    for table in probe.tables
                    for start in starts
                    for fraction in config.fractions
                ]
    return sorted(found, key=lambda cell: cell.arm == "random")


def has_decoder(arm: Arm) -> bool:
    """Whether the arm pre-trains a decoder."""
    return PRETRAINED.get(arm, {}).get("decoder_loss") == "pseudo_segmentation"


class Folder:
    """Where an ablation writes."""

    def __init__(self, path: Path) -> None:
        """Args: path: made when it is written to."""
        self.path = path
        self._claimed = Claimed(path, AblationConfig, "ablation")

    def claim(self, config: AblationConfig) -> None:
        """Make it the folder of this configuration; as `Claimed.claim`."""
        self._claimed.claim(config)
        (self.path / "cells").mkdir(exist_ok=True)

    def check(self, config: AblationConfig) -> None:
        """Refuse a folder of anything else; as `Claimed.check`."""
        self._claimed.check(config)

    def result(self, cell: Cell) -> Result | None:
        """What was found for a cell, or None.

        Raises:
            ValueError: its file is not what this module writes.
        """
        file = self._file(cell)
        result = results.read(file, _result)
        if result and result.cell != cell:
            raise ValueError(f"{file} holds the result of another cell; remove it")
        return result

    def keep(self, result: Result) -> None:
        """Write one result, whole or not at all."""
        results.write(self._file(result.cell), json.dumps(asdict(result)))

    def run(self, arm: Arm, seed: int) -> Path:
        """Folder of one pre-training."""
        return self.path / "pretrain" / f"{arm}-{seed}"

    def _file(self, cell: Cell) -> Path:
        return self.path / "cells" / f"{cell.name}.json"


def _result(read: dict[str, Any]) -> Result:
    return Result(Cell(**read.pop("cell")), Found(**read.pop("found")), **read)


def run(config: AblationConfig, out: Path, cache_folder: Path) -> Generator[Result, None, None]:
    """Compute what is missing; gives each result as it is found."""
    folder = Folder(out)
    folder.claim(config)
    todo = [cell for cell in cells(config) if folder.result(cell) is None]
    for seed, arm in dict.fromkeys((cell.seed, cell.arm) for cell in todo):
        unet = _unet(config, folder, arm, seed, cache_folder)
        cache = open_cache(config.pretrain.data, config.pretrain.preprocess, cache_folder)
        encoded = Encoded(config, cache, unet)
        for cell in todo:
            if (cell.seed, cell.arm) == (seed, arm):
                result = _compute(config, cell, unet, encoded)
                folder.keep(result)
                yield result


def _compute(config: AblationConfig, cell: Cell, unet: smp.Unet, encoded: Encoded) -> Result:
    began = time.monotonic()
    if cell.task == "classify":
        found = probe_linear(config.classify, encoded, cell.table, cell.fraction, cell.seed)
    else:
        probe = build_probe(unet, len(LUNGS), cell.seed, transfer=cell.start == "transferred")
        found = probe_decoder(config.segment, probe, encoded, cell.table, cell.fraction, cell.seed)
    return Result(cell, found, round(time.monotonic() - began, 1), current_commit())


def arm_config(config: AblationConfig, arm: Arm, seed: int) -> PretrainConfig:
    """The pre-training of one arm."""
    return config.pretrain.model_copy(update=PRETRAINED[arm] | {"seed": seed})


def _unet(
    config: AblationConfig, folder: Folder, arm: Arm, seed: int, cache_folder: Path
) -> smp.Unet:
    """The arm's encoder and decoder; pre-trains, or goes on with it, where the arm asks for it."""
    encoder = config.pretrain.model.encoder
    if arm == "random":
        return fresh_unet(encoder.model_copy(update={"weights": None}), seed)
    if arm == "imagenet":
        return fresh_unet(encoder, seed)
    return read_unet(pretrain(arm_config(config, arm, seed), folder.run(arm, seed), cache_folder))
