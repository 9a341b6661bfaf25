"""`g2d zero-shot`: measure a pre-trained run without any fine-tuning."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Asked(StrEnum):
    """Task of the zero-shot evaluation."""

    CLASSIFY = "classify"
    GROUND = "ground"


class Protocol(StrEnum):
    """Protocol that defines the split, the rows and the thresholds."""

    SOUND = "sound"
    MGCA = "mgca"


def zero_shot(
    run: Annotated[Path, typer.Argument(help="Folder of the run, such as runs/NAME.")],
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")],
    table: Annotated[str, typer.Option(help="Name of the data set, such as rsna.")],
    task: Annotated[
        Asked, typer.Option(help="Classify findings, or ground them in the image.")
    ] = Asked.CLASSIFY,
    protocol: Annotated[
        Protocol,
        typer.Option(help="Protocol of splits and metrics; mgca adds the published metrics."),
    ] = Protocol.SOUND,
) -> None:
    """Evaluate a pre-trained run without fine-tuning.

    Findings are classified, or located in the image, by text prompts only.

    \b
    g2d zero-shot runs/shipped_pretrain --data ../shared/data --table nih_subset
    g2d zero-shot runs/g2d_paper --data /data --table siim --task ground
    g2d zero-shot runs/g2d_paper --data /data --table rsna --protocol mgca

    Thresholds are chosen on the validation split. Metrics are measured on the test split, with
    95 % intervals over patients.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from training.evaluation.trained_model import load_run
    from training.evaluation.zero_shot.classification import classify, prepare
    from training.evaluation.zero_shot.grounding import ground

    model = prepare(load_run(run), data, table, protocol.value)
    answer = classify(model) if task is Asked.CLASSIFY else ground(model)
    for rule in answer.rules:
        typer.echo(f"threshold: {rule}")
    for m in answer.metrics:
        interval = f"{m.low:.3f} to {m.high:.3f}"
        typer.echo(f"{m.data:14} {m.label:20} {m.metric:20} {m.value:.3f}  {interval}  n={m.n}")
