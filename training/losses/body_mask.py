"""Masks of the body in radiographs, outside of which no score of the attention counts.

    otsu        pixels brighter than Otsu's threshold; most of the lungs is left out
    silhouette  all but the air around the body; lungs and airways are inside

    image --Otsu--> dark class --Otsu again--> level of the air --reduced to cells--> dark cells
          --spread from the edge of the image--> air --largest component of the rest--> body

Padding is as dark as air and reaches the edge of the image, so that it is left out as air is. Lungs
that are open to the edge are brighter than air and stay. Everything runs on the device of the
images in a fixed number of rounds and copies nothing to the host.

Source: Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979. The paper names
"histogram thresholding"; all of `silhouette` after the first threshold is ours.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.config.pretrain import BodyRule

BINS = 256
"""Number of bins of the histogram of an image."""
LEAST_SPREAD = 0.03
"""Standard deviation of the intensities of the dark class below which it is air alone."""
CELL_PX = 4
"""Side of the cells in which air is spread; the outline of the body is as coarse."""
ROUNDS = 8
"""Times that values spread along whole rows and columns of cells; a path may bend as often."""


def body_mask(images: Tensor, rule: BodyRule = "silhouette") -> Tensor:
    """Return the mask of the body.

    Args:
        images: B x 1 x H x W intensities in [0, 1].
        rule: `silhouette` or `otsu`, as above.

    Returns:
        B x 1 x H x W bool.
    """
    if rule == "otsu":
        return images > otsu_threshold(images).view(-1, 1, 1, 1)
    dark = images <= _air_level(images).view(-1, 1, 1, 1)
    return _without_air(dark)


def otsu_threshold(images: Tensor) -> Tensor:
    """Return Otsu's threshold of each image, which has the largest between-class variance.

    Args:
        images: B x ... intensities in [0, 1].

    Returns:
        B thresholds; pixels above them are foreground.
    """
    return _otsu(_histograms(images))


def _histograms(images: Tensor) -> Tensor:
    """Return the number of pixels of each image in each bin, B x BINS float32."""
    index = (images.flatten(1) * BINS).long().clamp_(0, BINS - 1)
    counts = torch.zeros(len(index), BINS, device=images.device, dtype=torch.float32)
    return counts.scatter_add_(1, index, torch.ones_like(index, dtype=torch.float32))


def _otsu(histogram: Tensor) -> Tensor:
    """Return Otsu's threshold of each histogram, B."""
    # B x bins; the cumulative sums below evaluate every candidate threshold at once.
    weight = histogram / histogram.sum(dim=1, keepdim=True).clamp_min(1)
    below = weight.cumsum(dim=1)
    mass = (weight * _centres(histogram)).cumsum(dim=1)
    # (mean * below - mass)^2 / (below * above); not defined where a class is empty
    between = (mass[:, -1:] * below - mass).square() / (below * (1 - below)).clamp_min(1e-12)
    between = torch.where((below > 0) & (below < 1), between, torch.zeros_like(between))
    return (between.argmax(dim=1).float() + 1) / BINS  # upper edge of the best bin


def _centres(histogram: Tensor) -> Tensor:
    return (torch.arange(BINS, device=histogram.device, dtype=torch.float32) + 0.5) / BINS


def _air_level(images: Tensor) -> Tensor:
    """Return the intensity up to which a pixel is air, B: Otsu's threshold of the dark class.

    A dark class of almost one intensity is air alone, and its own threshold would divide noise.
    """
    histogram = _histograms(images)
    threshold, centres = _otsu(histogram), _centres(histogram)
    dark = histogram * (centres < threshold.unsqueeze(1))
    weight = dark / dark.sum(dim=1, keepdim=True).clamp_min(1)
    variance = (weight * centres.square()).sum(dim=1) - (weight * centres).sum(dim=1).square()
    return torch.where(variance < LEAST_SPREAD**2, threshold, _otsu(dark))


def _without_air(dark: Tensor) -> Tensor:
    """Return the largest component that remains without the dark that reaches the edge.

    Args:
        dark: B x 1 x H x W bool.

    Returns:
        B x 1 x H x W bool, in squares of `CELL_PX`.
    """
    size = dark.shape[-2:]
    cells = (max(1, round(size[0] / CELL_PX)), max(1, round(size[1] / CELL_PX)))
    passable = F.adaptive_avg_pool2d(dark.float(), cells).squeeze(1) > 0.5  # B x h x w
    edge = torch.ones_like(passable)
    edge[:, 1:-1, 1:-1] = False
    air = _spread((edge & passable).int(), passable) > 0
    body = _largest_component(~air).unsqueeze(1)
    return F.interpolate(body.float(), size, mode="nearest-exact").bool()


def _largest_component(mask: Tensor) -> Tensor:
    """Return the largest 4-connected component of each of B x h x w bool masks."""
    places = torch.arange(1, mask[0].numel() + 1, device=mask.device, dtype=torch.int32)
    # The last place of a component becomes the name of all its cells, 0 that of the outside.
    names = _spread(places.view_as(mask[0]) * mask, mask).flatten(1).long()
    sizes = torch.zeros(len(mask), len(places) + 1, device=mask.device)
    sizes.scatter_add_(1, names, mask.flatten(1).float())
    return mask & (names == sizes.argmax(dim=1, keepdim=True)).view_as(mask)


def _spread(values: Tensor, passable: Tensor) -> Tensor:
    """Spread the largest value within each connected region of passable cells.

    Args:
        values: B x h x w int32, not negative, and 0 where a cell is not passable.
        passable: B x h x w bool.

    Returns:
        B x h x w int32.
    """
    for _ in range(ROUNDS):
        values = _largest_of_run(_largest_of_run(values, passable, 1), passable, 2)
    return values


def _largest_of_run(values: Tensor, passable: Tensor, dim: int) -> Tensor:
    """Give each passable cell the largest value of its run of passable cells in a row or column."""
    above = values[0].numel() + 1  # greater than every value
    # A wall starts a run with a higher number, so that the maximum begins anew behind it.
    runs = (~passable).cumsum(dim, dtype=torch.int32) * above
    so_far = (runs + values).cummax(dim).values - runs
    # From the other side the runs are numbered downwards; the same holds after turning them.
    runs = (~passable).flip(dim).cumsum(dim, dtype=torch.int32) * above
    largest = ((runs + so_far.flip(dim)).cummax(dim).values - runs).flip(dim)
    return torch.where(passable, largest, 0)
