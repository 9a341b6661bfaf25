"""Export of a run in the layout of the released code."""

from pathlib import Path

import pytest
import torch

from tests.builders.distributed import released_files
from tests.builders.distributed.released_files import equal, import_state
from training.checkpoint_conversion.from_released import import_checkpoint
from training.checkpoint_conversion.layout import LAYOUTS, Layout
from training.checkpoint_conversion.safe_loading import read_state_dict
from training.checkpoint_conversion.to_released import NotInLayout, export_checkpoint
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import read_checkpoint
from training.refusal import RunRefused

UNREAD = {
    "pseudo_conv.weight", "pseudo_conv.bias",
    "lm_model.pooler.dense.weight", "lm_model.pooler.dense.bias",
}  # fmt: skip


@pytest.fixture
def config(text_encoder: Path) -> PretrainConfig:
    """A pre-training of the miniature model."""
    return released_files.config_for(text_encoder)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_export_of_an_import_is_the_imported_file(
    config: PretrainConfig, layout: Layout, tmp_path: Path
) -> None:
    state = released_files.weights(config, layout)
    import_state(config, state, tmp_path)
    written = export_checkpoint(tmp_path / "run", tmp_path / "back.pth", layout)
    assert written.zeros == ()
    assert equal(read_state_dict(tmp_path / "back.pth"), state)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_an_import_of_an_export_is_the_exported_run(
    config: PretrainConfig, suffix: str, tmp_path: Path
) -> None:
    first = import_state(config, released_files.weights(config, "full"), tmp_path)
    (tmp_path / "run/unread.safetensors").unlink()  # as a run of ours, which has none of it
    file = tmp_path / f"ours.{suffix}"
    assert set(export_checkpoint(first.checkpoint, file, "full").zeros) == UNREAD
    second = import_checkpoint(file, config, tmp_path / "again")
    before, after = (read_checkpoint(run.checkpoint).weights for run in (first, second))
    assert equal(before, after)


def test_a_fine_tuned_run_is_exported_without_its_heads(finetuned: Path, tmp_path: Path) -> None:
    written = export_checkpoint(finetuned.parent, tmp_path / "ours.pth", "encoder-decoder")
    assert {"heads.findings", "heads.anatomy", "lm_model", "attnpool"} <= set(written.left_out)
    assert not any(part.startswith("img_model") for part in written.left_out)
    state, weights = read_state_dict(tmp_path / "ours.pth"), read_checkpoint(finetuned).weights
    assert all(torch.equal(weights[f"g2d.img_model.{name}"], v) for name, v in state.items())


def test_heads_that_do_not_divide_the_channels_cannot_be_exported_in_full(
    finetuned: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotInLayout, match="do not divide its 16 channels"):
        export_checkpoint(finetuned, tmp_path / "ours.pth", "full")
    assert list(tmp_path.iterdir()) == []


def test_an_export_overwrites_nothing(finetuned: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_text("mine")
    with pytest.raises(RunRefused, match="is there already"):
        export_checkpoint(finetuned, tmp_path / "mine.pth", "encoder")
    assert (tmp_path / "mine.pth").read_text() == "mine"
