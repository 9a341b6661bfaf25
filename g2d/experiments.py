"""`g2d table`: a table of the G2D paper, with our figures beside the published ones."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from training.experiments.plan import Asked, Cell, Job
    from training.experiments.result_store import Folder


OPEN = "open"
"""Name that stands for every table of `tables_open.yaml`."""


Number = Annotated[
    str,
    typer.Argument(
        help="Table of the paper: 1, 2a, 2b, 3, 4, 5, 7 or 8; or open, for the open data sets."
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="Folder of the data sets. Default: that of the pre-training.")
]
Pretrained = Annotated[
    Path | None, typer.Option(help="Checkpoint of the pre-training for the rows of G2D.")
]
Arms = Annotated[
    list[str] | None,
    typer.Option("--arm", help="Checkpoint of an ablation, as NAME=CHECKPOINT; repeat for more."),
]
Fractions = Annotated[
    list[float] | None,
    typer.Option(
        "--fraction", help="Fraction of the labels; repeat for more. Default: all fractions."
    ),
]
Seeds = Annotated[str, typer.Option(help="Seeds of the fine-tunings, such as 0,1,2.")]
Protocols = Annotated[
    Literal["sound", "mgca", "both"], typer.Option(help="Protocol of splits and metrics.")
]
Detectors = Annotated[
    Literal["yolov3", "fcos", "centre"], typer.Option(help="Architecture of the detection head.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(help="Data set to restrict the table to, such as siim; repeat for more."),
]
Devices = Annotated[
    int, typer.Option(min=1, help="Number of devices that share each step; ignored under torchrun.")
]
Recipes = Annotated[
    str | None,
    typer.Option(help="YAML file, or name of a shipped one. Default: tables, or tables_open."),
]
Out = Annotated[
    Path | None, typer.Option(help="Folder of all results. Default: runs/NAME, after the recipes.")
]
Cache = Annotated[Path, typer.Option(help="Folder in which preprocessed radiographs are cached.")]
Write = Annotated[Path | None, typer.Option(help="Markdown page whose generated part is replaced.")]
KeepWeights = Annotated[
    bool, typer.Option(help="Keep the weights of each fine-tuning, to publish them.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print the cells of the table and what is missing; compute nothing."
    ),
]


def table(
    number: Number,
    data: Data = None,
    pretrained: Pretrained = None,
    arm: Arms = None,
    fraction: Fractions = None,
    seeds: Seeds = "0",
    protocol: Protocols = "sound",
    detector: Detectors = "yolov3",
    only: Only = None,
    devices: Devices = 1,
    recipes: Recipes = None,
    out: Out = None,
    cache: Cache = Path("runs/cache"),
    write: Write = None,
    keep_weights: KeepWeights = True,
    dry_run: DryRun = False,
) -> None:
    """Reproduce a table of the G2D paper.

    Fine-tunes and measures the cells that are missing, then prints the whole table.

    \b
    g2d table 1 --data /data --pretrained runs/g2d_paper/last.ckpt --dry-run
    g2d table 1 --data /data --pretrained runs/g2d_paper/last.ckpt --seeds 0,1,2 --devices 4
    g2d table 4 --data /data --pretrained runs/g2d_paper/last.ckpt --fraction 0.01 --only rsna
    g2d table open --seeds 0,1,2 --no-keep-weights --write docs/results.md

    A missing data set is named in the table and does not stop the command. If the command is
    interrupted, run it again to continue. See docs/tables.md.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from training.config.files import describe_error
    from training.experiments.plan import PRETRAINED, Asked
    from training.experiments.result_store import Folder

    asked = Asked(
        table=number,
        fractions=tuple(fraction or ()),
        seeds=_seeds(seeds),
        protocols=("sound", "mgca") if protocol == "both" else (protocol,),
        detector=detector,
        only=tuple(only or ()),
    )
    named = recipes or (f"tables_{OPEN}" if number == OPEN else "tables")
    folder = out or Path("runs") / Path(named).stem
    checkpoints = _checkpoints(arm or ()) | ({PRETRAINED: pretrained} if pretrained else {})
    try:
        for job in _jobs(named, asked, checkpoints, data, devices):
            if dry_run:
                _list(job, Folder(folder))
            else:
                _fill(job, folder, cache, write, keep_weights=keep_weights)
    except ValueError as error:
        raise typer.BadParameter(describe_error(error)) from error


def _jobs(
    recipes: str, asked: "Asked", checkpoints: dict[str, Path], data: Path | None, devices: int
) -> "Iterator[Job]":
    """Yield the requested table, or each of the open ones."""
    from training.config.files import load_tables
    from training.engine.distributed import started_by_launcher
    from training.experiments.plan import PRETRAINED, Job, check
    from training.experiments.run import pretraining_of

    local, nodes = started_by_launcher() or (devices, 1)
    config = load_tables(recipes)
    model = pretraining_of(config, checkpoints.get(PRETRAINED))
    for name in config.tables if asked.table == OPEN else (asked.table,):
        this = replace(asked, table=name)
        root = data or model.data.root
        job = Job(config, model, root, this, checkpoints, local * nodes, devices)
        check(job)
        yield job


def _fill(job: "Job", out: Path, cache: Path, write: Path | None, *, keep_weights: bool) -> None:
    """Compute the table, then print or write it in the first of several processes."""
    from training.experiments.markdown import markers, rewrite
    from training.experiments.render import as_csv, markdown, places
    from training.experiments.result_store import Folder
    from training.experiments.results import write as write_file
    from training.experiments.run import Missing, is_first, run

    reasons: dict[Cell, str] = {}
    for found in run(job, out, cache, keep_weights=keep_weights):
        if isinstance(found, Missing):
            reasons[found.cell] = found.reason
            typer.echo(f"{found.cell.name}: {found.reason}", err=True)
        else:
            figures = ", ".join(f"{k} {100 * v.value:.1f}" for k, v in found.found.items())
            typer.echo(f"{found.cell.name}: {figures}; {found.seconds:.0f} s", err=True)
    if not is_first():
        return
    filled = places(job, Folder(out), reasons)
    page, number = markdown(job, filled), job.asked.table
    write_file(out / f"table_{number}.csv", as_csv(job, filled))
    write_file(out / f"table_{number}.md", page)
    if write is None:
        typer.echo(page)
    else:
        rewrite(write, page, markers(f"table {number}"))


def _list(job: "Job", folder: "Folder") -> None:
    """Print one line for each cell: done, to do, or the reason why it cannot be computed."""
    from training.experiments.plan import cells, finetuning
    from training.experiments.run import missing, undone

    folder.refuse_others(job.claim)
    todo = set(undone(job, folder))
    for cell in cells(job):
        state = "done"
        if cell in todo:
            state = missing(job, cell) or "to do"
        if job.config.tasks[cell.task].trains:
            finetuning(job, cell, Path("last.ckpt"))  # whether its configuration is valid
        typer.echo(f"{cell.name}: {state}")


def _seeds(text: str) -> tuple[int, ...]:
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise typer.BadParameter(f"--seeds {text} is not of the form 0,1,2") from error
    if min(found) < 0:
        raise typer.BadParameter(f"--seeds {text}: a seed is 0 or greater")
    return found


def _checkpoints(arms: Sequence[str]) -> dict[str, Path]:
    """Parse every NAME=CHECKPOINT."""
    found = {}
    for text in arms:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise typer.BadParameter(f"--arm {text} is not of the form NAME=CHECKPOINT")
        found[name] = Path(path)
    return found
