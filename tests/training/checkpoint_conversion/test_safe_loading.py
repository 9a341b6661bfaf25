"""Files that are no checkpoint of the model are refused as a whole, by name, and never run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from typer.testing import CliRunner

from g2d.cli import app
from tests.builders.distributed import released_files
from training.checkpoint_conversion.from_released import LayoutMismatch, import_checkpoint
from training.checkpoint_conversion.safe_loading import CheckpointRefused, read_state_dict
from training.config.pretrain import PretrainConfig

State = dict[str, Tensor]


@pytest.fixture
def config(text_encoder: Path) -> PretrainConfig:
    """What the miniature model is."""
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


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def test_a_pickle_that_runs_a_command_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    bomb = {"conv1.weight": torch.zeros(2), "payload": _Bomb(marker)}
    file = released_files.save(bomb, tmp_path / "bomb.pth")
    with pytest.raises(
        CheckpointRefused, match=r"nothing of it was run: it asks for `posix\.system`"
    ):
        read_state_dict(file)
    assert not marker.exists()
    torch.load(file, weights_only=False)  # the bomb is real
    assert marker.exists()


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_refused(kept: float, tmp_path: Path) -> None:
    file = released_files.save({"conv1.weight": torch.rand(64, 64)}, tmp_path / "file.pth")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole)) if kept in (0.5, 0.999) else int(kept)])
    with pytest.raises(CheckpointRefused, match="is not a checkpoint, or is cut off"):
        read_state_dict(file)


@pytest.mark.parametrize(
    "content", [b"not a checkpoint", b"\x80\x02}q\x00.", b"PK\x03\x04", b"\xff" * 4096]
)
@pytest.mark.parametrize("name", ["file.pth", "file.safetensors"])
def test_other_files_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointRefused):
        read_state_dict(tmp_path / name)


def _mapping_in_itself() -> dict[str, Any]:
    mapping: dict[str, Any] = {"epoch": 1}
    mapping["model"] = mapping
    return mapping


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "holds no state dict"),
        ([torch.zeros(1)], "holds no state dict"),
        ({"epoch": 3, "loss": 0.5}, "under: epoch, loss"),
        ({"model": {"a": 1.0}, "state_dict": {"a": torch.zeros(1)}}, "under: model, state_dict"),
        (_mapping_in_itself(), "holds no state dict"),
        ({"model": {"g2d.a": torch.zeros(1)}, "config": "{}"}, "a checkpoint of ours"),
        ({"conv1.weight": torch.zeros(2, 2).to_sparse()}, "conv1.weight is not a dense tensor"),
        ({"conv1.weight": torch.zeros(1).expand(1 << 40)}, "conv1.weight is not a dense tensor"),
    ],
)
def test_what_holds_no_dense_state_dict_is_refused(
    content: object, said: str, tmp_path: Path
) -> None:
    file = released_files.save(content, tmp_path / "file.pth")
    with pytest.raises(CheckpointRefused, match=said):
        read_state_dict(file)


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


def test_a_folder_that_holds_another_run_is_left_as_it_is(
    config: PretrainConfig, encoder: State, tmp_path: Path
) -> None:
    file = released_files.save(encoder, tmp_path / "file.pth")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/last.ckpt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds another run"):
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
    assert result.exit_code == 2
    assert result.stdout == ""
    *_, misfit, last = result.stderr.splitlines()  # before them, the text encoder's progress
    assert misfit == "  fc.bias: in the file, but not in the model"
    assert last == (
        f"g2d: error: {file} (encoder layout) does not fit the model: 0 shapes differ, "
        "0 tensors are missing, 1 are not known, 0 are not finite"
    )
