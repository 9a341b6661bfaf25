"""Files that are not checkpoints are refused, and no code in them is executed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.distributed import released_files
from training.checkpoint_conversion.safe_loading import CheckpointRefused, read_state_dict


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
def test_a_file_without_a_dense_state_dict_is_refused(
    content: object, said: str, tmp_path: Path
) -> None:
    file = released_files.save(content, tmp_path / "file.pth")
    with pytest.raises(CheckpointRefused, match=said):
        read_state_dict(file)
