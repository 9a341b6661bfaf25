"""Checkpoints of the released G2D code come in as they are and go out as they came."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor
from transformers import AutoModel, BertConfig, BertModel

from tests.builders.distributed import released_files
from training.checkpoint_conversion.from_released import Imported, import_checkpoint
from training.checkpoint_conversion.layout import LAYOUTS, PARTS, Layout, recognise
from training.checkpoint_conversion.safe_loading import read_state_dict
from training.checkpoint_conversion.to_released import NotInLayout, export_checkpoint, to_released
from training.config.model import EncoderConfig, ModelConfig
from training.config.pretrain import PretrainConfig
from training.engine import seeding
from training.engine.checkpoint import read_checkpoint
from training.model.g2d import G2D

UNREAD = {
    "pseudo_conv.weight", "pseudo_conv.bias",
    "lm_model.pooler.dense.weight", "lm_model.pooler.dense.bias",
}  # fmt: skip


@pytest.fixture
def config(text_encoder: Path) -> PretrainConfig:
    """What the miniature model is."""
    return released_files.config_for(text_encoder)


def _import(config: PretrainConfig, state: object, folder: Path) -> Imported:
    file = released_files.save(state, folder / "released.pth")
    return import_checkpoint(file, config, folder / "run")


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_full_layout_has_every_name_and_shape_of_the_released_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def base(*_: object, add_pooling_layer: bool, **__: object) -> BertModel:
        return BertModel(BertConfig(vocab_size=28996), add_pooling_layer=add_pooling_layer)

    monkeypatch.setattr(AutoModel, "from_pretrained", base)
    with torch.device("meta"):
        encoder = EncoderConfig(weights=None)
        ours = G2D(ModelConfig(encoder=encoder, attention_heads=4), size_px=256).state_dict()
    state, zeros = to_released(ours, "full", {})
    released = json.loads((Path(__file__).parent / "released_layout.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in state.items()} == released
    assert set(zeros) == UNREAD


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_exported_from_an_import_is_the_file_that_was_imported(
    config: PretrainConfig, layout: Layout, tmp_path: Path
) -> None:
    state = released_files.weights(config, layout)
    _import(config, state, tmp_path)
    written = export_checkpoint(tmp_path / "run", tmp_path / "back.pth", layout)
    assert written.zeros == ()
    assert _equal(read_state_dict(tmp_path / "back.pth"), state)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_what_is_imported_from_an_export_is_the_run_that_was_exported(
    config: PretrainConfig, suffix: str, tmp_path: Path
) -> None:
    first = _import(config, released_files.weights(config, "full"), tmp_path)
    (tmp_path / "run/unread.safetensors").unlink()  # as a run of ours, which has none of it
    file = tmp_path / f"ours.{suffix}"
    assert set(export_checkpoint(first.checkpoint, file, "full").zeros) == UNREAD
    second = import_checkpoint(file, config, tmp_path / "again")
    before, after = (read_checkpoint(run.checkpoint).weights for run in (first, second))
    assert _equal(before, after)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_import_says_what_came_from_the_file_and_what_did_not(
    config: PretrainConfig, layout: Layout, tmp_path: Path
) -> None:
    state = released_files.weights(config, layout)
    done = _import(config, state, tmp_path)
    source, held = done.source, {"encoder": 1, "encoder-decoder": 2, "full": len(PARTS)}[layout]
    assert source.from_file == PARTS[:held]
    assert tuple(source.fresh) == PARTS[held:]
    assert sum(done.tensors.values()) + len(done.unread) == len(state)
    stored = PretrainConfig.model_validate_json(read_checkpoint(done.checkpoint).config)
    assert stored.imported == source
    written = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert PretrainConfig.model_validate(written) == stored
    if held < len(PARTS):
        assert source.fresh["lm_model"] == f"weights of {config.model.text.name}"
        assert source.fresh["proj_v"] == "random, seed 0"


def test_fresh_parts_of_an_import_are_those_of_its_seed(
    config: PretrainConfig, tmp_path: Path
) -> None:
    state = released_files.weights(config, "encoder")
    loaded = read_checkpoint(_import(config, state, tmp_path).checkpoint).weights
    seeding.seed_everything(config.seed)
    fresh = G2D(config.model, config.preprocess.size_px).state_dict()
    encoder = "img_model.encoder."
    for name, value in fresh.items():
        expected = state[name.removeprefix(encoder)] if name.startswith(encoder) else value
        assert torch.equal(loaded[f"g2d.{name}"], expected), name


NAMES: dict[Layout, tuple[str, ...]] = {
    "encoder": ("conv1.weight", "layer1.0.bn1.bias"),
    "encoder-decoder": ("encoder.conv1.weight", "decoder.blocks.0.conv1.0.weight"),
    "full": ("img_model.encoder.conv1.weight", "lm_model.encoder.layer.0.output.dense.bias"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wrappings_of_a_state_dict_are_taken_off(layout: Layout, tmp_path: Path) -> None:
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
        assert _equal(tensors, state)


def test_parts_saved_under_their_names_in_the_whole_model_are_those_parts() -> None:
    one = torch.rand(2)
    assert recognise({"img_model.encoder.conv1.weight": one})[0] == "encoder"
    layout, state = recognise({f"img_model.{name}": one for name in NAMES["encoder-decoder"]})
    assert layout == "encoder-decoder"
    assert tuple(state) == NAMES["encoder-decoder"]


def test_half_precision_weights_are_read_as_float32(config: PretrainConfig, tmp_path: Path) -> None:
    state = released_files.weights(config, "encoder")
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    loaded = read_checkpoint(_import(config, half, tmp_path).checkpoint).weights
    weight = loaded["g2d.img_model.encoder.conv1.weight"]
    assert weight.dtype is torch.float32
    assert torch.equal(weight, half["conv1.weight"].float())


def test_a_fine_tuned_run_is_exported_without_its_heads(finetuned: Path, tmp_path: Path) -> None:
    written = export_checkpoint(finetuned.parent, tmp_path / "ours.pth", "encoder-decoder")
    assert {"heads.findings", "heads.anatomy", "lm_model", "attnpool"} <= set(written.left_out)
    assert not any(part.startswith("img_model") for part in written.left_out)
    state, weights = read_state_dict(tmp_path / "ours.pth"), read_checkpoint(finetuned).weights
    assert all(torch.equal(weights[f"g2d.img_model.{name}"], v) for name, v in state.items())


def test_heads_that_do_not_divide_the_channels_have_no_place_in_the_full_layout(
    finetuned: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotInLayout, match="do not divide its 16 channels"):
        export_checkpoint(finetuned, tmp_path / "ours.pth", "full")
    assert list(tmp_path.iterdir()) == []


def test_an_export_overwrites_nothing(finetuned: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_text("mine")
    with pytest.raises(FileExistsError, match="is there already"):
        export_checkpoint(finetuned, tmp_path / "mine.pth", "encoder")
    assert (tmp_path / "mine.pth").read_text() == "mine"
