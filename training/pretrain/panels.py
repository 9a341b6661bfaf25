"""What the model makes of a few radiographs, side by side, for the log.

image | attention over the image | pseudo mask | prediction     one radiograph a line
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.model.image_encoder import normalise
from training.pretrain.objective import Pretraining


@torch.no_grad()
def panel(module: Pretraining, images: Tensor) -> Tensor:
    """The panel of some radiographs.

    Args:
        module: in any mode; it is left in that mode, and no statistics of it change.
        images: B x 1 x S x S intensities in [0, 1].

    Returns:
        B * S x 4 * S x 3 uint8 on the host.
    """
    mode, config = module.training, module.config
    module.eval()
    decodes = config.decoder_loss != "none"
    features = module.g2d.image(normalise(images, config.preprocess), decode=decodes)
    mask = module.target(features.attention, images).mean(dim=1, keepdim=True)
    answer = torch.zeros_like(images)
    if decodes:
        logits = module.g2d.mask_logits(features).float().mean(dim=1, keepdim=True)
        is_mask = config.decoder_loss == "pseudo_segmentation"
        answer = logits.sigmoid() if is_mask else logits.clamp(0, 1)
    module.train(mode)
    heat = _over(images, features.attention.float().mean(dim=1, keepdim=True))
    columns = [_gray(images), heat, _gray(mask), _gray(answer)]
    rows = torch.cat(columns, dim=3).permute(0, 2, 3, 1)
    return (rows.flatten(0, 1).clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def _gray(images: Tensor) -> Tensor:
    return images.float().expand(-1, 3, -1, -1)


def _over(images: Tensor, attention: Tensor) -> Tensor:
    """The image in blue and green, attention between its least and its greatest in red."""
    heat = F.interpolate(attention, images.shape[-2:], mode="bilinear", align_corners=False)
    low, high = heat.amin((2, 3), keepdim=True), heat.amax((2, 3), keepdim=True)
    heat = (heat - low) / (high - low).clamp_min(1e-12)
    dim = 0.6 * images.float()
    return torch.cat([torch.maximum(heat, dim), dim, dim], dim=1)
