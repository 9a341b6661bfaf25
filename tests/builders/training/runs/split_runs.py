"""A run whose radiographs are split into training and validation."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from radiograph.manifest import HeadSpec
from radiograph.postprocess.activations import sigmoid
from tests.builders.training.runs.tiny_runs import SIZE_PX, write_kermany
from training.evaluation.trained_model import TrainedModel


def with_validation(
    model: TrainedModel, folder: Path, train: int = 8, valid: int = 8
) -> TrainedModel:
    """Return the run with other radiographs, the first of them for training."""
    data = write_kermany(folder, count=train + valid)
    table = folder / "kermany_224.csv"
    header, *lines = table.read_text().splitlines()
    kept = [*lines[:train], *(line.replace(",train,", ",valid,") for line in lines[train:])]
    table.write_text("\n".join([header, *kept]) + "\n")
    return replace(model, config=model.config.model_copy(update={"data": data}))


def drawing_only_what_is_seen(
    model: TrainedModel, heads: Mapping[str, HeadSpec]
) -> dict[str, HeadSpec]:
    """Return the heads with thresholds of masks just above what features of zero give.

    A trunk whose outputs are zero draws no mask then, and any other trunk draws some.
    """
    features = model.trunk(np.zeros((1, 1, SIZE_PX, SIZE_PX), dtype=np.float32))
    nothing = {name: torch.zeros(value.shape) for name, value in features.items()}
    raw = model.answers(nothing)[1]["anatomy"]["logits"][0]
    labels = tuple(
        label.model_copy(update={"threshold": float(sigmoid(logits.max())) + 1e-4, "clean": None})
        for label, logits in zip(heads["anatomy"].labels, raw, strict=True)
    )
    return {**heads, "anatomy": heads["anatomy"].model_copy(update={"labels": labels})}
