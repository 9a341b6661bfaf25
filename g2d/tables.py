"""The sub-command `table`: a table of the G2D paper, ours beside the published figures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from training.tables.folder import Folder
    from training.tables.plan import Cell, Job


OPEN = "open"
"""Every table of `tables_open.yaml`."""


def table(
    number: Annotated[str, typer.Argument(help="1, 2a, 2b, 3, 4, 5, 7, 8; or open, for several.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the data sets; that of the pre-training by default."),
    ] = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Checkpoint of a pre-training: the rows of G2D.")
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="NAME=CHECKPOINT of an ablation that is there; again for more."),
    ] = None,
    fraction: Annotated[
        list[float] | None, typer.Option(help="Of the labels; again for more. All by default.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Of the fine-tunings, such as 0,1,2.")] = "0",
    protocol: Annotated[
        Literal["sound", "mgca", "both"], typer.Option(help="Of split and measure.")
    ] = "sound",
    detector: Annotated[
        Literal["yolov3", "fcos", "centre"], typer.Option(help="Of the detection head.")
    ] = "yolov3",
    only: Annotated[
        list[str] | None, typer.Option(help="A data set, such as siim; again for more.")
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="That share each step; under torchrun, its count holds.")
    ] = 1,
    recipes: Annotated[
        str | None,
        typer.Option(help="A YAML file, or the name of a shipped one; tables, or tables_open."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of all results; runs/NAME of the recipes.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Where preprocessed radiographs are kept.")] = Path(
        "runs/cache"
    ),
    write: Annotated[
        Path | None, typer.Option(help="A page whose generated part is written anew.")
    ] = None,
    keep_weights: Annotated[
        bool, typer.Option(help="Of each fine-tuning once it is measured, to publish it.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and what is missing; do nothing.")
    ] = False,
) -> None:
    """Fill a table of the G2D paper: fine-tune and measure what is missing, print all of it.

    \b
    g2d table 1 --data /data --pretrained runs/g2d_paper/last.ckpt --dry-run
    g2d table 1 --data /data --pretrained runs/g2d_paper/last.ckpt --seeds 0,1,2 --devices 4
    g2d table 4 --data /data --pretrained runs/g2d_paper/last.ckpt --fraction 0.01 --only rsna
    g2d table open --seeds 0,1,2 --no-keep-weights --write docs/results.md

    A data set that is not there is named in the table and stops nothing. Killed or stopped, the
    same command goes on with what is missing. See docs/tables.md.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from training.config_files import load_tables, told
    from training.launch import started_by_launcher
    from training.tables.folder import Folder
    from training.tables.plan import PRETRAINED, Asked, Job, check
    from training.tables.run import pretraining_of

    local, nodes = started_by_launcher() or (devices, 1)
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
        config = load_tables(named)
        model = pretraining_of(config, pretrained)
        for name in config.tables if number == OPEN else (number,):
            this = replace(asked, table=name)
            root = data or model.data.root
            job = Job(config, model, root, this, checkpoints, local * nodes, devices)
            check(job)
            if dry_run:
                _list(job, Folder(folder))
            else:
                _fill(job, folder, cache, write, keep_weights=keep_weights)
    except ValueError as error:
        raise typer.BadParameter(told(error)) from error


def _fill(job: "Job", out: Path, cache: Path, write: Path | None, *, keep_weights: bool) -> None:
    """Compute, then print or write the table; of several processes, the first one."""
    from training.markdown import markers, rewrite
    from training.results import write as write_file
    from training.tables.folder import Folder
    from training.tables.render import as_csv, markdown, places
    from training.tables.run import Missing, is_first, run

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
    """One line a cell: there, to do, or why it cannot be done."""
    from training.tables.plan import cells, finetuning
    from training.tables.run import missing, undone

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
    """NAME=CHECKPOINT of each."""
    found = {}
    for text in arms:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise typer.BadParameter(f"--arm {text} is not of the form NAME=CHECKPOINT")
        found[name] = Path(path)
    return found
