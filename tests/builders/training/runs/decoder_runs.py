"""Fine-tunings of a decoder and a head on the frozen encoder of a pre-training of one step."""

from pathlib import Path

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.augmentation import NoAugmentConfig
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.data.cache.cache import Cache, open_cache
from training.pretrain.pretrain import pretrain

UNCHANGED = NoAugmentConfig(kind="none")
"""Images without augmentation."""


def pretrain_one_step(text_encoder: Path, folder: Path) -> Path:
    """Pre-train for one step, and return the last checkpoint."""
    config = PretrainConfig(
        kind="pretrain",
        epochs=1,
        batch_size=8,
        preprocess=PreprocessSpec(size_px=SIZE_PX),
        data=tiny_runs.write_kermany(folder / "tables"),
        model=tiny_runs.model_config(text_encoder),
    )
    return pretrain(config, folder / "run", folder / "cache")


def decoder_config(pretrained: Path, root: Path) -> FinetuneConfig:
    """Return a fine-tuning of masks; half of the rows that it writes are for validation."""
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
        augment=UNCHANGED,
    )


def changed(config: FinetuneConfig, **changes: object) -> FinetuneConfig:
    """Return a configuration with other keys, validated again."""
    return FinetuneConfig.model_validate(config.model_dump() | changes)


def cache_of(config: FinetuneConfig, folder: Path) -> Cache:
    """Build the cache of a run in a folder."""
    return open_cache(config.data, config.preprocess, folder / "cache")
