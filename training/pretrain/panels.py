"""Panels for the experiment loggers: predictions of a pre-training for a few radiographs.

image | attention over the image | pseudo mask | prediction     (one row per radiograph)
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.model.image_encoder import normalise
from training.pretrain.objective import Pretraining


@torch.no_grad()
def draw_panel(module: Pretraining, images: Tensor) -> Tensor:
    """Draw the panel of some radiographs.

    Args:
        module: module in any mode, which is restored; its running statistics do not change.
        images: B x 1 x S x S intensities in [0, 1].

    Returns:
        (B * S) x (4 * S) x 3 uint8 on the host.
    """
    mode, config = module.training, module.config
    module.eval()
    decodes = config.decoder_loss != "none"
    features = module.g2d.image(normalise(images, config.preprocess), decode=decodes)
    mask = module.target(features.attention, images).mean(dim=1, keepdim=True)
    prediction = torch.zeros_like(images)
    if decodes:
        logits = module.g2d.mask_logits(features).float().mean(dim=1, keepdim=True)
        is_mask = config.decoder_loss == "pseudo_segmentation"
        prediction = logits.sigmoid() if is_mask else logits.clamp(0, 1)
    module.train(mode)
    overlay = _overlay(images, features.attention.float().mean(dim=1, keepdim=True))
    columns = [_gray(images), overlay, _gray(mask), _gray(prediction)]
    rows = torch.cat(columns, dim=3)  # B x 3 x S x 4S
    rows = rows.permute(0, 2, 3, 1)  # B x S x 4S x 3, channels last as loggers take images
    return (rows.flatten(0, 1).clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def _gray(images: Tensor) -> Tensor:
    return images.float().expand(-1, 3, -1, -1)


def _overlay(images: Tensor, attention: Tensor) -> Tensor:
    """Return the image in green and blue, and the attention of each image, rescaled, in red."""
    heat = F.interpolate(attention, images.shape[-2:], mode="bilinear", align_corners=False)
    low, high = heat.amin((2, 3), keepdim=True), heat.amax((2, 3), keepdim=True)
    heat = (heat - low) / (high - low).clamp_min(1e-12)
    dim = 0.6 * images.float()
    return torch.cat([torch.maximum(heat, dim), dim, dim], dim=1)
