"""Features of a frozen encoder, and the networks that they come from."""

from pathlib import Path

import torch

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.model import EncoderConfig
from training.data.cache.cache import open_cache
from training.engine.checkpoint import read_checkpoint
from training.finetune.frozen_features import encode_rows, fresh_unet, read_unet

ENCODER = EncoderConfig(name="resnet18", weights=None, decoder_channels=(16, 16, 16, 8, 8))


def test_features_decode_to_the_output_of_the_whole_network(tmp_path: Path) -> None:
    unet, spec = fresh_unet(ENCODER, 0), PreprocessSpec(size_px=SIZE_PX)
    cache = open_cache(tiny_runs.write_kermany(tmp_path / "data"), spec, tmp_path)
    features = encode_rows(unet, cache, range(len(cache.samples)), spec, maps=True)
    image = torch.from_numpy(cache.images[5].copy()).float()[None, None] / 255
    with torch.no_grad():
        maps = unet.encoder(((image - spec.mean) / spec.std).expand(-1, 3, -1, -1))
        decoded = unet.decoder(features.decoder_input(torch.tensor([5])))
        torch.testing.assert_close(decoded, unet.decoder(maps), rtol=0.02, atol=0.02)  # float16
    torch.testing.assert_close(features.deep[5], maps[-1].mean(dim=(2, 3))[0])


def test_encoder_and_decoder_come_from_the_checkpoint(pretrained_step: Path) -> None:
    saved = read_checkpoint(pretrained_step).weights
    unet = read_unet(pretrained_step).state_dict()
    assert all(torch.equal(saved[f"g2d.img_model.{name}"], unet[name]) for name in unet)
    assert any(name.startswith("decoder") for name in unet)
