"""Pre-training at the paper's batch: speed, memory and waits at every precision."""

import torch

from bench.accelerator.findings import Findings, Options, Table
from bench.accelerator.paper_model import configure, no_waiting, precisions, reports
from bench.pretraining.released_loop import ReleasedLoop
from bench.pretraining.step import Ours, Round, make_cache, released_round
from bench.reporting.checks import Check
from training.data.cache.cache import Cache
from training.model.text_encoder import build_tokenizer
from training.pretrain.objective import Pretraining

_GIB = 2**30
_RELEASED_STEPS = 8
_HEAD = ("precision", "loop", "images in 1 s", "waiting for data", "peak memory, GiB", "ratio")


def measure(options: Options) -> Findings:
    """Train our step and the released loop at every precision.

    Our steps run under a mode in which any wait of the host for the device is an error. The
    released loop waits in every step, by design.
    """
    cache = make_cache(options.work, reports(options), options.side)
    checks, rows = [], []
    for precision in precisions(options):
        released, their_memory = _released(options, precision, cache)
        ours = Ours(configure(options, precision, "frozen_text_gb=100"), cache, options.work)
        loops = [("released", released, their_memory)]
        for name, kept in (("ours", False), ("ours, frozen text kept", True)):
            ours.read_frozen_text(kept=kept)
            check, speed, memory = _ours(options, f"{precision}, {name}", ours)
            checks.append(check)
            loops.append((name, speed, memory))
        rows += [_row(precision, *loop, released) for loop in loops]
    title = f"{options.steps} steps of {options.batch} pairs, ResNet-50 and BERT-base"
    return Findings(checks, [Table(title, _HEAD, rows)])


def _row(precision: str, name: str, speed: Round, memory: int, released: Round) -> list[str]:
    ratio = speed.images_per_s / released.images_per_s
    shown = f"{speed.images_per_s:.1f}", f"{speed.data_share:.1%}", f"{memory / _GIB:.1f}"
    return [precision, name, *shown, f"{ratio:.2f}"]


def _ours(options: Options, name: str, ours: Ours) -> tuple[Check, Round, int]:
    """Time steps under the mode that refuses waits, or without it if there is one."""
    ours.round(options.warm_up)
    _start_counting(options.device)
    title, waits = f"{name}: waits for the device", "none in a step"
    try:
        with no_waiting(options):
            measured = ours.round(options.steps)
        check = Check(title, waits, "none", held=True)
    except RuntimeError as error:
        measured = ours.round(options.steps)
        check = Check(title, waits, "at least one", held=False, note=str(error).splitlines()[0])
    return check, measured, _peak(options.device)


def _released(options: Options, precision: str, cache: Cache) -> tuple[Round, int]:
    config = configure(
        options,
        precision,
        "model.text.frozen_dropout=true",  # the released loop keeps dropout in frozen layers
        "model.text.freeze_embeddings=false",
        "preprocess.mean=0.5",
    )
    module = Pretraining(config).train().to(options.device)
    loop = ReleasedLoop(
        module, cache, build_tokenizer(config.model.text), options.batch, precision=precision
    )
    released_round(loop, 2)
    _start_counting(options.device)
    # It waits in every step and augments on the host, so that few steps tell its speed.
    measured = released_round(loop, min(options.steps, _RELEASED_STEPS))
    return measured, _peak(options.device)


def _start_counting(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: str) -> int:
    """Return the most bytes that tensors have taken on the device; 0 for the CPU."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else 0
