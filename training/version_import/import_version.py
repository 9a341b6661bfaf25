"""Import of a published version as a run, or refusal of the version.

version -> verified -> weights of its graphs -> run folder -> golden outputs replayed in PyTorch

    runs/NAME/last.ckpt              trunk and heads, for `start_from` and `teacher`
    runs/NAME/pretrained/last.ckpt   the same trunk as a pre-training, for `pretrained`

What no published graph reads, such as the pseudo-segmentation head, starts anew.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor

from radiograph.errors import ModelError
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import CHECKPOINT
from training.engine.run_folder import RUN
from training.engine.seeding import seed_everything
from training.evaluation.trained_model import TrainedModel, load_run
from training.export.parity import torch_outputs
from training.export.stored_parameters import read_parameters
from training.finetune.module import Finetuning
from training.finetune.past_runs import PastRun, architecture
from training.model.text_encoder import Tokens
from training.refusal import RunRefused
from training.version_import.unrecorded_graphs import recovered_parameters

PRETRAINED = "pretrained"
_STARTED = "# started from commit "


class VersionNotImported(ModelError):
    """The version cannot be turned into a run."""


@dataclass(frozen=True)
class ImportedVersion:
    """Result of an import.

    Attributes:
        checkpoint: checkpoint of the new run.
        pretrained: checkpoint that defines its architecture; None if the run itself does.
        fresh: names of the weights that the version does not hold, and that start anew.
        difference: largest difference between its golden outputs and those of the run.
    """

    checkpoint: Path
    pretrained: Path | None
    fresh: tuple[str, ...]
    difference: float


def import_version(repository: Repository, name: str, version: int, out: Path) -> ImportedVersion:
    """Import a version as a new run.

    Args:
        repository: the models.
        name, version: the version.
        out: folder of the run, which must be empty or not exist.

    Raises:
        RunRefused: `out` is not empty.
        ModelNotFound, InvalidVersion: see `Repository.verify`.
        VersionNotImported: its configurations are not valid here, its graphs hold other weights
            than they describe, or the run does not give its golden outputs.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunRefused(f"{out} holds another run; choose a new --out")
    verified = repository.verify(name, version)
    manifest = verified.manifest
    runs = _runs(manifest)
    first, last = runs[0].config, runs[-1].config
    if not isinstance(last, FinetuneConfig):
        raise VersionNotImported(f"{name}/{version} was published from a pre-training, not a run")
    weights, fresh = _weights(verified.folder, manifest, runs, last)
    stage = out.with_name(f"{out.name}.partial")
    shutil.rmtree(stage, ignore_errors=True)
    try:
        _write(stage, weights, runs, manifest)
        difference = _replayed(load_run(stage), verified.folder, manifest)
        stage.rename(out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    pretrained = out / PRETRAINED / CHECKPOINT if isinstance(first, PretrainConfig) else None
    return ImportedVersion(out / CHECKPOINT, pretrained, fresh, difference)


def _runs(manifest: ModelManifest) -> list[PastRun]:
    """Return the runs that led to a version, the first one first."""
    runs = []
    for name, text in manifest.provenance.configuration.items():
        header = text.partition("\n")[0]
        commit = header.removeprefix(_STARTED) if header.startswith(_STARTED) else "unknown"
        try:
            runs.append(PastRun(RUN.validate_python(yaml.safe_load(text)), commit))
        except (ValidationError, yaml.YAMLError) as error:
            raise VersionNotImported(
                f"{name} of the manifest is not valid here: {error}"
            ) from error
    if not runs:
        raise VersionNotImported("the manifest holds no configuration of a run")
    return runs


def _weights(
    folder: Path, manifest: ModelManifest, runs: Sequence[PastRun], last: FinetuneConfig
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the whole state dict of the run, and the names of what starts anew.

    Args:
        folder: folder of the version.
        manifest: its manifest.
        runs: the runs that led to it.
        last: configuration of the last one.
    """
    seed_everything(last.seed)
    module = Finetuning(last, *architecture(runs))
    own, published = module.state_dict(), _published(folder, manifest)
    weights = {name: published.get(name, value) for name, value in own.items()}
    strange = [name for name in own if weights[name].shape != own[name].shape]
    strange += [name for name in published if name.startswith("heads.") and name not in own]
    if strange:
        message = f"weights that its configurations do not describe: {', '.join(sorted(strange))}"
        raise VersionNotImported(message)
    fresh = (name for name in own if name not in published)
    return weights, tuple(name for name in fresh if not name.endswith("num_batches_tracked"))


def _published(folder: Path, manifest: ModelManifest) -> dict[str, Tensor]:
    """Return the weights of a version by the names of the state dict of a fine-tuning."""
    graphs = [(manifest.trunk.file, "", "")]
    if manifest.text is not None:
        graphs.append((manifest.text.file, "", "g2d.lm_model."))
    for name, head in manifest.heads.items():
        module = "g2d." if head.method == "zero_shot" else f"heads.{name}."
        graphs.append((head.file, "head.", module))
    found: dict[str, Tensor] = {}
    for file, prefix, module in graphs:
        try:
            stored = read_parameters(folder / file)
        except KeyError:  # exported before graphs named their parameters
            stored = recovered_parameters(folder / file)
        found |= {f"{module}{name.removeprefix(prefix)}": value for name, value in stored.items()}
    return found


def _write(
    folder: Path, weights: dict[str, Tensor], runs: Sequence[PastRun], manifest: ModelManifest
) -> None:
    """Write the run, and its trunk as a pre-training."""
    first, last = runs[0], runs[-1]
    folder.mkdir(parents=True)
    state = {
        **_state(weights, last),
        "before": [(run.config.model_dump_json(), run.commit) for run in runs[:-1]],
        "data": [use.model_dump_json() for use in manifest.provenance.data],
    }
    torch.save(state, folder / CHECKPOINT)
    if isinstance(first.config, PretrainConfig):
        (folder / PRETRAINED).mkdir()
        trunk = {name: value for name, value in weights.items() if name.startswith("g2d.")}
        torch.save(_state(trunk, first), folder / PRETRAINED / CHECKPOINT)


def _state(weights: dict[str, Tensor], run: PastRun) -> dict[str, Any]:
    return {"model": weights, "config": run.config.model_dump_json(), "commit": run.commit}


def _replayed(model: TrainedModel, folder: Path, manifest: ModelManifest) -> float:
    """Return the largest difference between golden outputs and those of the run.

    Raises:
        VersionNotImported: it is larger than the tolerance of the version.
    """
    with np.load(folder / manifest.golden.file) as golden:
        arrays = dict(golden)
    tokens = None
    if "input_ids" in arrays:
        ids, mask = (torch.from_numpy(arrays[key]) for key in ("input_ids", "attention_mask"))
        tokens = Tokens(ids, mask)
    ours = torch_outputs(model, torch.from_numpy(arrays["image"]), tokens)
    wrong = {
        name: float(np.abs(ours[name] - values).max()) if name in ours else float("inf")
        for name, values in arrays.items()
        if name not in ("image", "input_ids", "attention_mask")
    }
    name = max(wrong, key=lambda key: wrong[key])
    if not wrong[name] <= manifest.golden.tolerance:
        raise VersionNotImported(f"{name}: {wrong[name]:.3g} from the golden output of the version")
    return wrong[name]
