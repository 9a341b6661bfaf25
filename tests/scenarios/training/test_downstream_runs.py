"""Fine-tunings of the downstream tasks: what is frozen, which labels are used, what is chosen."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from radiograph.preprocess import PreprocessSpec
from tests.builders.training import tiny_runs
from tests.builders.training.tiny_runs import SIZE_PX
from training.config.augmentation import NoAugmentConfig
from training.config.finetune import ChooseConfig, FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.data.batches.row_selection import training_pool
from training.data.batches.sampler import MicroBatchIndex
from training.data.cache.cache import Cache, open_cache
from training.engine import seeding
from training.engine.checkpoint import CHECKPOINT, read_checkpoint
from training.engine.model_selection import BEST
from training.evaluation.trained_model import PastRun, load_run, never_aligned
from training.finetune import finetune as finetune_module
from training.finetune.finetune import FinetuneTask, finetune
from training.finetune.initial_weights import load_pretrained
from training.heads.classification import one_against_rest
from training.pretrain.pretrain import pretrain

STILL = NoAugmentConfig(kind="none")
ENCODER, DECODER = "g2d.img_model.encoder.", "g2d.img_model.decoder."


@pytest.fixture(scope="module")
def pretrained(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of one step."""
    folder = tmp_path_factory.mktemp("pretrained")
    config = PretrainConfig(
        kind="pretrain",
        epochs=1,
        batch_size=8,
        preprocess=PreprocessSpec(size_px=SIZE_PX),
        data=tiny_runs.write_kermany(folder / "tables"),
        model=tiny_runs.model_config(text_encoder),
    )
    return pretrain(config, folder / "run", folder / "cache")


@pytest.fixture
def config(pretrained: Path, tmp_path: Path) -> FinetuneConfig:
    """A decoder and a head on a frozen encoder; half of the rows are for validation."""
    root = tmp_path / "tables"
    data = tiny_runs.write_kermany(root)
    table = root / "kermany_224.csv"
    lines = table.read_text().splitlines()
    halves = [*lines[:5], *(line.replace(",train,", ",valid,") for line in lines[5:])]
    table.write_text("\n".join(halves) + "\n")
    return FinetuneConfig(
        kind="finetune",
        epochs=2,
        batch_size=4,
        checkpoint_every=1,
        preprocess=PreprocessSpec(size_px=SIZE_PX),
        data=data,
        pretrained=pretrained,
        freeze_encoder=True,
        masks=("Left lung", "Right lung"),
        regions=False,
        augment=STILL,
    )


def _changed(config: FinetuneConfig, **changes: object) -> FinetuneConfig:
    return FinetuneConfig.model_validate(config.model_dump() | changes)


def _cache(config: FinetuneConfig, tmp_path: Path) -> Cache:
    return open_cache(config.data, config.preprocess, tmp_path / "cache")


def _weights(path: Path) -> dict[str, Tensor]:
    return read_checkpoint(path).weights


def test_a_frozen_encoder_stays_and_its_decoder_learns(
    config: FinetuneConfig, pretrained: Path, tmp_path: Path
) -> None:
    before = _weights(pretrained)
    after = _weights(finetune(config, tmp_path / "run", tmp_path / "cache"))
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith(DECODER))
    moved = [k for k in before if k.startswith(DECODER) and not torch.equal(before[k], after[k])]
    assert any(name.endswith("running_mean") for name in moved)
    assert any(name.endswith("weight") for name in moved)


def test_a_fresh_decoder_has_nothing_of_the_pre_training(
    config: FinetuneConfig, pretrained: Path
) -> None:
    before = _weights(pretrained)
    seeding.seed_everything(0)
    fresh = load_pretrained(_changed(config, fresh_decoder=True)).state_dict()
    convolutions = [k for k in before if k.startswith(DECODER) and k.endswith("conv1.0.weight")]
    assert convolutions
    assert not any(torch.equal(before[name], fresh[name]) for name in convolutions)
    assert all(torch.equal(before[k], fresh[k]) for k in before if k.startswith(ENCODER))


