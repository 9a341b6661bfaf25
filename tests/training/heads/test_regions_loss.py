"""Loss of the maps of phrases."""

import pytest
import torch

from training.data.batches.region_targets import RegionTargets
from training.heads.grounding import regions_loss


def test_one_finding_weighs_as_much_as_all_of_the_anatomy() -> None:
    """Three lungs are right, and one effusion is missed: its cross-entropy of 20, and Dice of 1."""
    maps = torch.ones(1, 4, 2, 2)
    logits = torch.full((1, 4, 2, 2), 20.0)
    logits[0, 3] = -20.0
    targets = RegionTargets(
        maps, maps, torch.ones(1, 4), torch.zeros(1, 4), torch.tensor([1.0, 1.0, 1.0, 0.0])
    )
    losses = regions_loss({"logits": logits, "presence": torch.zeros(1, 4)}, targets)
    # Dice is smoothed by 1: (0 + 1) / (4 + 1) for the map that is missed.
    assert losses["regions"].item() == pytest.approx(20 + 0.8, abs=1e-3)
    assert losses["presence"].item() == 0


def test_a_batch_without_findings_has_the_loss_of_its_anatomy() -> None:
    maps = torch.ones(1, 1, 2, 2)
    targets = RegionTargets(maps, maps, torch.ones(1, 1), torch.zeros(1, 1), torch.ones(1))
    answer = {"logits": torch.full((1, 1, 2, 2), -20.0), "presence": torch.zeros(1, 1)}
    assert regions_loss(answer, targets)["regions"].item() == pytest.approx(20.8, abs=1e-3)
