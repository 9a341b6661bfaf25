"""Import of a released checkpoint: what it records, and the files that do not fit."""

from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
import yaml
from torch import Tensor
from typer.testing import CliRunner

from g2d.cli import app
from radiograph.preprocess import PreprocessSpec
from tests.builders.distributed import released_files
from tests.builders.distributed.released_files import import_state
from training.checkpoint_conversion.from_released import LayoutMismatch, import_checkpoint
from training.checkpoint_conversion.layout import LAYOUTS, PARTS, Layout
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import read_checkpoint
from training.engine.seeding import seed_everything
from training.model.attention_pool import resized_positions
from training.model.g2d import G2D
from training.refusal import RunRefused

State = dict[str, Tensor]


@pytest.fixture
def config(text_encoder: Path) -> PretrainConfig:
    """A pre-training of the miniature model."""
    return released_files.config_for(text_encoder)


@pytest.fixture
def encoder(config: PretrainConfig) -> State:
    """An encoder that fits."""
    return released_files.weights(config, "encoder")


def _problems(config: PretrainConfig, state: State, tmp_path: Path) -> tuple[str, ...]:
    file = released_files.save(state, tmp_path / "file.pth")
    with pytest.raises(LayoutMismatch) as refused:
        import_checkpoint(file, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    return refused.value.problems


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_import_records_which_parts_came_from_the_file(
    config: PretrainConfig, layout: Layout, tmp_path: Path
) -> None:
    state = released_files.weights(config, layout)
    done = import_state(config, state, tmp_path)
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
    loaded = read_checkpoint(import_state(config, state, tmp_path).checkpoint).weights
    seed_everything(config.seed)
    fresh = G2D(config.model, config.preprocess.size_px).state_dict()
    encoder = "img_model.encoder."
    for name, value in fresh.items():
        expected = state[name.removeprefix(encoder)] if name.startswith(encoder) else value
        assert torch.equal(loaded[f"g2d.{name}"], expected), name


def test_half_precision_weights_are_read_as_float32(config: PretrainConfig, tmp_path: Path) -> None:
    state = released_files.weights(config, "encoder")
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    loaded = read_checkpoint(import_state(config, half, tmp_path).checkpoint).weights
    weight = loaded["g2d.img_model.encoder.conv1.weight"]
    assert weight.dtype is torch.float32
    assert torch.equal(weight, half["conv1.weight"].float())


@pytest.mark.parametrize(("file_px", "model_px"), [(96, 64), (64, 96)])
def test_positions_of_another_image_size_are_resized(
    config: PretrainConfig, file_px: int, model_px: int, tmp_path: Path
) -> None:
    of_file, of_model = (
        config.model_copy(update={"preprocess": PreprocessSpec(size_px=px)})
        for px in (file_px, model_px)
    )
    state = released_files.weights(of_file, "full")
    done = import_state(of_model, state, tmp_path)
    assert done.resized
    kept, file = state["attnpool.positional_embedding"], (file_px // 32, file_px // 32)
    expected = resized_positions(kept, file, (model_px // 32, model_px // 32))
    weights = read_checkpoint(done.checkpoint).weights
    torch.testing.assert_close(weights["g2d.attnpool.positional_embedding"], expected)
    (tmp_path / "same").mkdir()
    assert not import_state(of_file, state, tmp_path / "same").resized


def test_the_encoder_of_another_architecture_is_refused_tensor_by_tensor(
    config: PretrainConfig, tmp_path: Path
) -> None:
    other = smp.encoders.get_encoder("resnet34", weights=None).state_dict()
    problems = _problems(config, other, tmp_path)
    assert "layer1.2.conv1.weight: in the file, but not in the model" in problems
    assert len(problems) == len(other) - len(released_files.weights(config, "encoder"))


def test_every_shape_that_does_not_fit_is_named(
    config: PretrainConfig, encoder: State, tmp_path: Path
) -> None:
    wrong = {"conv1.weight": torch.zeros(32, 3, 7, 7), "bn1.bias": torch.zeros(64).long()}
    assert _problems(config, encoder | wrong, tmp_path) == (
        "conv1.weight: 32 x 3 x 7 x 7 in the file, 64 x 3 x 7 x 7 in the model",
        "bn1.bias: 64 (torch.int64) in the file, 64 in the model",
    )


def test_a_classifier_left_on_the_encoder_is_refused(
    config: PretrainConfig, encoder: State, tmp_path: Path
) -> None:
    fc = {"fc.weight": torch.zeros(14, 512), "fc.bias": torch.zeros(14)}
    assert _problems(config, encoder | fc, tmp_path) == (
        "fc.weight: in the file, but not in the model",
        "fc.bias: in the file, but not in the model",
    )


def test_a_missing_tensor_is_refused(
    config: PretrainConfig, encoder: State, tmp_path: Path
) -> None:
    del encoder["layer4.1.bn2.running_var"]
    problems = _problems(config, encoder, tmp_path)
    assert problems == ("layer4.1.bn2.running_var: missing in the file",)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_name(
    config: PretrainConfig, encoder: State, value: float, tmp_path: Path
) -> None:
    encoder["layer3.0.conv2.weight"][5, 0, 1, 1] = value
    problems = _problems(config, encoder, tmp_path)
    assert problems == ("layer3.0.conv2.weight: holds NaN or infinity",)


def test_a_text_encoder_beside_an_encoder_alone_is_no_full_checkpoint(
    config: PretrainConfig, tmp_path: Path
) -> None:
    full = released_files.weights(config, "full")
    half = {k: v for k, v in full.items() if k.startswith(("img_model.encoder.", "lm_model."))}
    problems = _problems(config, half, tmp_path)
    assert "attnpool.c_proj.weight: missing in the file" in problems
    assert all(problem.endswith(": missing in the file") for problem in problems)


def test_a_folder_that_holds_another_run_is_not_changed(
    config: PretrainConfig, encoder: State, tmp_path: Path
) -> None:
    file = released_files.save(encoder, tmp_path / "file.pth")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/last.ckpt").write_text("mine")
    with pytest.raises(RunRefused, match="holds another run"):
        import_checkpoint(file, config, tmp_path / "run")
    assert (tmp_path / "run/last.ckpt").read_text() == "mine"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["last.ckpt"]


def test_the_command_names_each_misfit_on_a_line_and_the_file_on_the_last(
    config: PretrainConfig, encoder: State, tmp_path: Path
) -> None:
    wrong = encoder | {"fc.bias": torch.zeros(14)}
    file = released_files.save(wrong, tmp_path / "file.pth")
    (tmp_path / "model.yaml").write_text(config.model_dump_json())
    arguments = ["import-checkpoint", str(file), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*arguments, "--config", str(tmp_path / "model.yaml")])
    assert result.exit_code == 4
    assert result.stdout == ""
    *_, misfit, last = result.stderr.splitlines()  # before them, the text encoder's progress
    assert misfit == "  fc.bias: in the file, but not in the model"
    assert last == (
        f"g2d: error: {file} (encoder layout) does not fit the model: 0 shapes differ, "
        "0 tensors are missing, 1 are not known, 0 are not finite"
    )
