"""Shares of the lungs inside the body mask, on a drawn thorax."""

import torch

from bench.accuracy.masks.body_masks import Shares, line, shares
from training.config.pretrain import BodyRule


def _found(rule: BodyRule | None) -> Shares:
    """A bright body of 96 x 96 px in black, whose left lung is dark and 32 x 32 px."""
    images = torch.zeros(1, 1, 128, 128)
    images[..., 16:112, 16:112] = 0.7
    lungs = torch.zeros(1, 2, 128, 128, dtype=torch.bool)
    lungs[:, 0, 32:64, 64:96] = lungs[:, 1, 32:64, 32:56] = True
    images[lungs.any(dim=1, keepdim=True)] = 0.2
    return shares(images, lungs, rule)


def test_the_share_of_the_lungs_inside_depends_on_the_rule() -> None:
    silhouette, otsu, everything = _found("silhouette"), _found("otsu"), _found(None)
    assert [x.lungs.item() for x in (silhouette, otsu, everything)] == [1, 0, 1]
    assert silhouette.image.item() == 96 * 96 / 128**2
    assert otsu.covered.item() == 0
    assert silhouette.covered.item() == everything.covered.item() == 1


def test_a_line_has_medians() -> None:
    found = [Shares(*(torch.tensor([x, 0.5, 1.0]) for x in (0.0, 0.25, 0.75)))]
    assert (
        line("some", "none", None, found)
        == "| some | 3 | none | none | 0.50 | 0.10 | 0.50 | 0.75 |"
    )
