"""Import of a checkpoint of the released code as a run, or refusal of the whole file.

file -> state dict -> every name, shape and value is compared with G2D -> runs/NAME
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
from training.engine.checkpoint import CHECKPOINT
from training.engine.seeding import seed_everything
from training.git_commit import current_commit
from training.model.g2d import G2D
from training.refusal import RunRefused

UNREAD_FILE = "unread.safetensors"
"""File in the run folder with the tensors that no forward pass reads, kept for an export."""

_POSITIONS = "attnpool.positional_embedding"


class LayoutMismatch(CheckpointRefused):
    """The file is a checkpoint of another model.

    Attributes:
        problems: one line for each tensor that is missing, unknown, of another shape or not
            finite.
    """

    def __init__(self, message: str, problems: tuple[str, ...]) -> None:
        super().__init__(message)
        self.problems = problems


@dataclass(frozen=True)
class Imported:
    """Result of an import.

    Attributes:
        checkpoint: checkpoint of the new run.
        source: the file and the parts that it held; it is in the checkpoint too.
        tensors: part -> number of tensors from the file.
        unread: names of the tensors in the file that no forward pass reads.
        resized: True if the position embeddings of the file are of another image size.
    """

    checkpoint: Path
    source: ImportedConfig
    tensors: dict[str, int]
    unread: tuple[str, ...]
    resized: bool = False


def import_checkpoint(file: Path, config: PretrainConfig, out: Path) -> Imported:
    """Import a released checkpoint as a new run.

    Args:
        file: state dict of an encoder, of an encoder and decoder, or of the whole model; bare or
            wrapped as training codes do, as a pickle of tensors or as safetensors.
        config: architecture of the model, and initial weights of the parts that the file lacks.
        out: folder of the run, which must be empty or not exist.

    Raises:
        RunRefused: `out` is not empty.
        CheckpointRefused: the file is missing, not a checkpoint, or would execute code.
        LayoutMismatch: a name, a shape or a value does not fit; `problems` lists each.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunRefused(f"{out} holds another run; choose a new --out")
    layout, state = recognise(read_state_dict(file))
    # The file holds the weights of the encoder, so none are downloaded.
    encoder = config.model.encoder.model_copy(update={"weights": None})
    model = config.model.model_copy(update={"encoder": encoder})
    seed_everything(config.seed)
    g2d = G2D(model, config.preprocess.size_px)
    ours = g2d.state_dict()
    names = released_names(ours, layout)
    resized = _fit_positions(state, g2d)
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
    return Imported(out / CHECKPOINT, source, counts, tuple(unread), resized)


def _fit_positions(state: dict[str, Tensor], g2d: G2D) -> bool:
    """Resize the position embeddings of a file to the model's grid; return whether it had to."""
    saved = state.get(_POSITIONS)
    if saved is None or (fitted := g2d.attnpool.fitted(saved)) is saved:
        return False
    state[_POSITIONS] = fitted
    return True


def _start(part: str, config: PretrainConfig) -> str:
    """Describe the initial weights of a part that the file lacks."""
    if part != "lm_model":
        return f"random, seed {config.seed}"
    text = config.model.text
    return f"weights of {text.name}" + (f" at {text.revision}" if text.revision else "")


def _refuse_misfits(
    file: Path, layout: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    """Compare every tensor of the file with the model's.

    Args:
        file, layout: name and layout of the file, for the message.
        state: tensors of the file.
        expected: tensors of the model under the names of the layout.

    Raises:
        LayoutMismatch: a tensor does not fit; `problems` lists each.
    """
    unknown = [n for n in state if n not in expected and not (layout == "full" and UNREAD.match(n))]
    missing = [name for name in expected if name not in state]
    shapes = [n for n in expected if n in state and not _same_kind(state[n], expected[n])]
    comparable = [n for n in state if n not in unknown and n not in shapes]
    infinite = [n for n in comparable if not torch.isfinite(state[n]).all()]
    problems = (
        *(
            f"{n}: {_describe(state[n])} in the file, {_describe(expected[n])} in the model"
            for n in shapes
        ),
        *(f"{n}: missing in the file" for n in missing),
        *(f"{n}: in the file, but not in the model" for n in unknown),
        *(f"{n}: holds NaN or infinity" for n in infinite),
    )
    if problems:
        raise LayoutMismatch(
            f"{file} ({layout} layout) does not fit the model: {len(shapes)} shapes differ, "
            f"{len(missing)} tensors are missing, {len(unknown)} are not known, "
            f"{len(infinite)} are not finite",
            problems,
        )


def _same_kind(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors have the same shape, and are both of real numbers or not."""
    return a.shape == b.shape and a.is_floating_point() == b.is_floating_point()


def _describe(tensor: Tensor) -> str:
    """Return the shape of a tensor in words, and its dtype unless it is of real numbers."""
    shape = " x ".join(map(str, tensor.shape)) or "a scalar"
    return shape if tensor.is_floating_point() else f"{shape} ({tensor.dtype})"


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write(out: Path, g2d: G2D, config: PretrainConfig, unread: dict[str, Tensor]) -> None:
    """Write the folder of the run; it appears complete or not at all."""
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
