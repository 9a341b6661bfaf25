"""The sub-command zero-shot: figures of a pre-training without any training."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Asked(StrEnum):
    """What the run is asked for."""

    CLASSIFY = "classify"
    GROUND = "ground"


class Protocol(StrEnum):
    """Which split, rows and thresholds."""

    SOUND = "sound"
    MGCA = "mgca"


def zero_shot(
    run: Annotated[Path, typer.Argument(help="Folder of a run, runs/NAME.")],
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")],
    table: Annotated[str, typer.Option(help="The data set, such as rsna.")],
    task: Annotated[Asked, typer.Option(help="Findings, or where they are.")] = Asked.CLASSIFY,
    protocol: Annotated[
        Protocol, typer.Option(help="mgca adds the published way of measuring.")
    ] = Protocol.SOUND,
) -> None:
    """Ask a pre-trained run for findings, or where they are, by prompts alone.

    \b
    g2d zero-shot runs/small_pretrain --data ../shared/data --table nih_subset
    g2d zero-shot runs/g2d_paper --data /data --table siim --task ground
    g2d zero-shot runs/g2d_paper --data /data --table rsna --protocol mgca

    Thresholds are chosen on the validation split, figures are of the test split with 95 %
    intervals over patients.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from training.evaluation.trained_model import load_run
    from training.evaluation.zero_shot_classification import classify, prepare
    from training.evaluation.zero_shot_grounding import ground

    model = prepare(load_run(run), data, table, protocol.value)
    answer = classify(model) if task is Asked.CLASSIFY else ground(model)
    for rule in answer.rules:
        typer.echo(f"threshold: {rule}")
    for m in answer.metrics:
        interval = f"{m.low:.3f} to {m.high:.3f}"
        typer.echo(f"{m.data:14} {m.label:20} {m.metric:20} {m.value:.3f}  {interval}  n={m.n}")
