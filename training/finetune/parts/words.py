"""Training of the text encoder on further wordings, without images; all else stays as it is.

wording --text encoder that learns--> features --what heads read of them--\
                                                                           distance
meaning --text encoder of the start-> features --what heads read of them--/

A meaning is the plain wording of a concept, or the text itself where the heads know it already, so
that all that they answered stays. The teacher is the text encoder of `start_from`, and is no part
of a checkpoint. Distillation of a sentence encoder from a teacher is that of Reimers and Gurevych
(2020), with wordings in place of languages.
"""

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config.finetune import FinetuneConfig
from training.data.cache.row_counts import RowCounts, write_counts
from training.data.sampling.sampler import MicroBatchIndex
from training.data.text.phrases.paraphrases import draw_anchors, draw_paraphrases
from training.engine import trainer
from training.engine.distributed import launch
from training.engine.seeding import batch_seed, rank_seed, seed_everything
from training.finetune.initial_weights import load_pretrained
from training.finetune.module import Finetuning
from training.heads.grounding import RegionsHead
from training.model.g2d import G2D
from training.model.text_encoder import Tokens, build_tokenizer, tokenize


@dataclass(frozen=True)
class WordsBatch:
    """One micro-batch of one process.

    Attributes:
        wordings: tokens of the P wordings that are learned, anchors first.
        meanings: P x D, features that their meanings have for the teacher.
        anchors: P bool, True for a text that means itself.
    """

    wordings: Tokens
    meanings: Tensor
    anchors: Tensor


class WordsModule(nn.Module):
    """The model of a fine-tuning, of which the last layers of the text encoder alone are trained.

    The names of its weights are those of `Finetuning`.
    """

    def __init__(self, finetuning: Finetuning, layers: int) -> None:
        """Freeze everything else.

        Args:
            finetuning: the model; its modules are shared.
            layers: number of layers of the text encoder that learn, the last ones.
        """
        super().__init__()
        self.g2d, self.heads = finetuning.g2d, finetuning.heads
        self.requires_grad_(requires_grad=False)
        for layer in self.g2d.lm_model.bert.encoder.layer[-layers:]:
            layer.requires_grad_(requires_grad=True)
        self.train()

    def train(self, mode: bool = True) -> "WordsModule":
        """Set the mode; nothing has dropout or learns statistics, because meanings are exact."""
        super().train(mode=False)
        self.training = mode
        return self

    def forward(self, batch: WordsBatch) -> dict[str, Tensor]:
        """Return the mean distance of the `anchors` and of the `wordings`, and the sum, `total`."""
        tokens = batch.wordings
        features = self.g2d.lm_model(tokens.input_ids, tokens.attention_mask)
        each = distance(self.g2d, self.heads, features, batch.meanings)
        anchors, wordings = each[batch.anchors].mean(), each[~batch.anchors].mean()
        return {"anchors": anchors, "wordings": wordings, "total": anchors + wordings}


def distance(g2d: G2D, heads: nn.ModuleDict, features: Tensor, meanings: Tensor) -> Tensor:
    """Return how far apart the heads read two texts, P pairs.

    It is the sum of 1 - cosine in each space that a head compares with an image, and of the squared
    distance of the features relative to their length, by which a later head would read them.

    Args:
        g2d: trunk with the projection of the zero-shot map.
        heads: heads of the run, among them the aligned ones.
        features, meanings: P x D, features of the texts.
    """
    regions = cast("RegionsHead", heads[RegionsHead.name])
    spaces: tuple[Callable[[Tensor], Tensor], ...] = (
        regions.phrase,
        regions.phrase_global,
        g2d.project_text,
    )
    apart = (features - meanings).pow(2).sum(dim=1) / meanings.pow(2).sum(dim=1)
    for read in spaces:
        apart = apart + 1 - F.cosine_similarity(read(features), read(meanings), dim=1)
    return apart


class WordsTask:
    """Wordings and their meanings, and the losses of the text encoder.

    Attributes:
        module: the module that is trained.
    """

    def __init__(self, config: FinetuneConfig, module: Finetuning) -> None:
        """Keep a copy of the text encoder as the teacher."""
        if config.words is None:
            raise ValueError("the run learns no wordings")
        self._config, self._words = config, config.words
        self._teacher = copy.deepcopy(module.g2d.lm_model).eval()
        self._known: dict[str, Tensor] = {}
        self.module = WordsModule(module, config.words.layers)
        self._tokenizer, self._lock = build_tokenizer(module.model.text), Lock()
        self._max_tokens = module.model.text.max_tokens

    @property
    def rows(self) -> int:
        """Number of texts in one epoch."""
        return self._words.texts

    def loader(self, world: int) -> Callable[[MicroBatchIndex], WordsBatch]:  # noqa: ARG002
        """Return the function from the index of a micro-batch to the batch."""
        config = self._config
        anchors = config.batch_size // 2

        def load(index: MicroBatchIndex) -> WordsBatch:
            seed = rank_seed(batch_seed(config.seed, index.number), index.rank)
            rng = random.Random(seed)
            drawn = draw_anchors(anchors, rng)
            drawn += draw_paraphrases(config.batch_size - anchors, rng)
            with self._lock:  # the tokenizer holds its padding as state
                wordings = self._tokens([each.text for each in drawn])
                meanings = self._features([each.meaning for each in drawn])
            return WordsBatch(wordings, meanings, torch.arange(len(drawn)) < anchors)

        return load

    @torch.no_grad()
    def _features(self, texts: list[str]) -> Tensor:
        """Return the features of texts for the teacher, P x D on the host, each computed once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            tokens = self._tokens(new)
            found = self._teacher(tokens.input_ids, tokens.attention_mask)
            self._known |= dict(zip(new, found, strict=True))
        return torch.stack([self._known[text] for text in texts])

    def losses(
        self,
        model: Callable[..., dict[str, Tensor]],
        batch: WordsBatch,
        index: MicroBatchIndex,  # noqa: ARG002 - part of the protocol of a task
    ) -> trainer.Losses:
        """Return the losses of a batch."""
        return model(batch)

    def panel(self, batch: WordsBatch) -> Tensor | None:  # noqa: ARG002 - likewise
        """Return None: there are no images."""
        return None

    def _tokens(self, texts: list[str]) -> Tokens:
        return tokenize(self._tokenizer, texts, self._max_tokens)


def finetune_words(config: FinetuneConfig, out: Path) -> Path:
    """Run or resume a training of the text encoder on further wordings.

    Args:
        config: configuration of the run, with `words`.
        out: folder of the run.

    Returns:
        The path of its last checkpoint.

    Raises:
        RunRefused: the run cannot start as configured; nothing was written.
    """
    fabric = launch(config.engine, config.precision)
    seed_everything(config.seed)
    task = WordsTask(config, load_pretrained(config))
    if fabric.is_global_zero:
        write_counts(out, RowCounts(tables={}, left_out={}))  # it reads no radiograph
    return trainer.train(config, fabric, task, out)
