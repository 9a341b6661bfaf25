"""Layouts and tensor names of the released checkpoints.

    encoder           state dict of `smp.Unet(...).encoder`
    encoder-decoder   state dict of `smp.Unet(...)`
    full              `img_model`, `attnpool`, `lm_model`, `proj_v`, `proj_t`, `pseudo_conv`

The names differ from those of this project in one place: the text encoder is `lm_model` there and
`lm_model.bert` here. Neither stores the number of attention heads.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from torch import Tensor

Layout = Literal["encoder", "encoder-decoder", "full"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
PARTS = ("img_model.encoder", "img_model.decoder", "proj_v", "attnpool", "proj_t", "lm_model")
"""Parts of the model in the order of the data flow; the decoder includes its segmentation head."""
ALIGNMENT = ("proj_v", "attnpool", "proj_t", "lm_model")
"""Parts that zero-shot answers need beside the encoder, all trained together."""
HELD: dict[Layout, tuple[str, ...]] = {
    "encoder": PARTS[:1],
    "encoder-decoder": PARTS[:2],
    "full": PARTS,
}
"""Layout -> the parts that it holds."""
UNREAD = re.compile(
    r"(pseudo_conv|lm_model\.pooler\.dense)\.(weight|bias)"
    r"|lm_model\.embeddings\.position_ids"
)
"""Tensors of full checkpoints that no forward pass of the released code reads: an unused
convolution, the pooler of BERT (the [CLS] token is used instead), and a buffer of positions."""


def recognise(state: Mapping[str, Tensor]) -> tuple[Layout, dict[str, Tensor]]:
    """Return the layout of a state dict, and its tensors under the names of that layout."""
    if any(name.startswith(tuple(f"{part}." for part in ALIGNMENT)) for name in state):
        return "full", dict(state)
    unet = _inside(state, "img_model.")
    if any(name.startswith(("decoder.", "segmentation_head.")) for name in unet):
        return "encoder-decoder", unet
    return "encoder", _inside(unet, "encoder.")


def _inside(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the state without the prefix if every name has it, else unchanged."""
    shared = all(name.startswith(prefix) for name in state)
    return {name.removeprefix(prefix) if shared else name: t for name, t in state.items()}


def released_names(ours: Iterable[str], layout: Layout) -> dict[str, str]:
    """Map released names to the names in `G2D`.

    Args:
        ours: names of the tensors of `G2D`.
        layout: only tensors that this layout holds are included.
    """
    prefix = {"encoder": "img_model.encoder.", "encoder-decoder": "img_model.", "full": ""}[layout]
    return {
        re.sub(r"^lm_model\.bert\.", "lm_model.", name.removeprefix(prefix)): name
        for name in ours
        if name.startswith(prefix)
    }


def part_of(ours: str) -> str:
    """Return the part that a tensor of `G2D` belongs to."""
    if ours.startswith("img_model.segmentation_head."):
        return "img_model.decoder"
    return next(part for part in PARTS if ours.startswith(f"{part}."))
