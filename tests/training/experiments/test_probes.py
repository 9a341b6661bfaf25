"""Probes of a frozen encoder: what is trained, what stays, and what chooses the step."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.experiments import ProbeConfig, Task
from training.config.model import EncoderConfig
from training.data.annotations.mask_planes import IGNORE
from training.data.annotations.masks import LUNGS
from training.data.cache.cache import Cache, open_cache
from training.data.rows.dataset_files import DataError
from training.experiments import probes
from training.experiments.probes import (
    AnnotatedFeatures,
    EncodedTables,
    LabelledFeatures,
    annotated_features,
    build_probe,
    measure_auroc,
    measure_dice,
    probe_linear,
    train_decoder,
    train_linear,
)
from training.finetune.frozen_features import EncodedRows, encode_rows, fresh_unet

ENCODER = EncoderConfig(name="resnet18", weights=None, decoder_channels=(16, 16, 16, 8, 8))
PROBE = ProbeConfig(steps=6, batch_size=4, lr=1e-2, weight_decay=0.0, choose_every=2)
PNEUMONIA = Task(
    data="kermany_224", title="", kind="classify", labels=("Pneumonia",), recipe="linear"
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Eight radiographs with the masks of both lungs."""
    folder = tmp_path_factory.mktemp("cache")
    data = tiny_runs.write_kermany(folder / "data")
    return open_cache(data, PreprocessSpec(size_px=SIZE_PX), folder)


@pytest.fixture
def unet() -> smp.Unet:
    """Random, never trained."""
    return fresh_unet(ENCODER, 0)


def _features(unet: smp.Unet, cache: Cache) -> EncodedRows:
    spec = PreprocessSpec(size_px=SIZE_PX)
    return encode_rows(unet, cache, range(len(cache.samples)), spec, maps=True)


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_training_leaves_encoder_and_pre_trained_decoder_unchanged(
    unet: smp.Unet, cache: Cache
) -> None:
    before = _state(unet)
    split = annotated_features(_features(unet, cache), cache, range(8), LUNGS)
    probe = build_probe(unet, 2, 0, transfer=True)
    start = _state(probe)
    train_decoder(PROBE, probe, split, range(8), split, 0)
    assert _equal(before, _state(unet))
    assert not _equal(start, _state(probe))


def test_a_transferred_decoder_starts_as_it_was_pre_trained(unet: smp.Unet) -> None:
    for block in unet.decoder.modules():  # as training would leave them
        if isinstance(block, nn.BatchNorm2d):
            block.running_mean.fill_(0.25)  # type: ignore[union-attr]
    probe = build_probe(unet, 2, 7, transfer=True)
    assert _equal(_state(unet.decoder), _state(probe.decoder))


def test_a_new_decoder_depends_on_the_seed_alone(unet: smp.Unet) -> None:
    other = fresh_unet(ENCODER, 5)
    for block in other.decoder.modules():
        if isinstance(block, nn.BatchNorm2d):
            block.running_mean.fill_(0.25)  # type: ignore[union-attr]
    new = _state(build_probe(other, 2, 7, transfer=False))
    assert _equal(new, _state(build_probe(unet, 2, 7, transfer=False)))
    assert not _equal(new, _state(build_probe(unet, 2, 8, transfer=False)))
    transferred = _state(build_probe(unet, 2, 7, transfer=True))
    assert not _equal(new, transferred)
    assert torch.equal(new["head.conv.weight"], transferred["head.conv.weight"])


def test_a_decoder_learns_the_lungs(unet: smp.Unet, cache: Cache) -> None:
    split = annotated_features(_features(unet, cache), cache, range(8), LUNGS)
    probe = build_probe(unet, 2, 0, transfer=False)
    longer = PROBE.model_copy(update={"steps": 40, "choose_every": 10})
    chosen = train_decoder(longer, probe, split, range(8), split, 0)
    assert chosen.valid > 0.9
    assert measure_dice(chosen.head, split) == pytest.approx(chosen.valid)


