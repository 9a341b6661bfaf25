"""Losses of masks and of the decoder: Dice, binary cross-entropy, focal and reconstruction."""

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_dice_loss(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, smooth: float = 1.0
) -> Tensor:
    """Return 1 - Dice of each map, from the sigmoid of the logits.

    Args:
        logits: B x K x H x W.
        target: same shape, in [0, 1].
        weight: same shape, 0 for pixels that do not count; None counts every pixel.
        smooth: term added to numerator and denominator, so that two empty maps have Dice 1.

    Returns:
        B x K.
    """
    probability = logits.float().sigmoid()
    if weight is not None:
        probability, target = probability * weight, target * weight
    overlap = (probability * target).sum(dim=(2, 3))
    total = probability.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
    return 1 - (2 * overlap + smooth) / (total + smooth)


def pixel_bce(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean binary cross-entropy of each map over its counted pixels.

    Args:
        logits: B x K x H x W.
        target: same shape, in [0, 1].
        weight: same shape, 0 for pixels that do not count; None counts every pixel.

    Returns:
        B x K.
    """
    loss = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    if weight is None:
        return loss.mean(dim=(2, 3))
    return (loss * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1.0)


def pseudo_alignment_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Return L_PA, 0.5 * (soft Dice + BCE) against the pseudo mask.

    Source: G2D (Liu et al., NeurIPS 2024), section 3.2.

    Args:
        logits: B x K x H x W, output of the decoder before the sigmoid.
        mask: B x K x H x W in [0, 1].

    Returns:
        A scalar.
    """
    return 0.5 * (soft_dice_loss(logits, mask).mean() + pixel_bce(logits, mask).mean())


def released_alignment_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the loss that the released code has for L_PA: Dice of raw logits + 0.2 * BCE.

    A logit is not a share of a pixel. With negative logits, the denominator of Dice can pass
    through 0, and the loss has no lower bound. It exists only to reproduce that code.

    Args:
        logits: B x K x H x W, output of the decoder before the sigmoid.
        mask: B x K x H x W in [0, 1].

    Returns:
        A scalar.
    """
    values, target = logits.float().flatten(1), mask.flatten(1)  # B x KHW
    total = values.sum(dim=1) + target.sum(dim=1)
    dice = (2 * (values * target).sum(dim=1) + 1e-5) / (total + 1e-5)
    return (1 - dice).mean() + 0.2 * pixel_bce(logits, mask).mean()


def reconstruction_loss(logits: Tensor, images: Tensor) -> Tensor:
    """Return the mean squared error of the decoder's sigmoid against the input of the encoder.

    Args:
        logits: B x 1 x H x W.
        images: B x 1 x H x W intensities in [0, 1].

    Returns:
        A scalar.
    """
    return F.mse_loss(logits.float().sigmoid(), images.float())


def known_mask_loss(logits: Tensor, target: Tensor, known: Tensor, counted: Tensor) -> Tensor:
    """Return Dice + BCE, averaged over the maps whose truth is known.

    Args:
        logits: B x K x H x W.
        target: same shape, 0 or 1.
        known: B x K bool, True if the map was annotated.
        counted: B x 1 x H x W, 0 where the annotation says "ignore".

    Returns:
        A scalar; 0 if nothing is known.
    """
    weight = counted.expand_as(target)
    each = soft_dice_loss(logits, target, weight) + pixel_bce(logits, target, weight)
    share = known.to(each.dtype)
    return torch.sum(each * share) / share.sum().clamp_min(1.0)


def mgca_mask_loss(logits: Tensor, target: Tensor, known: Tensor, counted: Tensor) -> Tensor:
    """Return 10 * focal loss - log(Dice) of all annotated pixels of the batch together.

    The focal loss is the mean of (1 - p)^2 * -log(p), where p is the probability of the true class
    of a pixel. Dice is that of the joined batch, not the mean over the images.

    Source: segmentation of MGCA (Wang et al., NeurIPS 2022), released code.

    Args:
        logits: B x K x H x W.
        target: same shape, 0 or 1.
        known: B x K bool, True if the map was annotated.
        counted: B x 1 x H x W, 0 where the annotation says "ignore".

    Returns:
        A scalar; 0 if nothing is known.
    """
    weight = counted * known[:, :, None, None].to(counted.dtype)  # B x K x H x W
    entropy = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    each = (1 - torch.exp(-entropy)).square() * entropy  # the entropy is -log(p)
    focal = (each * weight).sum() / weight.sum().clamp_min(1.0)
    probability, true = logits.float().sigmoid() * weight, target * weight
    overlap, total = (probability * true).sum(), probability.sum() + true.sum()
    return 10 * focal - torch.log((2 * overlap + 1) / (total + 1))
