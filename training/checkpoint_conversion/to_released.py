"""Export of a run as a checkpoint that the released code loads.

runs/NAME/last.ckpt -> weights of G2D under the released names -> file
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from radiograph.errors import ModelError
from training.checkpoint_conversion.from_released import UNREAD_FILE
from training.checkpoint_conversion.layout import Layout, released_names
from training.engine.checkpoint import preferred_checkpoint, read_checkpoint
from training.refusal import RunRefused


class NotInLayout(ModelError):
    """The released code cannot represent this model."""


@dataclass(frozen=True)
class Written:
    """Result of an export.

    Attributes:
        tensors: number of tensors in the file.
        zeros: names of tensors that the layout requires, that no forward pass reads and that the
            run does not have; they are zeros.
        left_out: parts and heads of the run that the layout does not hold.
    """

    tensors: int
    zeros: tuple[str, ...]
    left_out: tuple[str, ...]


def export_checkpoint(run: Path, out: Path, layout: Layout) -> Written:
    """Write a run's weights in the layout of the released checkpoints.

    Args:
        run: folder of a pre-training, an import or a fine-tuning, or a checkpoint of one.
        out: file to write; safetensors if that is its suffix, else a pickle of tensors.
        layout: parts of the model to write.

    Raises:
        RunRefused: `out` exists.
        NotInLayout: the number of attention heads does not divide the dimension.
    """
    if out.exists():
        raise RunRefused(f"{out} is there already; choose a new --out")
    path = preferred_checkpoint(run) if run.is_dir() else run
    weights = read_checkpoint(path).weights
    ours = {k.removeprefix("g2d."): v for k, v in weights.items() if k.startswith("g2d.")}
    kept = path.parent / UNREAD_FILE
    state, zeros = to_released(ours, layout, load_file(kept) if kept.is_file() else {})
    _write(state, out)
    carried = set(released_names(ours, layout).values())
    left_out = {_part_name(k) for k in weights if k.removeprefix("g2d.") not in carried}
    return Written(len(state), zeros, tuple(sorted(left_out)))


def to_released(
    ours: Mapping[str, Tensor], layout: Layout, unread: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the weights of `G2D` under the released names.

    Args:
        ours: state dict of `G2D`.
        layout: parts to include.
        unread: tensors that no forward pass reads, from the file that was imported.

    Returns:
        The state dict, and the names of required tensors that are zeros.

    Raises:
        NotInLayout: the number of attention heads does not divide the dimension.
    """
    state = {released: ours[name] for released, name in released_names(ours, layout).items()}
    if layout != "full":
        return state, ()
    inner, dim = state["attnpool.mhsa.in_proj_weight"].shape
    if inner != 3 * dim:
        raise NotInLayout(
            f"the attention pool's heads do not divide its {dim} channels, and the released code "
            "knows no other: export the encoder-decoder, or pre-train with 1, 2 or 4 heads"
        )
    absent = {k: v for k, v in _unread_zeros(state).items() if k not in unread}
    return state | dict(unread) | absent, tuple(absent)


def _unread_zeros(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return zeros for the tensors that a strict load requires and that `G2D` does not have."""
    dim, deep = state["proj_v.0.weight"].shape[:2]
    width = state["proj_t.0.weight"].shape[1]
    joined = state["img_model.decoder.blocks.0.conv1.0.weight"].shape[
        1
    ]  # channels of the deepest map and of the skip connection
    like = state["proj_v.0.weight"]
    return {
        "lm_model.pooler.dense.weight": like.new_zeros(width, width),
        "lm_model.pooler.dense.bias": like.new_zeros(width),
        "pseudo_conv.weight": like.new_zeros(dim, joined - deep, 1, 1),
        "pseudo_conv.bias": like.new_zeros(dim),
    }


def _part_name(name: str) -> str:
    """Return the part of a tensor, such as `heads.findings`, `img_model.decoder` or `lm_model`."""
    inside = name.removeprefix("g2d.")
    depth = 2 if inside.startswith(("heads.", "img_model.")) else 1
    return ".".join(inside.split(".")[:depth])


def _write(state: dict[str, Tensor], out: Path) -> None:
    """Write the file; it appears complete or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.partial")
    if out.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, partial)
    else:
        torch.save(state, partial)
    partial.replace(out)
