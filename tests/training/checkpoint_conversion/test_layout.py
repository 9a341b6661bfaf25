"""Layouts of the released checkpoints: names, shapes, and how a file is recognised."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

from tests.builders.distributed import released_files
from tests.builders.distributed.released_files import equal
from training.checkpoint_conversion.layout import LAYOUTS, Layout, recognise
from training.checkpoint_conversion.safe_loading import read_state_dict
from training.checkpoint_conversion.to_released import to_released
from training.config.model import EncoderConfig, ModelConfig
from training.model import text_encoder
from training.model.g2d import G2D

UNREAD = {
    "pseudo_conv.weight", "pseudo_conv.bias",
    "lm_model.pooler.dense.weight", "lm_model.pooler.dense.bias",
}  # fmt: skip

NAMES: dict[Layout, tuple[str, ...]] = {
    "encoder": ("conv1.weight", "layer1.0.bn1.bias"),
    "encoder-decoder": ("encoder.conv1.weight", "decoder.blocks.0.conv1.0.weight"),
    "full": ("img_model.encoder.conv1.weight", "lm_model.encoder.layer.0.output.dense.bias"),
}


def test_the_full_layout_has_every_name_and_shape_of_the_released_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def base(*_: object, add_pooling_layer: bool, **__: object) -> BertModel:
        return BertModel(BertConfig(vocab_size=28996), add_pooling_layer=add_pooling_layer)

    monkeypatch.setattr(AutoModel, "from_pretrained", base)
    monkeypatch.setattr(text_encoder, "text_source", lambda config: config.name)
    with torch.device("meta"):
        encoder = EncoderConfig(weights=None)
        ours = G2D(ModelConfig(encoder=encoder, attention_heads=4), size_px=256).state_dict()
    state, zeros = to_released(ours, "full", {})
    released = json.loads((Path(__file__).parent / "released_layout.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in state.items()} == released
    assert set(zeros) == UNREAD


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wrappings_of_a_state_dict_are_removed(layout: Layout, tmp_path: Path) -> None:
    state = {name: torch.rand(2) for name in NAMES[layout]}
    ddp = {f"module.{name}": value for name, value in state.items()}
    compiled = {f"module._orig_mod.{name}": value for name, value in state.items()}
    of_optimiser: dict[str, object] = {"optimizer_state_dict": {"param_groups": []}}
    wrapped: list[object] = [
        state,
        {"epoch": 3, "model_state_dict": ddp, **of_optimiser},
        {"state_dict": {f"model.{name}": value for name, value in state.items()}},
        {"model": {"module": compiled}},
    ]
    for given in wrapped:
        file = released_files.save(given, tmp_path / "given.pth")
        found, tensors = recognise(read_state_dict(file))
        assert found == layout
        assert equal(tensors, state)


def test_parts_with_the_names_of_the_whole_model_are_recognised() -> None:
    one = torch.rand(2)
    assert recognise({"img_model.encoder.conv1.weight": one})[0] == "encoder"
    layout, state = recognise({f"img_model.{name}": one for name in NAMES["encoder-decoder"]})
    assert layout == "encoder-decoder"
    assert tuple(state) == NAMES["encoder-decoder"]
