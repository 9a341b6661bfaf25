"""Short statements in pre-training: they are off by default and leave the reports as they are."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.parts.tiny_objective import batch, config_of
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.files import load
from training.config.pretrain import PretrainConfig, SentenceConfig
from training.data.cache.cache import open_cache
from training.data.sampling.sampler import MicroBatchIndex
from training.engine.seeding import seed_everything
from training.model.text_encoder import Tokens, build_tokenizer, tokenize
from training.pretrain.objective import Pretraining, Statements
from training.pretrain.pretrain import Pairs, PretrainTask

BOTH = SentenceConfig(presence=True, location=True, weight=0.5)


def _first_pairs(text: Path, root: Path, sentences: SentenceConfig) -> tuple[Pairs, list[str]]:
    config = PretrainConfig(
        kind="pretrain",
        epochs=1,
        batch_size=8,
        preprocess=PreprocessSpec(size_px=SIZE_PX),
        data=tiny_runs.write_kermany(root),
        model=tiny_runs.model_config(text),
        sentences=sentences,
    )
    cache = open_cache(config.data, config.preprocess, root / "cache")
    task = PretrainTask(config, cache, root)
    pairs = task.loader(1)(MicroBatchIndex(0))
    ids = pairs.statements.tokens.input_ids if pairs.statements else torch.zeros(0, 1)
    texts = task.tokenizer.batch_decode(ids, skip_special_tokens=True)
    # The tokenizer knows letters alone: spaces and the dash are lost.
    return pairs, ["".join(each.replace("#", "").split()) for each in texts]


def test_a_batch_has_the_statements_of_its_labels_and_boxes(
    text_encoder: Path, tmp_path: Path
) -> None:
    pairs, texts = _first_pairs(text_encoder, tmp_path / "with", BOTH)
    assert pairs.statements is not None
    truth = dict(zip(texts, pairs.statements.truth.T.tolist(), strict=True))
    with_box = truth["lungopacityintherightupperzone"]  # the box is on the left of the image
    assert sorted(with_box).count(1) == 1
    assert sorted(truth["pneumoniapresent"]) == [-1] * 4 + [1] * 4
    assert [-x for x in truth["pneumoniaabsent"]] == truth["pneumoniapresent"]
    without, _ = _first_pairs(text_encoder, tmp_path / "without", SentenceConfig())
    assert without.statements is None
    assert isinstance(pairs.tokens, Tokens)
    assert isinstance(without.tokens, Tokens)
    assert torch.equal(pairs.tokens.input_ids, without.tokens.input_ids)
    assert torch.equal(pairs.images, without.images)


def _losses(text: Path, sentences: SentenceConfig, truth: Tensor | None) -> dict[str, Tensor]:
    config = config_of(text, sentences=sentences)
    images, tokens, ids = batch(config)
    said = tokenize(build_tokenizer(config.model.text), ["effusion - present", "mass - absent"], 32)
    statements = None if truth is None else Statements(said, truth)
    seed_everything(0)
    module = Pretraining(config).train()
    losses: dict[str, Tensor] = module(images, tokens, ids, 0, statements)
    return losses


def test_statements_add_their_weighted_loss(text_encoder: Path) -> None:
    truth = torch.tensor([[1, 0], [-1, 1], [0, -1], [1, 1]], dtype=torch.int8)
    losses = _losses(text_encoder, BOTH, truth)
    total = losses["vla"] + losses["pa"] + 0.5 * losses["statements"]
    torch.testing.assert_close(losses["total"], total)
    assert losses["statements"] > 0
    losses["total"].backward()
    assert _losses(text_encoder, BOTH, None)["statements"] == 0
    assert "statements" not in _losses(text_encoder, SentenceConfig(), None)


@pytest.mark.parametrize("name", ["g2d_paper", "g2d_released"])
def test_the_recipes_of_paper_and_released_code_have_none(name: str) -> None:
    assert not load(name, PretrainConfig).sentences.wanted
