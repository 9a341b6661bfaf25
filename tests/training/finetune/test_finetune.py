"""The task of a fine-tuning: its batches, and the kept output of a frozen encoder."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.builders.training.runs.decoder_runs import UNCHANGED, cache_of, changed, decoder_config
from training.config.finetune import FinetuneConfig
from training.data.sampling.sampler import MicroBatchIndex
from training.engine.seeding import seed_everything
from training.finetune import finetune as finetune_module
from training.finetune.finetune import FinetuneTask, finetune
from training.losses.segmentation import mgca_mask_loss


@pytest.fixture
def config(pretrained_step: Path, tmp_path: Path) -> FinetuneConfig:
    """A decoder and a head on a frozen encoder; half of the rows are for validation."""
    return decoder_config(pretrained_step, tmp_path / "tables")


def test_kept_maps_give_the_losses_of_the_running_encoder(
    config: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = FinetuneTask(config, cache_of(config, tmp_path))
    seed_everything(0)
    kept.encode(kept.pool)
    live = FinetuneTask(config, kept.cache)
    live.module.load_state_dict(kept.module.state_dict())
    monkeypatch.setattr(finetune_module, "MAX_BYTES", 0)
    live.encode(live.pool)
    found = []
    for task in (kept, live):
        batch = task.batch(task.pool, range(len(task.pool)), UNCHANGED, 0, 0)
        assert (batch.encoded is None) == (task is live)
        task.module.train()
        losses = task.losses(task.module, batch, MicroBatchIndex(0))
        found.append(losses["total"].item())
    assert found[0] == pytest.approx(found[1], abs=2e-3)  # kept as float16


def test_a_linear_head_keeps_means_and_no_maps(config: FinetuneConfig, tmp_path: Path) -> None:
    linear = changed(config, masks=(), findings=("Pneumonia",), freeze_trunk=True)
    task = FinetuneTask(linear, cache_of(linear, tmp_path))
    task.encode(task.pool)
    batch = task.batch(task.pool, range(len(task.pool)), UNCHANGED, 0, 0)
    assert batch.encoded is not None
    assert batch.encoded.maps == ()
    assert batch.encoded.deep.shape == (4, 512)


def test_augmented_images_are_encoded_in_every_step(config: FinetuneConfig, tmp_path: Path) -> None:
    moving = changed(config, augment={"kind": "affine"})
    task = FinetuneTask(moving, cache_of(moving, tmp_path))
    task.encode(task.pool)
    assert task.batch(task.pool, range(4), moving.augment, 0, 0).encoded is None


def test_a_crop_trains_on_squares_and_validates_on_whole_images(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    crop, choose = {"kind": "crop", "crop_px": 32}, {"by": "loss", "every": 1}
    linear = changed(config, masks=(), findings=("Pneumonia",), freeze_encoder=False)
    cropped = changed(linear, freeze_trunk=True, augment=crop, choose=choose, max_steps=1)
    task = FinetuneTask(cropped, cache_of(cropped, tmp_path))
    batch = task.batch(task.pool, range(4), cropped.augment, 0, 0)
    assert batch.images().shape == (4, 1, 32, 32)
    assert task.batch(task.pool, range(4), UNCHANGED, 0, 0).images().shape == (4, 1, 64, 64)
    done = finetune(cropped, tmp_path / "run", tmp_path / "cache")
    weights = torch.load(done, weights_only=True)["model"]
    assert len(weights["g2d.attnpool.positional_embedding"]) == 2 * 2 + 1  # of the whole image


@pytest.mark.parametrize("head", [{}, {"boxes": ("Left lung",)}, {"regions": True}])
def test_a_crop_is_refused_where_places_are_learned(
    config: FinetuneConfig, head: dict[str, object]
) -> None:
    masks = () if head else config.masks
    with pytest.raises(ValidationError, match="a crop suits findings alone"):
        changed(config, **{"masks": masks, "augment": {"kind": "crop", "crop_px": 32}, **head})


def test_a_decoder_is_trained_by_the_loss_that_is_configured(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    task = FinetuneTask(changed(config, mask_loss="mgca"), cache_of(config, tmp_path))
    batch = task.batch(task.pool, range(4), UNCHANGED, 0, 0)
    task.module.eval()
    loss = task.losses(task.module, batch, MicroBatchIndex(0))["total"]
    logits = task.module.outputs(task.module.features(batch.images()))["anatomy"]["logits"]
    truth = batch.labelled.radiographs
    expected = mgca_mask_loss(logits, truth.masks, truth.masks_known, truth.counted)
    torch.testing.assert_close(loss, expected)
    assert expected.item() > 0.5


def test_fewer_rows_than_a_batch_are_repeated(config: FinetuneConfig, tmp_path: Path) -> None:
    large = changed(config, batch_size=16, epochs=1)
    done = finetune(large, tmp_path / "run", tmp_path / "cache")
    assert torch.load(done, weights_only=True)["step"] == 1


def test_a_run_ends_after_max_steps(config: FinetuneConfig, tmp_path: Path) -> None:
    short = changed(config, epochs=100, max_steps=3)
    done = finetune(short, tmp_path / "run", tmp_path / "cache")
    assert torch.load(done, weights_only=True)["step"] == 3
