"""The released loop that pre-training is compared with: it learns, and it does what it is said to.

What ours does otherwise has tests of its own under tests/training.
"""

from pathlib import Path

import pytest
import torch

from bench.pretraining.released_loop import ReleasedLoop, _host_mask
from tests.builders.training import tiny_objective, tiny_runs
from training.data.cache.cache import Cache, open_cache
from training.model.text_encoder import build_tokenizer
from training.pretrain.objective import Pretraining


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and its tokenizer."""
    torch.manual_seed(0)
    return tiny_runs.save_text_encoder(tmp_path_factory.mktemp("text") / "bert")


@pytest.fixture
def cache(tmp_path: Path, text: Path) -> Cache:
    """Eight radiographs; none has a report, which the loop takes as the text that it is."""
    spec = tiny_objective.config_of(text).preprocess.model_copy(update={"size_px": 64})
    return open_cache(tiny_runs.write_kermany(tmp_path / "data"), spec, tmp_path / "cache")


def _loop(text: Path, cache: Cache) -> ReleasedLoop:
    config = tiny_objective.config_of(text, attention_heads=4)
    tokenizer = build_tokenizer(config.model.text)
    return ReleasedLoop(Pretraining(config).train(), cache, tokenizer, 4, bf16=False)


def test_a_step_changes_every_part_that_it_trains(text: Path, cache: Cache) -> None:
    loop = _loop(text, cache)
    names = ("g2d.img_model.encoder.conv1.weight", "g2d.proj_v.0.weight", "g2d.proj_t.0.weight")
    before = {name: loop.module.get_parameter(name).clone() for name in names}
    assert torch.isfinite(torch.tensor(loop.step()))
    assert all(not torch.equal(before[n], loop.module.get_parameter(n)) for n in names)


def test_reports_are_padded_to_the_maximum_length(text: Path, cache: Cache) -> None:
    loop = _loop(text, cache)
    images, tokens = loop._load()
    assert images.shape == (4, 3, 64, 64)
    assert tokens["input_ids"].shape == (4, loop.module.config.model.text.max_tokens)
    assert loop.data_s > 0


def test_the_mask_is_above_the_quantile_of_the_mean_over_the_heads() -> None:
    attention = torch.zeros(1, 2, 4, 4)
    attention[0, 0] = torch.arange(16.0).view(4, 4)  # mean over the heads: half of it
    mask = _host_mask(attention, 8)
    assert mask.shape == (1, 1, 8, 8)
    # cells 0, 0.5, ... 7.5, four pixels each; the 85 % quantile of 64 pixels is 6.5 exactly
    inside = torch.tensor([[14.0, 15.0]]) / 2
    kept = torch.isin(attention.mean(dim=1, keepdim=True), inside)
    wanted = kept.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(mask.bool(), wanted)
