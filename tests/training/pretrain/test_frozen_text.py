"""Output of the frozen text layers that is kept for each report."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from pydantic import ValidationError

from tests.builders.training.parts import tiny_objective
from tests.builders.training.runs import tiny_runs
from training.config.engine import EngineConfig
from training.config.model import TextConfig
from training.config.pretrain import PretrainConfig
from training.data.sampling.sampler import MicroBatchIndex
from training.engine.checkpoint import CHECKPOINT
from training.engine.distributed import launch
from training.model.text_encoder import TextEncoder, build_tokenizer, tokenize
from training.pretrain import frozen_text
from training.pretrain.frozen_text import KeptText, keep_frozen_text
from training.pretrain.pretrain import PretrainTask, prepare_task
from training.progress import track
from training.refusal import RunRefused

TEXTS = ("clear", "the heart is large", "clear", "effusion", "no pneumothorax", "a nodule")


@pytest.fixture
def text(text_encoder: Path) -> TextConfig:
    return TextConfig(name=str(text_encoder), frozen_layers=1, frozen_dropout=False, max_tokens=16)


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two reports in a file."""
    monkeypatch.setattr(frozen_text, "_BLOCK", 2)


def _keep(encoder: TextEncoder, text: TextConfig, folder: Path, limit: float = 1) -> KeptText:
    fabric = Fabric(accelerator="cpu", devices=1)
    tokenizer = build_tokenizer(text)
    return keep_frozen_text(fabric, encoder, tokenizer, TEXTS, text, limit, folder)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("text-*/*.npy"))