def test_features_that_were_kept_give_the_losses_of_the_frozen_encoder(
    config: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = FinetuneTask(config, _cache(config, tmp_path))
    seeding.seed_everything(0)
    kept.encode(kept.pool)
    live = FinetuneTask(config, kept.cache)
    live.module.load_state_dict(kept.module.state_dict())
    monkeypatch.setattr(finetune_module, "MAX_BYTES", 0)
    live.encode(live.pool)
    found = []
    for task in (kept, live):
        batch = task.batch(task.pool, range(len(task.pool)), STILL, 0, 0)
        assert (batch.encoded is None) == (task is live)
        task.module.train()
        losses = task.losses(task.module, batch, MicroBatchIndex(0))
        found.append(losses["total"].item())
    assert found[0] == pytest.approx(found[1], abs=2e-3)  # kept as float16


def test_a_linear_head_keeps_means_and_no_maps(config: FinetuneConfig, tmp_path: Path) -> None:
    linear = _changed(config, masks=(), findings=("Pneumonia",), freeze_trunk=True)
    task = FinetuneTask(linear, _cache(linear, tmp_path))
    task.encode(task.pool)
    batch = task.batch(task.pool, range(len(task.pool)), STILL, 0, 0)
    assert batch.encoded is not None
    assert batch.encoded.maps == ()
    assert batch.encoded.deep.shape == (4, 512)


def test_augmented_images_are_encoded_in_every_step(config: FinetuneConfig, tmp_path: Path) -> None:
    moving = _changed(config, augment={"kind": "affine"})
    task = FinetuneTask(moving, _cache(moving, tmp_path))
    task.encode(task.pool)
    assert task.batch(task.pool, range(4), moving.augment, 0, 0).encoded is None


def test_fractions_are_nested_and_of_labelled_rows_alone(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    root = tmp_path / "many"
    data = tiny_runs.write_kermany(root, count=40)
    named = config.model_copy(update={"data": data})
    cache = _cache(named, tmp_path)
    pools = [
        set(training_pool(cache, named.model_copy(update={"fraction": f}))) for f in (0.1, 0.5, 1)
    ]
    assert pools[0] < pools[1] < pools[2] == set(range(40))
    boxes = _changed(named, masks=(), boxes=("Lung opacity",), fraction=1.0)
    normal = {i for i in range(40) if i % 2}
    assert set(training_pool(cache, boxes)) == normal | {0}  # one is drawn; the rest is unknown


def test_a_fraction_without_any_label_is_refused(config: FinetuneConfig, tmp_path: Path) -> None:
    nothing = _changed(config, masks=("Cardiomediastinum",), fraction=1.0)
    with pytest.raises(ValueError, match="no training row has a label"):
        training_pool(_cache(config, tmp_path), nothing)


def test_fewer_rows_than_a_batch_are_shown_again(config: FinetuneConfig, tmp_path: Path) -> None:
    large = _changed(config, batch_size=16, epochs=1)
    done = finetune(large, tmp_path / "run", tmp_path / "cache")
    assert torch.load(done, weights_only=True)["step"] == 1


def test_a_run_ends_after_its_most_steps(config: FinetuneConfig, tmp_path: Path) -> None:
    short = _changed(config, epochs=100, max_steps=3)
    done = finetune(short, tmp_path / "run", tmp_path / "cache")
    assert torch.load(done, weights_only=True)["step"] == 3


@pytest.mark.parametrize("by", ["loss", "auroc", "dice", "ap50"])
def test_each_way_to_choose_keeps_a_checkpoint_that_answers(
    config: FinetuneConfig, tmp_path: Path, by: str
) -> None:
    heads = {"findings": ("Pneumonia",), "boxes": ("Left lung",)}
    choosing = _changed(config, **heads, choose=ChooseConfig.model_validate({"by": by, "every": 1}))
    done = finetune(choosing, tmp_path / "run", tmp_path / "cache")
    assert done == tmp_path / "run" / BEST
    assert (tmp_path / "run" / CHECKPOINT).is_file()
    model = load_run(tmp_path / "run")
    kept, best = model.module.state_dict(), torch.load(done, weights_only=True)["model"]
    assert torch.allclose(kept["heads.anatomy.conv.bias"], best["heads.anatomy.conv.bias"])


def test_validation_uses_labelled_rows_spread_evenly(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    choosing = _changed(config, choose={"by": "dice", "every": 1, "limit": 2})
    task = FinetuneTask(choosing, _cache(choosing, tmp_path))
    assert task.validation_rows == [4, 6]
    assert 0.0 <= task.validate() <= 1.0


def test_nothing_to_choose_by_is_refused(config: FinetuneConfig, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="needs a head"):
        _changed(config, choose={"by": "auroc", "every": 1})
    unlabelled = _changed(config, masks=("Cardiomediastinum",), choose={"by": "dice", "every": 1})
    with pytest.raises(ValueError, match="no validation row"):
        _ = FinetuneTask(unlabelled, _cache(unlabelled, tmp_path)).validation_rows


def test_sigmoids_of_exclusive_logits_are_the_softmax() -> None:
    scores = torch.tensor([[2.0, -1.0, 0.5], [80.0, -80.0, 0.0]])
    assert torch.allclose(one_against_rest(scores).sigmoid(), scores.softmax(dim=1))


def test_findings_that_exclude_each_other_cost_their_cross_entropy(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    # a radiograph of the miniature table is bacterial or not pneumonia at all
    labels = {"masks": (), "findings": ("Pneumonia", "Viral pneumonia"), "exclusive": True}
    exclusive = _changed(config, **labels, freeze_trunk=True)
    task = FinetuneTask(exclusive, _cache(exclusive, tmp_path))
    batch = task.batch([0, 2], range(2), STILL, 0, 0)
    task.module.eval()
    loss = task.losses(task.module, batch, MicroBatchIndex(0))["findings"]
    features = task.module.features(batch.images)["global_features"]
    scores = task.module.heads["findings"].linear(features)  # type: ignore[operator]
    assert loss.item() == pytest.approx(F.cross_entropy(scores, torch.tensor([0, 0])).item())


def test_one_finding_excludes_nothing(config: FinetuneConfig) -> None:
    with pytest.raises(ValidationError, match="two findings or more"):
        _changed(config, findings=("Pneumonia",), exclusive=True)


def test_the_decoder_of_a_frozen_trunk_cannot_start_anew(config: FinetuneConfig) -> None:
    with pytest.raises(ValidationError, match="would stay random"):
        _changed(config, freeze_trunk=True, fresh_decoder=True)


def test_images_and_text_agree_as_long_as_no_run_trained_the_encoder_without_reports(
    config: FinetuneConfig, pretrained: Path
) -> None:
    first = PastRun(PretrainConfig.model_validate_json(read_checkpoint(pretrained).config), "c")
    frozen = PastRun(config, "c")
    alone = PastRun(_changed(config, freeze_encoder=False, keep_alignment=False), "c")
    kept = PastRun(_changed(config, freeze_encoder=False, keep_alignment=True), "c")
    assert never_aligned((first, frozen)) is None
    assert "without the image-report loss" in str(never_aligned((first, alone, frozen)))
    assert never_aligned((first, alone, kept)) is None
    assert "no run has aligned" in str(never_aligned((alone,)))
