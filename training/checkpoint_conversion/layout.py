"""Names of the released checkpoints, beside ours.

    encoder           state dict of `smp.Unet(...).encoder`
    encoder-decoder   state dict of `smp.Unet(...)`
    full              `img_model`, `attnpool`, `lm_model`, `proj_v`, `proj_t`, `pseudo_conv`

Ours differ in one place: a text encoder is `lm_model.bert` here, `lm_model` there. The number
of attention heads is written in neither.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from torch import Tensor

Layout = Literal["encoder", "encoder-decoder", "full"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
PARTS = ("img_model.encoder", "img_model.decoder", "proj_v", "attnpool", "proj_t", "lm_model")
"""Of the model, in the order of the flow; the decoder brings its segmentation head."""
ALIGNMENT = ("proj_v", "attnpool", "proj_t", "lm_model")
"""What zero-shot answers need beside the encoder, all trained together."""
HELD: dict[Layout, tuple[str, ...]] = {
    "encoder": PARTS[:1],
    "encoder-decoder": PARTS[:2],
    "full": PARTS,
}
"""Layout -> the parts in it."""
UNREAD = re.compile(
    r"(pseudo_conv|lm_model\.pooler\.dense)\.(weight|bias)"
    r"|lm_model\.embeddings\.position_ids"
)
"""In full checkpoints, and read by no forward pass of the released code: a convolution that is
left over, BERT's pooler beside the [CLS] token that is used, and a buffer that counts."""


def recognise(state: Mapping[str, Tensor]) -> tuple[Layout, dict[str, Tensor]]:
    """Which layout a state dict has, and its tensors under the names of that layout."""
    if any(name.startswith(tuple(f"{part}." for part in ALIGNMENT)) for name in state):
        return "full", dict(state)
    unet = _inside(state, "img_model.")
    if any(name.startswith(("decoder.", "segmentation_head.")) for name in unet):
        return "encoder-decoder", unet
    return "encoder", _inside(unet, "encoder.")


def _inside(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Without the prefix, when every name has it."""
    shared = all(name.startswith(prefix) for name in state)
    return {name.removeprefix(prefix) if shared else name: t for name, t in state.items()}


def released_names(ours: Iterable[str], layout: Layout) -> dict[str, str]:
    """Released name -> our name in `G2D`, for every tensor of ours that the layout holds."""
    prefix = {"encoder": "img_model.encoder.", "encoder-decoder": "img_model.", "full": ""}[layout]
    return {
        re.sub(r"^lm_model\.bert\.", "lm_model.", name.removeprefix(prefix)): name
        for name in ours
        if name.startswith(prefix)
    }


def part_of(ours: str) -> str:
    """The part that a tensor of `G2D` belongs to."""
    if ours.startswith("img_model.segmentation_head."):
        return "img_model.decoder"
    return next(part for part in PARTS if ours.startswith(f"{part}."))
