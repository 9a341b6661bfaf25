"""The body mask, on drawn thoraxes and beside scipy's components and holes."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from training.losses.body_mask import CELL_PX, body_mask, otsu_threshold

AIR, LUNG, TISSUE = 0.05, 0.25, 0.7
ROWS, COLUMNS = torch.meshgrid(torch.arange(128) + 0.5, torch.arange(128) + 0.5, indexing="ij")


def _ellipse(row: float, column: float, height: float, width: float) -> Tensor:
    return ((ROWS - row) / height) ** 2 + ((COLUMNS - column) / width) ** 2 <= 1


BODY = _ellipse(70, 64, 54, 50)
LUNGS = _ellipse(62, 42, 30, 14) | _ellipse(62, 86, 30, 14)


def _thorax(noise: float = 0.01) -> Tensor:
    """A thorax in air, 128 x 128, with black padding in the first 12 and the last 12 columns."""
    image = torch.full((128, 128), AIR)
    image[BODY], image[LUNGS] = TISSUE, LUNG
    image += noise * torch.randn(128, 128, generator=torch.Generator().manual_seed(0))
    image[:, :12] = image[:, 116:] = 0.0
    return image.clamp(0, 1).view(1, 1, 128, 128)


def _share(part: Tensor, mask: Tensor) -> float:
    return float((part & mask[0, 0]).sum() / part.sum())


def test_lungs_are_inside_the_silhouette_and_air_and_padding_are_not() -> None:
    image = _thorax()
    silhouette, bright = body_mask(image), body_mask(image, "otsu")
    assert _share(LUNGS, silhouette) == 1.0
    assert _share(LUNGS, bright) == 0.0
    assert _share(BODY, silhouette) > 0.98
    assert _share(~BODY, silhouette) < 0.05
    assert not silhouette[..., :12].any()


@pytest.mark.parametrize("columns", [slice(40, 128), slice(0, 90)], ids=["right", "left"])
def test_a_lung_that_is_open_to_the_edge_is_inside(columns: slice) -> None:
    mask = body_mask(_thorax()[..., columns])
    assert _share(LUNGS[:, columns], mask) > 0.99
    assert _share(~BODY[:, columns], mask) < 0.06


def test_a_letter_beside_the_body_is_no_body() -> None:
    image = _thorax()
    image[..., 8:24, 16:28] = 1.0
    assert not body_mask(image)[..., 8:24, 16:28].any()


def test_noise_in_the_air_is_not_divided_where_nothing_else_is_dark() -> None:
    image = torch.full((1, 1, 128, 128), 0.1)
    image[0, 0, BODY] = TISSUE
    image += 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    mask = body_mask(image.clamp(0, 1))
    assert _share(BODY, mask) > 0.98
    assert _share(~BODY, mask) < 0.05


@pytest.mark.parametrize(("value", "everywhere"), [(0.0, False), (0.8, True)])
def test_an_image_of_one_intensity_is_all_body_or_none(value: float, everywhere: bool) -> None:
    mask = body_mask(torch.full((2, 1, 30, 41), value))
    assert mask.shape == (2, 1, 30, 41)
    assert bool(mask.all()) is everywhere
    assert bool(mask.any()) is everywhere


def test_holes_and_components_are_those_of_scipy() -> None:
    generator = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(generator.random((6, 40, 52)), (0, 2.5, 2.5))
    solid = smooth > np.median(smooth)
    images = torch.from_numpy(np.where(solid, 0.8, 0.02)).float().unsqueeze(1)
    mask = body_mask(images.repeat_interleave(CELL_PX, 2).repeat_interleave(CELL_PX, 3))
    for each, found in zip(solid, mask[:, 0, ::CELL_PX, ::CELL_PX].numpy(), strict=True):
        labelled, count = ndimage.label(ndimage.binary_fill_holes(each))
        assert count > 1
        assert np.array_equal(found, labelled == np.bincount(labelled.ravel())[1:].argmax() + 1)


def _otsu_by_definition(image: Tensor) -> float:
    values = (np.floor(image.double().numpy().ravel() * 256).clip(0, 255) + 0.5) / 256
    best, chosen = -1.0, 0.0
    for cut in np.arange(1, 256) / 256:
        low, high = values[values < cut], values[values >= cut]
        if len(low) and len(high):
            between = len(low) * len(high) * (low.mean() - high.mean()) ** 2
            best, chosen = (between, cut) if between > best else (best, chosen)
    return float(chosen)


def test_otsu_is_the_threshold_of_largest_variance_between_the_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 1, 48, 48, generator=generator) ** torch.tensor([0.5, 1, 3]).view(
        3, 1, 1, 1
    )
    expected = [_otsu_by_definition(image) for image in images]
    assert otsu_threshold(images).tolist() == pytest.approx(expected, abs=1 / 256 + 1e-6)


def test_with_otsu_the_body_is_what_is_brighter_than_the_background() -> None:
    images = torch.full((1, 1, 6, 6), 0.1)
    images[..., 2:5, 1:4] = 0.7
    assert torch.equal(body_mask(images, "otsu"), images > 0.5)
