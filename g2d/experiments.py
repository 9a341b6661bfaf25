"""`g2d table` and `g2d ablation`: tables with our figures beside the published ones."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from training.config.run import Protocol
    from training.experiments.plan import Cell, TableJob, TableRequest
    from training.experiments.result_store import ResultFolder


COLLECTIONS = {"open": "tables_open", "ablation": "ablation"}
"""Name that stands for every table of a configuration -> that configuration."""


Number = Annotated[
    str,
    typer.Argument(
        help="Table of the paper: 1, 2a, 2b, 3, 4, 5, 7 or 8; open, for the open data sets; or "
        "ablation."
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
Seeds = Annotated[
    str | None,
    typer.Option(help="Seeds of the trainings, such as 0,1,2. Default: those of the table, or 0."),
]
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
    typer.Option(
        help="YAML file, or name of a shipped one. Default: tables, tables_open or ablation."
    ),
]
Config = Annotated[str, typer.Argument(help="YAML file, or name of a shipped configuration.")]
Out = Annotated[
    Path | None, typer.Option(help="Folder of all results. Default: runs/NAME, after the recipes.")
]
Cache = Annotated[Path, typer.Option(help="Folder in which preprocessed radiographs are cached.")]
Write = Annotated[Path | None, typer.Option(help="Markdown page whose generated part is replaced.")]
KeepWeights = Annotated[
    bool, typer.Option(help="Keep the weights of each fine-tuning, to publish them.")
]
TableOnly = Annotated[
    bool,
    typer.Option("--table-only", help="Compute nothing; name the results that are missing."),
]
Picture = Annotated[
    Path | None,
    typer.Option(help="PNG file to write, with the decoder maps of two open radiographs."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print the cells of the table and what is missing; compute nothing."
    ),
]
DEFAULT_CACHE = Path("runs/cache")


def table(
    number: Number,
    data: Data = None,
    pretrained: Pretrained = None,
    arm: Arms = None,
    fraction: Fractions = None,
    seeds: Seeds = None,
    protocol: Protocols = "sound",
    detector: Detectors = "yolov3",
    only: Only = None,
    devices: Devices = 1,
    recipes: Recipes = None,
    out: Out = None,
    cache: Cache = DEFAULT_CACHE,
    write: Write = None,
    keep_weights: KeepWeights = True,
    table_only: TableOnly = False,
    picture: Picture = None,
    dry_run: DryRun = False,
) -> None:
    """Fill a table of the G2D paper, of the open data sets, or of the ablation.

    Trains and measures the cells that are missing, then prints the whole table.

    \b
    g2d table 1 --data /data --pretrained runs/g2d_paper/last.ckpt --dry-run
    g2d table 1 --data /data --pretrained runs/g2d_paper/last.ckpt --seeds 0,1,2 --devices 4
    g2d table 4 --data /data --pretrained runs/g2d_paper/last.ckpt --fraction 0.01 --only rsna
    g2d table open --seeds 0,1,2 --no-keep-weights --write docs/results.md
    g2d table ablation --write docs/ablation.md

    A missing data set is named in the table and does not stop the command. If the command is
    interrupted, run it again to continue. See docs/tables.md.
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from training.config.files import describe_error
    from training.experiments.plan import PRETRAINED, TableRequest
    from training.experiments.result_store import ResultFolder

    protocols: tuple[Protocol, ...]
    protocols = ("sound", "mgca") if protocol == "both" else (protocol,)
    fractions, sets = tuple(fraction or ()), tuple(only or ())
    request = TableRequest(number, fractions, _seeds(seeds), protocols, detector, sets)
    named = recipes or COLLECTIONS.get(number, "tables")
    folder = ResultFolder(out or Path("runs") / Path(named).stem)
    checkpoints = _checkpoints(arm or ()) | ({PRETRAINED: pretrained} if pretrained else {})
    try:
        for job in _jobs(named, request, checkpoints, data, devices):
            if dry_run:
                _list(job, folder)
                continue
            reasons: dict[Cell, str] = {}
            if table_only:
                folder.check(job.claim)
            else:
                reasons = _fill(job, folder.path, cache, keep_weights=keep_weights)
            _render(job, folder, reasons, write)
            _draw(job, folder, cache, picture)
    except ValueError as error:
        raise typer.BadParameter(describe_error(error)) from error


