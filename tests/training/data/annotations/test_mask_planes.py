"""Masks of any number of structures as bits."""

import numpy as np
import pytest
import torch

from training.data.annotations.mask_planes import IGNORE, pack, place_of, plane_count, repack
from training.data.batches.collate import counted, structure

MANY = tuple(f"Structure {i}" for i in range(20))


def test_bits_have_a_fixed_place() -> None:
    assert [plane_count(MANY[:n]) for n in (0, 7, 8, 15, 16)] == [1, 1, 2, 2, 3]
    assert [place_of(MANY[i], MANY) for i in (0, 6, 7, 19)] == [(0, 2), (0, 128), (1, 1), (2, 16)]
    assert IGNORE == 1


def test_twenty_overlapping_masks_are_kept_apart() -> None:
    masks = {name: np.random.default_rng(i).random((6, 6)) > 0.5 for i, name in enumerate(MANY)}
    ignored = np.random.default_rng(99).random((6, 6)) > 0.5
    planes = torch.from_numpy(pack(masks, ignored, MANY)).unsqueeze(0)
    for name, mask in masks.items():
        assert np.array_equal(structure(planes, MANY, name)[0].numpy(), mask)
    assert np.array_equal(counted(planes)[0, 0].numpy() == 0, ignored)
    assert not structure(planes, MANY, "Heart").any()


def test_repacking_keeps_the_structures_that_both_have() -> None:
    masks = {name: np.random.default_rng(i).random((1, 6, 6)) > 0.5 for i, name in enumerate(MANY)}
    ignored = np.ones((6, 6), dtype=bool)
    planes = pack({name: mask[0] for name, mask in masks.items()}, ignored, MANY)[None]
    others = ("Heart", *reversed(MANY[3:17]))
    changed = torch.from_numpy(repack(planes, MANY, others))
    assert changed.shape == (1, 2, 6, 6)
    assert not counted(changed).any()
    assert not structure(changed, others, "Heart").any()
    for name in others[1:]:
        assert np.array_equal(structure(changed, others, name).numpy(), masks[name])


def test_a_structure_without_a_bit_is_refused() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        place_of("Heart", MANY)
