"""The adversary against learning the source: its loss, its gradients and the run that has it."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.builders.training.runs.decoder_runs import cache_of, changed, decoder_config
from training.config.finetune import FinetuneConfig
from training.engine.checkpoint import read_checkpoint
from training.evaluation.trained_model import load_run
from training.finetune.finetune import FinetuneTask, finetune
from training.finetune.initial_weights import load_pretrained
from training.finetune.source_adversary import SourceAdversary

OTHER = "other_hospital"
"""Name of the second data set."""


@pytest.fixture
def config(pretrained_step: Path, tmp_path: Path) -> FinetuneConfig:
    """One step of the whole model on two data sets, with an adversary."""
    frozen = decoder_config(pretrained_step, tmp_path / "tables")
    first = tmp_path / "tables" / f"{frozen.data.tables[0]}.csv"
    for source in (first, first.with_suffix("")):  # the table, and the folder of its images
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, source.with_name(source.name.replace(first.stem, OTHER)))
    data = frozen.data.model_copy(update={"tables": (*frozen.data.tables, OTHER)})
    return changed(frozen, data=data, freeze_encoder=False, source_adversary=0.5, max_steps=1)


def _adversary(weight: float) -> SourceAdversary:
    torch.manual_seed(0)
    return SourceAdversary(4, 3, weight)


def test_each_data_set_of_a_batch_weighs_the_same() -> None:
    adversary = _adversary(0.5)
    one, other = torch.randn(1, 4), torch.randn(1, 4)
    pair = adversary(torch.cat([one, other]), torch.tensor([0, 2]))
    more = adversary(torch.cat([one] * 3 + [other]), torch.tensor([0, 0, 0, 2]))
    assert math.isclose(pair.item(), more.item(), rel_tol=1e-5)


def test_the_gradient_of_the_features_alone_is_reversed_and_scaled() -> None:
    features, sources = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    adversary = _adversary(0.5)
    plain = features.clone().requires_grad_()
    torch.nn.functional.cross_entropy(adversary.classifier(plain), sources).backward()
    learnt = [p.grad for p in adversary.parameters()]
    adversary.zero_grad()
    reversed_ = features.clone().requires_grad_()
    adversary(reversed_, sources).backward()
    assert plain.grad is not None
    torch.testing.assert_close(reversed_.grad, -0.5 * plain.grad)
    torch.testing.assert_close([p.grad for p in adversary.parameters()], learnt)


def test_its_loss_needs_no_value_on_the_host() -> None:
    """A tensor without values stands for one on a device."""
    loss = _adversary(0.5).to("meta")(
        torch.empty(4, 4, device="meta"), torch.empty(4, dtype=torch.long, device="meta")
    )
    assert loss.shape == ()


def test_a_run_trains_it_and_its_model_is_without_it(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    run = finetune(config, tmp_path / "run", tmp_path / "cache")
    before = {
        name: value
        for name, value in load_pretrained(config).state_dict().items()
        if name.startswith("adversary.")
    }
    after = read_checkpoint(run).weights
    assert before
    assert before.keys() == {name for name in after if name.startswith("adversary.")}
    model = load_run(run)
    assert not any(name.startswith("adversary.") for name in model.module.state_dict())


def test_the_loss_of_the_validation_is_that_of_the_heads_alone(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    chosen = changed(config, choose={"by": "loss", "every": 1})
    task = FinetuneTask(chosen, cache_of(chosen, tmp_path))
    found = task.validate()
    task.module.adversary = None
    assert task.validate() == pytest.approx(found)


def test_a_later_run_starts_from_it_without_the_adversary(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    run = finetune(config, tmp_path / "run", tmp_path / "cache")
    later = load_pretrained(changed(config, source_adversary=None, start_from=run)).state_dict()
    weights = read_checkpoint(run).weights
    assert all(torch.equal(value, weights[name]) for name, value in later.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"freeze_encoder": True}, "cannot hide"),
        ({"freeze_trunk": True}, "cannot hide"),
        ({"source_adversary": 0.0}, "greater than 0"),
    ],
)
def test_an_adversary_of_no_use_is_refused(
    config: FinetuneConfig, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        changed(config, **change)


def test_one_data_set_has_no_adversary(config: FinetuneConfig) -> None:
    data = config.data.model_copy(update={"tables": config.data.tables[:1]})
    with pytest.raises(ValidationError, match="told apart"):
        changed(config, data=data)