def test_states_give_the_features_and_gradients_of_a_whole_pass(
    text: TextConfig, tmp_path: Path
) -> None:
    encoder = TextEncoder(text)
    kept = _keep(encoder, text, tmp_path)
    encoder.eval()
    chosen = [TEXTS[4], TEXTS[1], TEXTS[0]]
    states, tokens = kept.states(chosen), tokenize(build_tokenizer(text), chosen, 16)
    assert torch.equal(states.attention_mask, tokens.attention_mask)
    found = encoder.upper(states.hidden, states.attention_mask)
    expected = encoder(tokens.input_ids, tokens.attention_mask)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    trained = [weight for weight in encoder.parameters() if weight.requires_grad]
    gradients = [torch.autograd.grad(x.square().sum(), trained) for x in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_equal_reports_are_kept_once_and_the_mode_stays(text: TextConfig, tmp_path: Path) -> None:
    encoder = TextEncoder(text).train()
    _keep(encoder, text, tmp_path)
    assert len(_files(tmp_path)) == 3  # five different reports
    assert encoder.bert.encoder.layer[1].training
    assert not encoder.bert.encoder.layer[0].training


def test_a_build_that_was_killed_continues_with_the_missing_files(
    text: TextConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TextEncoder(text)
    first = _keep(encoder, text, tmp_path).states(TEXTS)
    files = _files(tmp_path)
    files[1].unlink()
    files[1].with_name(".000001.npy.77").write_bytes(b"half a file")
    computed: list[int] = []

    def noted(blocks: Any, description: str) -> Any:
        computed.extend(blocks)
        return track(blocks, description)

    monkeypatch.setattr(frozen_text, "track", noted)
    again = _keep(encoder, text, tmp_path).states(TEXTS)
    assert computed == [1]
    assert torch.equal(again.hidden, first.hidden)


@pytest.mark.parametrize("change", ["weights", "length", "texts"])
def test_other_weights_lengths_or_texts_have_another_key(
    text: TextConfig, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TextEncoder(text)
    _keep(encoder, text, tmp_path)
    if change == "weights":
        next(encoder.bert.encoder.layer[0].parameters()).data[0] += 1e-6
    elif change == "length":
        text = text.model_copy(update={"max_tokens": 15})
    else:
        monkeypatch.setitem(globals(), "TEXTS", (*TEXTS[:-1], "another nodule"))
    _keep(encoder, text, tmp_path)
    assert len(list(tmp_path.glob("text-*"))) == 2


def test_trained_weights_do_not_count_for_the_key(text: TextConfig, tmp_path: Path) -> None:
    encoder = TextEncoder(text)
    _keep(encoder, text, tmp_path)
    next(encoder.bert.encoder.layer[1].parameters()).data[0] += 1
    _keep(encoder, text, tmp_path)
    assert len(list(tmp_path.glob("text-*"))) == 1


def test_states_are_padded_to_a_multiple(text: TextConfig, tmp_path: Path) -> None:
    wide = text.model_copy(update={"pad_to_multiple": 8})
    states = _keep(TextEncoder(wide), wide, tmp_path).states(TEXTS[:1])  # 5 letters, 2 marks
    assert states.hidden.shape == (1, 8, 16)
    assert states.attention_mask.tolist() == [[1] * 7 + [0]]
    assert not states.hidden[0, 7:].any()


def test_output_larger_than_the_limit_is_refused(text: TextConfig, tmp_path: Path) -> None:
    # 7, 16, 10, 16 and 9 tokens of 16 numbers of 4 bytes
    with pytest.raises(RunRefused, match=r"5 reports, 58 tokens, 0\.00 GB are more than 3e-06 GB"):
        _keep(TextEncoder(text), text, tmp_path, limit=3e-6)
    assert not _files(tmp_path)


def test_output_larger_than_the_disk_is_refused(
    text: TextConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(RunRefused, match=r"has 0\.00 GB left"):
        _keep(TextEncoder(text), text, tmp_path)


@pytest.mark.parametrize(
    "change", [{"frozen_layers": 0}, {"freeze_embeddings": False}, {"frozen_dropout": True}]
)
def test_layers_that_are_not_constant_are_refused(text: TextConfig, change: Any) -> None:
    base = tiny_objective.config_of(Path(text.name)).model_dump()
    base["model"]["text"] |= {"frozen_layers": 1, "frozen_dropout": False}
    PretrainConfig.model_validate(base | {"frozen_text_gb": 1})
    base["model"]["text"] |= change
    PretrainConfig.model_validate(base)
    with pytest.raises(ValidationError, match="frozen_text_gb: the output of the lower"):
        PretrainConfig.model_validate(base | {"frozen_text_gb": 1})


def _task(text: TextConfig, folder: Path, texts: tuple[str, ...]) -> PretrainTask:
    config = tiny_objective.config_of(Path(text.name), 1, frozen_dropout=False)
    records = [
        tiny_runs.record(f"kermany_224/{i}.png", text=said, labels="normal")
        for i, said in enumerate(texts)
    ]
    files = {f"kermany_224/{i}.png": tiny_runs.picture(i) for i in range(len(texts))}
    tiny_runs.write_table(folder, "kermany_224", records, files, tar=False)
    changes: dict[str, Any] = {
        "data": {"root": folder, "tables": ("kermany_224",)},
        "engine": EngineConfig(accelerator="cpu"),
        "frozen_text_gb": 1,
    }
    whole = PretrainConfig.model_validate(config.model_dump() | changes)
    fabric = launch(whole.engine, whole.precision)
    return prepare_task(whole, fabric, folder / "cache", folder / "run")


def test_rows_without_a_report_are_refused(text: TextConfig, tmp_path: Path) -> None:
    with pytest.raises(RunRefused, match="frozen_text_gb: 1 of 6 rows have no report"):
        _task(text, tmp_path, ("", *TEXTS[1:]))


def test_a_task_has_the_losses_of_one_that_computes_every_layer(
    text: TextConfig, tmp_path: Path
) -> None:
    task, index = _task(text, tmp_path, TEXTS), MicroBatchIndex(0)
    task.module.eval()
    kept = task.losses(task.module, task.loader(1)(index), index)
    task.kept_text = None
    computed = task.losses(task.module, task.loader(1)(index), index)
    for name, value in computed.items():
        torch.testing.assert_close(kept[name], value, rtol=1e-5, atol=1e-5)


def test_a_resumed_run_keeps_the_text_of_its_checkpoint_if_the_encoder_has_changed(
    text: TextConfig, tmp_path: Path
) -> None:
    own = text.model_copy(update={"name": str(shutil.copytree(text.name, tmp_path / "bert"))})
    first = _task(own, tmp_path, TEXTS)
    changed = TextEncoder(own).bert
    changed.encoder.layer[0].output.LayerNorm.bias.data[0] += 1
    changed.save_pretrained(own.name)
    (tmp_path / "run").mkdir()
    saved = {"model": first.module.state_dict(), "config": first.config.model_dump_json()}
    torch.save(saved, tmp_path / "run" / CHECKPOINT)
    resumed = _task(own, tmp_path, TEXTS)
    (tmp_path / "run" / CHECKPOINT).unlink()
    begun_again = _task(own, tmp_path, TEXTS)
    states = [
        task.kept_text.states(TEXTS).hidden
        for task in (first, resumed, begun_again)
        if task.kept_text
    ]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
