"""The released loop that pre-training is compared with: it learns, and it does what it is said to.

What ours does otherwise has tests of its own under tests/training.
"""

from pathlib import Path

import pytest
import torch

from bench.pretraining.released_loop import ReleasedLoop, _host_mask
from bench.pretraining.step import make_config
from tests.builders.training.parts import tiny_objective
from tests.builders.training.runs import tiny_runs
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
    config = tiny_objective.config_of(text, attention_heads=4, pooling="cls")
    tokenizer = build_tokenizer(config.model.text)
    return ReleasedLoop(Pretraining(config).train(), cache, tokenizer, 4, precision="32-true")


def test_a_step_changes_every_part_that_it_trains(text: Path, cache: Cache) -> None:
    loop = _loop(text, cache)
    names = ("g2d.img_model.encoder.conv1.weight", "g2d.proj_v.0.weight", "g2d.proj_t.0.weight")
    before = {name: loop.module.get_parameter(name).clone() for name in names}
    assert torch.isfinite(torch.tensor(loop.step()))
    assert all(not torch.equal(before[n], loop.module.get_parameter(n)) for n in names)


def test_embeddings_are_trained_below_the_frozen_layers(text: Path, cache: Cache) -> None:
    text_model = make_config(text.parent, 4, "32-true", released=True).model.text
    assert (text_model.freeze_embeddings, text_model.frozen_dropout) == (False, True)
    config = tiny_objective.config_of(text, frozen_layers=1, freeze_embeddings=False)
    tokenizer = build_tokenizer(config.model.text)
    loop = ReleasedLoop(Pretraining(config).train(), cache, tokenizer, 4, precision="32-true")
    bert = loop.module.g2d.lm_model.bert
    weights = (bert.embeddings.word_embeddings.weight, next(bert.encoder.layer[0].parameters()))
    before = [weight.clone() for weight in weights]
    loop.step()
    changed = [not torch.equal(one, other) for one, other in zip(before, weights, strict=True)]
    assert changed == [True, False]


def test_every_token_is_normalised_with_the_others(text: Path, cache: Cache) -> None:
    """Batch normalisation of `proj_t` counts the padding too, so a [CLS] token depends on it."""
    loop = _loop(text, cache)
    loop.module.eval()
    loop.module.g2d.proj_t.train()
    _, tokens = loop._load()
    embeddings = loop._report_embeddings(tokens)
    own = loop.module.g2d.text(tokens["input_ids"], tokens["attention_mask"])
    assert embeddings.shape == own.shape
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(4))
    assert not torch.allclose(embeddings, torch.nn.functional.normalize(own, dim=1), atol=1e-3)


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
