"""Effect of short sentences with frozen encoders: regions, the place of a peak, the table."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.accuracy.short_sentences import Asked, line, located, regions
from training.data.annotations.mask_planes import place_of

_STRUCTURES = ("Left lung", "Right lung")


def _cache() -> Any:
    """One image of 8 x 8 px with a nodule in its upper left and a mask of the left lung."""
    plane, bit = place_of("Left lung", _STRUCTURES)
    planes = np.zeros((1, 8, 8), dtype=np.uint8)
    planes[plane, 2:6, 5:7] = bit
    row = SimpleNamespace(patient_id="p")
    boxes = (("Nodule", (0.0, 1.0, 3.0, 4.0)), ("Rib", (0.0, 0.0, 8.0, 8.0)))
    sample = SimpleNamespace(row=row, known=frozenset({"Left lung"}), boxes=boxes)
    images = np.zeros((1, 8, 8), dtype=np.uint8)
    return SimpleNamespace(samples=[sample], masks=[planes], images=images, structures=_STRUCTURES)


def test_findings_have_the_region_of_their_boxes_and_lungs_that_of_their_masks() -> None:
    found = {each.phrase: each.region for each in regions(_cache(), [0])}
    assert set(found) == {"lung nodule", "left lung"}
    assert found["lung nodule"].sum() == 9
    assert found["lung nodule"][1:4, :3].all()
    assert found["left lung"].sum() == 8


class _Identity(nn.Module):
    """A model whose projections keep what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.proj_v = nn.Identity()

    def project_text(self, features: torch.Tensor) -> torch.Tensor:
        return features


def test_the_peak_of_a_phrase_lies_where_the_map_agrees_with_it() -> None:
    maps = torch.zeros(1, 2, 2, 2)
    maps[0, 0], maps[0, 1, 0, 0] = 1.0, 9.0  # only the upper left cell is along the second axis
    region = np.zeros((8, 8), dtype=bool)
    region[:4, :4] = True
    asked = [Asked(0, "here", region, "p"), Asked(0, "here", ~region, "p")]
    found = located(_Identity(), maps, asked, lambda _: torch.tensor([[0.0, 1.0]]))  # type: ignore[arg-type]
    assert found[:, 0].tolist() == [1, 0]
    assert found[0, 1] > 0 > found[1, 1]


def test_arms_are_compared_with_the_first_one() -> None:
    region = np.ones((2, 2), dtype=bool)
    asked = [Asked(n, "x", region, str(n)) for n in range(4)]
    first, second = np.zeros((4, 2)), np.ones((4, 2))
    lines = line("some", {"a": first, "b": second}, asked)
    assert lines[0] == "| some | 4 | 100.0 | a | 0.0 (0.0 to 0.0) | / | 0.0 (0.0 to 0.0) | / |"
    assert lines[1].startswith(
        "| some | 4 | 100.0 | b | 100.0 (100.0 to 100.0) | +100.0 (100.0 to 100.0)"
    )