def test_unlabelled_radiographs_change_nothing_of_a_decoder(unet: smp.Unet, cache: Cache) -> None:
    features = _features(unet, cache)
    split = annotated_features(features, cache, range(8), LUNGS)
    wrong = AnnotatedFeatures(features, split.rows, split.places, split.bits.clone(), LUNGS)
    wrong.bits[4:] = 0
    found = []
    for train in (split, wrong):
        probe = build_probe(unet, 2, 0, transfer=False)
        train_decoder(PROBE, probe, train, [0, 1, 2, 3], split, 0)
        found.append(_state(probe))
    assert _equal(*found)


def test_the_best_step_on_validation_is_kept(
    unet: smp.Unet, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = annotated_features(_features(unet, cache), cache, range(8), LUNGS)
    after: list[dict[str, Tensor]] = []
    figures = iter([0.2, 0.9, 0.9])

    def measured(probe: nn.Module, *_: object) -> float:
        after.append(_state(probe))
        return next(figures)

    monkeypatch.setattr(probes, "measure_dice", measured)
    chosen = train_decoder(
        PROBE, build_probe(unet, 2, 0, transfer=False), split, range(8), split, 0
    )
    assert (chosen.step, chosen.valid) == (4, 0.9)
    assert _equal(after[1], _state(chosen.head))


class _Fixed(nn.Module):
    """Answers what it is given."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.logits


def test_dice_is_of_each_image_and_leaves_ignored_pixels_out() -> None:
    bits = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    bits[:, 0, 0] = 1 << 1  # left lung: the first row
    bits[:, 0, 1] = 1 << 2  # right lung: the second
    bits[1, 0, 0, 2:] |= IGNORE  # not annotated there
    logits = torch.full((2, 2, 4, 4), -1.0)
    logits[:, 0, 0, :2] = 1.0  # half of the left lung
    logits[:, 1, 1] = 1.0  # all of the right lung
    nothing = EncodedRows((0, 1), torch.zeros(2, 1), (), 4)
    split = AnnotatedFeatures(nothing, (0, 1), torch.arange(2), bits, LUNGS)
    # first image: (2/3 + 1) / 2; second: 1, its other half is not counted
    found = measure_dice(_Fixed(logits), split)  # type: ignore[arg-type]
    assert found == pytest.approx((5 / 6 + 1) / 2)


def _blobs(count: int, shift: float = 2.0, seed: int = 0) -> LabelledFeatures:
    """Two overlapping clouds."""
    generator = torch.Generator().manual_seed(seed)
    positive = np.arange(count) % 2 == 0
    deep = torch.randn(count, 3, generator=generator)
    deep[positive] += shift
    return LabelledFeatures(tuple(range(count)), deep * 100 + 7, positive)


def test_a_linear_layer_tells_two_clouds_apart() -> None:
    longer = PROBE.model_copy(update={"steps": 60})
    chosen = train_linear(longer, _blobs(64), range(64), _blobs(64, seed=1), 0)
    assert chosen.valid > 0.95
    assert measure_auroc(chosen.head, _blobs(200, seed=2)) > 0.95


def test_a_split_without_rows_is_an_error_by_name(unet: smp.Unet, cache: Cache) -> None:
    encoded = EncodedTables(cache, unet, PreprocessSpec(size_px=SIZE_PX), [PNEUMONIA])
    with pytest.raises(DataError, match="kermany_224 has no valid row to probe with"):
        probe_linear(PROBE, encoded, PNEUMONIA, 1.0, 0)


def test_labels_outside_of_the_fraction_change_nothing() -> None:
    train = _blobs(64)
    flipped = LabelledFeatures(train.rows, train.deep, train.positive.copy())
    flipped.positive[8:] = ~flipped.positive[8:]
    heads = [train_linear(PROBE, t, range(8), _blobs(32), 0).head for t in (train, flipped)]
    assert _equal(_state(heads[0]), _state(heads[1]))


def test_the_step_of_best_validation_auroc_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    after: list[dict[str, Tensor]] = []
    figures = iter([0.9, 0.5, 0.9])

    def measured(head: nn.Module, _: LabelledFeatures) -> float:
        after.append(_state(head))
        return next(figures)

    monkeypatch.setattr(probes, "measure_auroc", measured)
    chosen = train_linear(PROBE, _blobs(16), range(16), _blobs(16), 0)
    assert (chosen.step, chosen.valid) == (2, 0.9)
    assert _equal(after[0], _state(chosen.head))