def ablation(
    config: Config = "ablation",
    out: Out = None,
    cache: Cache = DEFAULT_CACHE,
    write: Write = None,
    table_only: TableOnly = False,
    picture: Picture = None,
) -> None:
    """Compare pre-trainings with each other; the same as `g2d table ablation`.

    Lungs and pneumonia are learned from 1, 10 and 100 percent of the labels.

    \b
    g2d ablation ablation --write docs/ablation.md      takes about two hours on two CPU cores
    g2d ablation ablation --table-only                  prints the results so far

    If the command is interrupted, run it again to continue.
    """  # noqa: D301 - as above
    table(
        "ablation", recipes=config, out=out, cache=cache, write=write, table_only=table_only,
        picture=picture,
    )  # fmt: skip


def _jobs(
    recipes: str,
    request: "TableRequest",
    checkpoints: dict[str, Path],
    data: Path | None,
    devices: int,
) -> "Iterator[TableJob]":
    """Yield the requested table, or every table of a collection."""
    from training.config.files import load_tables
    from training.engine.distributed import started_by_launcher
    from training.experiments.plan import PRETRAINED, TableJob, check
    from training.experiments.run import pretraining_of

    local, nodes = started_by_launcher() or (devices, 1)
    config = load_tables(recipes)
    model = pretraining_of(config, checkpoints.get(PRETRAINED))
    for name in config.tables if request.table in COLLECTIONS else (request.table,):
        this = replace(request, table=name)
        root = data or model.data.root
        job = TableJob(config, model, root, this, checkpoints, local * nodes, devices)
        check(job)
        yield job


def _fill(job: "TableJob", out: Path, cache: Path, *, keep_weights: bool) -> "dict[Cell, str]":
    """Compute the missing cells; return the reasons of those that could not be computed."""
    from training.experiments.run import Missing, run

    reasons: dict[Cell, str] = {}
    for found in run(job, out, cache, keep_weights=keep_weights):
        if isinstance(found, Missing):
            reasons[found.cell] = found.reason
            typer.echo(f"{found.cell.name}: {found.reason}", err=True)
        else:
            figures = ", ".join(f"{k} {100 * v.value:.1f}" for k, v in found.found.items())
            typer.echo(f"{found.cell.name}: {figures}; {found.seconds:.0f} s", err=True)
    return reasons


def _render(
    job: "TableJob", folder: "ResultFolder", reasons: "dict[Cell, str]", page: Path | None
) -> None:
    """Write the table as CSV and Markdown, and print it or put it into a page."""
    from training.experiments.markdown import markers, rewrite
    from training.experiments.render import as_csv, markdown, table_entries
    from training.experiments.result_store import write_whole
    from training.experiments.run import is_first

    if not is_first():
        return
    entries = table_entries(job, folder, reasons)
    text, name = markdown(job, folder, entries), job.request.table
    write_whole(folder.path / f"table_{name}.csv", as_csv(job, entries))
    write_whole(folder.path / f"table_{name}.md", text)
    if page is None:
        typer.echo(text)
    else:
        rewrite(page, text, markers(f"table {name}"))


def _draw(job: "TableJob", folder: "ResultFolder", cache: Path, picture: Path | None) -> None:
    """Write the picture in the first of several processes, if one is requested."""
    from training.experiments.paired_differences import draw
    from training.experiments.run import is_first

    if picture is not None and is_first():
        draw(job, folder, cache, picture)


def _list(job: "TableJob", folder: "ResultFolder") -> None:
    """Print one line for each cell: done, to do, or the reason why it cannot be computed."""
    from training.experiments.plan import cells, finetuning
    from training.experiments.run import missing, undone

    folder.refuse_others(job.claim)
    todo = set(undone(job, folder))
    for cell in cells(job):
        state = "done"
        if cell in todo:
            state = missing(job, cell) or "to do"
        if job.config.tasks[cell.task].trains and not job.config.probe(cell.task):
            finetuning(job, cell, Path("last.ckpt"))  # raises if the configuration is not valid
        typer.echo(f"{cell.name}: {state}")


def _seeds(text: str | None) -> tuple[int, ...]:
    """Parse `0,1,2`; nothing stands for the seeds of the table."""
    if text is None:
        return ()
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise typer.BadParameter(f"--seeds {text} is not of the form 0,1,2") from error
    if min(found) < 0:
        raise typer.BadParameter(f"--seeds {text}: a seed is 0 or greater")
    return found


def _checkpoints(arms: Sequence[str]) -> dict[str, Path]:
    """Parse NAME=CHECKPOINT of each arm."""
    found = {}
    for text in arms:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise typer.BadParameter(f"--arm {text} is not of the form NAME=CHECKPOINT")
        found[name] = Path(path)
    return found
