"""Share of the lungs inside the body mask of pre-training, on radiographs with annotated lungs.

    python -m bench.accuracy.masks.body_masks --data ../shared/data

For each set and rule, as the cache has the images and as the augmentation of `shipped_pretrain`
changes them: the share of the lung pixels inside the mask (median and 10th percentile over the
images), the share of the image inside, and the share of the left lung that the pseudo mask covers
if the attention is exactly that lung. The row `none` is the pseudo mask without a body mask.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from radiograph.preprocess import PreprocessSpec
from training.config.augmentation import Augmentation, AugmentConfig, NoAugmentConfig
from training.config.pretrain import BodyRule
from training.config.run import DataConfig
from training.data.annotations.masks import LUNGS
from training.data.augmentation.augment import augment
from training.data.batches.collate import structure
from training.data.cache.cache import Cache, open_cache
from training.losses.body_mask import body_mask
from training.losses.pseudo_mask import pseudo_mask

SETS = ("kermany_224", "covid_cxr", "wingspan_ctr")
RULES: tuple[BodyRule | None, ...] = ("otsu", "silhouette", None)
AUGMENTATIONS: dict[str, Augmentation] = {
    "none": NoAugmentConfig(kind="none"),
    "affine": AugmentConfig(),
}
BATCH = 32
STRIDE_PX = 32
"""Side of a cell of the attention, in pixels of the image."""
HEADER = (
    "| set | images | augmentation | rule | lungs inside: median | 10 % | image inside |"
    " left lung covered |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True)
class Shares:
    """Shares of one batch, B each: lungs inside, image inside, left lung in the pseudo mask."""

    lungs: Tensor
    image: Tensor
    covered: Tensor


def main() -> None:
    """Measure and print a Markdown table."""
    options = _options()
    print(HEADER)
    for name in options.sets:
        data = DataConfig(root=options.data, tables=(name,), licences=("open", "noncommercial"))
        cache = open_cache(data, PreprocessSpec(size_px=options.size), options.cache)
        rows = [i for i, each in enumerate(cache.samples) if set(LUNGS) <= each.known]
        rows = rows[:: max(1, len(rows) // options.images)]
        for kind, config in AUGMENTATIONS.items():
            batches = [_masked(cache, each, config) for each in _batches(rows)]
            for rule in RULES:
                found = [shares(images, lungs, rule) for images, lungs in batches]
                print(line(name, kind, rule, found), flush=True)


def line(name: str, kind: str, rule: BodyRule | None, found: list[Shares]) -> str:
    """Return the line of the table for one rule."""
    lungs, image, covered = (
        np.concatenate([getattr(each, field).numpy() for each in found])
        for field in ("lungs", "image", "covered")
    )
    low, median = np.quantile(lungs, [0.1, 0.5])
    figures = f"{median:.2f} | {low:.2f} | {np.median(image):.2f} | {np.median(covered):.2f}"
    return f"| {name} | {len(lungs)} | {kind} | {rule or 'none'} | {figures} |"


def shares(images: Tensor, lungs: Tensor, rule: BodyRule | None) -> Shares:
    """Return the shares of each image.

    Args:
        images: B x 1 x S x S intensities in [0, 1].
        lungs: B x 2 x S x S bool, left and right lung; the left one is not empty.
        rule: rule of the body mask; None is no mask.
    """
    inside = torch.ones_like(images).bool() if rule is None else body_mask(images, rule)
    left, both = lungs[:, :1], lungs.any(dim=1, keepdim=True)
    attention = F.avg_pool2d(left.float(), STRIDE_PX)  # all of it on the left lung
    target = pseudo_mask(attention, images, body=rule, smooth=False)
    return Shares(_part(both, inside), inside.float().mean(dim=(1, 2, 3)), _part(left, target))


def _part(whole: Tensor, mask: Tensor) -> Tensor:
    return (whole * mask).sum(dim=(1, 2, 3)) / whole.sum(dim=(1, 2, 3))


def _batches(rows: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def _masked(cache: Cache, rows: list[int], config: Augmentation) -> tuple[Tensor, Tensor]:
    """Return the augmented images and lungs of those rows whose lungs stay in the image."""
    images = torch.from_numpy(np.stack([cache.images[i] for i in rows])).unsqueeze(1).float() / 255
    bits = torch.from_numpy(np.stack([cache.masks[i] for i in rows]))
    changed = augment(images, bits, config, Generator().manual_seed(rows[0]))
    if changed.masks is None:
        raise AssertionError("masks were given")
    lungs = torch.stack([structure(changed.masks, cache.structures, n) for n in LUNGS], dim=1)
    shown = lungs.flatten(2).any(dim=2).all(dim=1)
    return changed.images[shown], lungs[shown]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="Folder of the data sets.")
    parser.add_argument("--sets", nargs="+", default=SETS, help="Names of the data sets.")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="Folder of the cache.")
    parser.add_argument("--size", type=int, default=224, help="Side of the images in pixels.")
    parser.add_argument("--images", type=int, default=500, help="Most images of a set, or twice.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
