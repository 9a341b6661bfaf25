"""Panels of a pre-training."""

from pathlib import Path

import torch

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.pretrain import PretrainConfig
from training.pretrain.objective import Pretraining
from training.pretrain.panels import draw_panel


def test_a_panel_shows_four_images_and_leaves_the_model_unchanged(
    text_encoder: Path, tmp_path: Path
) -> None:
    module = Pretraining(
        PretrainConfig(
            kind="pretrain",
            epochs=1,
            batch_size=2,
            preprocess=PreprocessSpec(size_px=SIZE_PX),
            data=tiny_runs.write_kermany(tmp_path),
            model=tiny_runs.model_config(text_encoder),
        )
    )
    before = {name: value.clone() for name, value in module.state_dict().items()}
    images = torch.rand(2, 1, SIZE_PX, SIZE_PX)
    shown = draw_panel(module, images)
    assert (shown.shape, shown.dtype) == ((2 * SIZE_PX, 4 * SIZE_PX, 3), torch.uint8)
    first = shown[:SIZE_PX, :SIZE_PX]  # the image, in three equal channels
    torch.testing.assert_close(
        first, (images[0, 0] * 255).round().byte()[..., None].expand(-1, -1, 3)
    )
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
