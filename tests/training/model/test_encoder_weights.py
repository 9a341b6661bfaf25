"""Weights that an encoder starts from."""

import pytest
import torch

from training.config.files import load
from training.config.pretrain import PretrainConfig
from training.model.image_encoder import build_unet
from training.model.tensor_files import read_tensors
from training.model.weight_sources import weights_file


@pytest.mark.filterwarnings("ignore:`timm-` encoders are deprecated:DeprecationWarning")
def test_the_shipped_recipe_starts_from_the_weights_of_its_package() -> None:
    """The package names the classifier `_fc` and the other tensors otherwise than the encoder."""
    config = load("shipped_pretrain", PretrainConfig).model.encoder
    assert config.weights is not None
    source = read_tensors(weights_file(config.weights), "weights")
    stem = build_unet(config).encoder.state_dict()["conv_stem.weight"]
    torch.testing.assert_close(stem, source["_conv_stem.weight"])
