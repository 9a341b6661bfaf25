"""Training of the text encoder on further wordings, on a miniature run with every head."""

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.optim import AdamW

from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.decoder_runs import UNCHANGED, changed
from training.config.finetune import FinetuneConfig
from training.data.sampling.sampler import MicroBatchIndex
from training.engine.checkpoint import read_checkpoint
from training.evaluation.trained_model import load_run
from training.export.onnx_export import export
from training.export.parity import TOLERANCE
from training.finetune.finetune import finetune
from training.finetune.initial_weights import load_pretrained
from training.finetune.parts.words import WordsTask, distance
from training.refusal import RunRefused

TEXT = "g2d.lm_model."


@pytest.fixture
def config(finetuned: Path, text_encoder: Path, tmp_path: Path) -> FinetuneConfig:
    """Ten steps of sixteen texts each, from a run of two steps."""
    start = tiny_runs.finetune_config(tmp_path / "data", tiny_runs.model_config(text_encoder))
    return changed(
        start,
        epochs=1,
        batch_size=16,
        checkpoint_every=5,
        start_from=finetuned,
        freeze_trunk=True,
        keep_alignment=False,
        augment=UNCHANGED,
        words={"layers": 1, "texts": 160},
        optimiser={"lr": 3e-3},
        engine={"log_every": 1},
    )


def _weights(path: Path) -> dict[str, Tensor]:
    return read_checkpoint(path).weights


def _history(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def test_wordings_come_to_mean_the_same_and_known_texts_stay(config: FinetuneConfig) -> None:
    """On one batch, whose texts a miniature encoder can learn."""
    task = WordsTask(changed(config, words={"layers": 2}), load_pretrained(config))
    batch = task.loader(1)(MicroBatchIndex(0))
    optimiser = AdamW([p for p in task.module.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(60):
        found = task.losses(task.module, batch, MicroBatchIndex(0))
        losses.append({name: value.item() for name, value in found.items()})
        optimiser.zero_grad()
        found["total"].backward()
        optimiser.step()
    assert losses[-1]["wordings"] < 0.5 * losses[0]["wordings"]
    assert losses[-1]["anchors"] < 0.2 * losses[0]["wordings"]


def test_nothing_but_the_last_layers_of_the_text_encoder_learns(
    config: FinetuneConfig, finetuned: Path, tmp_path: Path
) -> None:
    after = _weights(finetune(config, tmp_path / "run", tmp_path / "cache"))
    before = _weights(finetuned)
    assert after.keys() == before.keys()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith(f"{TEXT}bert.encoder.layer.1.") for name in moved)


def test_a_run_that_was_interrupted_goes_on_with_the_same_texts(
    config: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _weights(finetune(config, tmp_path / "whole", tmp_path / "cache"))
    losses = WordsTask.losses

    def break_off(self: WordsTask, model: object, batch: object, index: MicroBatchIndex) -> object:
        if index.step == 7:
            raise KeyboardInterrupt
        return losses(self, model, batch, index)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(WordsTask, "losses", break_off)
        with pytest.raises(KeyboardInterrupt):
            finetune(config, tmp_path / "run", tmp_path / "cache")
    resumed = _weights(finetune(config, tmp_path / "run", tmp_path / "cache"))
    assert [line["step"] for line in _history(tmp_path / "run")] == list(range(1, 11))
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value)


def test_the_exported_text_encoder_answers_as_pytorch_does(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    done = finetune(config, tmp_path / "run", tmp_path / "cache")
    parity = export(load_run(done), tmp_path / "export").parity
    assert max(value for name, value in parity.items() if name.startswith("text.")) <= TOLERANCE
    assert max(parity.values()) <= TOLERANCE


def test_a_batch_is_a_function_of_its_number_alone(config: FinetuneConfig) -> None:
    task = WordsTask(config, load_pretrained(config))
    load = task.loader(1)
    one, again, other = load(MicroBatchIndex(3)), load(MicroBatchIndex(3)), load(MicroBatchIndex(4))
    assert torch.equal(one.wordings.input_ids, again.wordings.input_ids)
    torch.testing.assert_close(one.meanings, again.meanings)
    assert not torch.equal(one.meanings, other.meanings)
    assert one.anchors.tolist() == [True] * 8 + [False] * 8


def test_texts_that_the_heads_read_alike_are_not_apart(config: FinetuneConfig) -> None:
    module = load_pretrained(config).eval()
    features = torch.randn(3, module.g2d.lm_model.width, generator=torch.Generator().manual_seed(0))
    same = distance(module.g2d, module.heads, features, features)
    torch.testing.assert_close(same, torch.zeros(3), atol=1e-5, rtol=0)
    assert (distance(module.g2d, module.heads, features, features.flip(0))[[0, 2]] > 0.1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze_trunk": False}, "freeze_trunk: true"),
        ({"start_from": None}, "needs `start_from`"),
        ({"regions": False}, "a head must read them"),
        ({"choose": {"by": "loss", "every": 1}}, "choose is of no use"),
    ],
)
def test_a_configuration_that_cannot_learn_wordings_is_refused(
    config: FinetuneConfig, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        changed(config, **changes)


def test_heads_that_the_start_lacks_are_refused(config: FinetuneConfig, tmp_path: Path) -> None:
    """They would be published with random weights, as none of them learns."""
    with pytest.raises(RunRefused, match="no heads checks of these labels, and only words learn"):
        finetune(changed(config, checks={"examples": 4}), tmp_path / "run", tmp_path / "cache")
