"""A checkpoint of the released code becomes a run of ours, or is refused as a whole.

file -> state dict -> every name, shape and value held against G2D -> runs/NAME
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from training.checkpoint_conversion.layout import (
    HELD,
    PARTS,
    UNREAD,
    part_of,
    recognise,
    released_names,
)
from training.checkpoint_conversion.safe_loading import CheckpointRefused, read_state_dict
from training.config.pretrain import ImportedConfig, PretrainConfig
from training.engine import seeding
from training.engine.checkpoint import CHECKPOINT
from training.git_commit import current_commit
from training.model.g2d import G2D

UNREAD_FILE = "unread.safetensors"
"""In the run's folder: tensors of the file that no forward pass reads, for an export."""


class LayoutMismatch(CheckpointRefused):
    """The file is a checkpoint of another model.

    Attributes:
        problems: one line for each tensor that is missing, not known, misshapen or not finite.
    """

    def __init__(self, message: str, problems: tuple[str, ...]) -> None:
        super().__init__(message)
        self.problems = problems


@dataclass(frozen=True)
class Imported:
    """What an import made.

    Attributes:
        checkpoint: of the new run.
        source: what the file was and which parts came from it; stands in the checkpoint too.
        tensors: how many of each part came from the file.
        unread: names of tensors in the file that no forward pass reads.
    """

    checkpoint: Path
    source: ImportedConfig
    tensors: dict[str, int]
    unread: tuple[str, ...]


def import_checkpoint(file: Path, config: PretrainConfig, out: Path) -> Imported:
    """Read a released checkpoint into a new run.

    Args:
        file: state dict of an encoder, of an encoder and decoder, or of the whole model; bare
            or wrapped as training codes do, pickle of tensors or safetensors.
        config: what the model is. Parts that the file lacks start as this configuration says.
        out: folder of the run, which must not be there yet or be empty.

    Raises:
        FileExistsError: `out` holds something.
        CheckpointRefused: the file is no checkpoint, or one that asks for code to be run.
        LayoutMismatch: a name, a shape or a value does not fit; `problems` names each.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} holds another run; choose a new --out")
    layout, state = recognise(read_state_dict(file))
    encoder = config.model.encoder.model_copy(update={"weights": None})  # the file has them
    model = config.model.model_copy(update={"encoder": encoder})
    seeding.seed_everything(config.seed)
    g2d = G2D(model, config.preprocess.size_px)
    ours = g2d.state_dict()
    names = released_names(ours, layout)
    _refuse_misfits(file, layout, state, {name: ours[names[name]] for name in names})
    held = {names[name]: value for name, value in state.items() if name in names}
    g2d.load_state_dict(held, strict=len(held) == len(ours))
    source = ImportedConfig(
        file=file.name,
        sha256=_digest(file),
        layout=layout,
        from_file=HELD[layout],
        fresh={part: _start(part, config) for part in PARTS if part not in HELD[layout]},
    )
    unread = {name: value.clone() for name, value in state.items() if name not in names}
    _write(out, g2d, config.model_copy(update={"model": model, "imported": source}), unread)
    counts = dict(Counter(part_of(name) for name in held))
    return Imported(out / CHECKPOINT, source, counts, tuple(unread))


def _start(part: str, config: PretrainConfig) -> str:
    """What a part that the file lacks starts from."""
    if part != "lm_model":
        return f"random, seed {config.seed}"
    text = config.model.text
    return f"weights of {text.name}" + (f" at {text.revision}" if text.revision else "")


def _refuse_misfits(
    file: Path, layout: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    """Hold every tensor of the file against the model's.

    Args:
        file, layout: for the message.
        state: of the file.
        wanted: the model's tensors under the names of the layout.

    Raises:
        LayoutMismatch: naming every misfit.
    """
    strange = [n for n in state if n not in wanted and not (layout == "full" and UNREAD.match(n))]
    missing = [name for name in wanted if name not in state]
    shapes = [n for n in wanted if n in state and not _alike(state[n], wanted[n])]
    sound = [n for n in state if n not in strange and n not in shapes]
    infinite = [n for n in sound if not torch.isfinite(state[n]).all()]
    problems = (
        *(f"{n}: {_said(state[n])} in the file, {_said(wanted[n])} in the model" for n in shapes),
        *(f"{n}: missing in the file" for n in missing),
        *(f"{n}: in the file, but not in the model" for n in strange),
        *(f"{n}: holds NaN or infinity" for n in infinite),
    )
    if problems:
        raise LayoutMismatch(
            f"{file} ({layout} layout) does not fit the model: {len(shapes)} shapes differ, "
            f"{len(missing)} tensors are missing, {len(strange)} are not known, "
            f"{len(infinite)} are not finite",
            problems,
        )


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.is_floating_point() == b.is_floating_point()


def _said(tensor: Tensor) -> str:
    shape = " x ".join(map(str, tensor.shape)) or "a scalar"
    return shape if tensor.is_floating_point() else f"{shape} ({tensor.dtype})"


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write(out: Path, g2d: G2D, config: PretrainConfig, unread: dict[str, Tensor]) -> None:
    """The run's folder appears whole or not at all."""
    stage = out.with_name(f"{out.name}.partial")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (stage / "config.yaml").write_text(text)
    if unread:
        save_file(unread, stage / UNREAD_FILE)
    state = {
        "model": {f"g2d.{name}": value for name, value in g2d.state_dict().items()},
        "config": config.model_dump_json(),
        "commit": current_commit(),
    }
    torch.save(state, stage / CHECKPOINT)
    stage.rename(out)
