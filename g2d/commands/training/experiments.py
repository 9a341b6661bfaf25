"""`g2d table` and `g2d ablation`: tables with our figures beside the published ones."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from g2d.failures import RefusedCommand
from radiograph.errors import RadiographError

if TYPE_CHECKING:
    from training.config.run import Protocol
    from training.experiments.plan import Cell, TableJob, TableRequest
    from training.experiments.result_store import ResultFolder


COLLECTIONS = {
    "open": "tables_open",
    "ablation": "ablation",
    "claim": "claim",
    "grounding": "grounding",
}
"""Name that stands for every table of a configuration -> that configuration."""
STUCK, FAILED = 3, 4
"""Exit statuses: nothing that is missing can be computed here; a cell failed."""


Number = Annotated[
    str,
    typer.Argument(
        help="Table of the paper: 1, 2a, 2b, 3, 4, 5, 7 or 8; open, for the open data sets; "
        "ablation; claim; or grounding."
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
        help="YAML file, or name of a shipped one. Default: tables, or that of the table."
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
        "--dry-run", help="Print which cells can be computed and what is missing; compute nothing."
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
    """Fill a table of the G2D paper, of the open data sets, or of an ablation.

    Trains and measures the cells that are missing, then prints the whole table.

    \b
    g2d table 1 --data /data --pretrained runs/g2d_paper/last.ckpt --dry-run
    g2d table 1 --data /data --pretrained runs/g2d_paper/last.ckpt --seeds 0,1,2 --devices 4
    g2d table 4 --data /data --pretrained runs/g2d_paper/last.ckpt --fraction 0.01 --only rsna
    g2d table open --seeds 0,1,2 --no-keep-weights --write docs/results.md
    g2d table ablation --write docs/ablation.md
    g2d table claim --write docs/ablation.md

    A missing data set is named in the table, and a cell that fails is recorded there; neither
    stops the other cells. If the command is interrupted, run it again to continue; failed cells
    are tried again. See docs/tables.md.

    \b
    Exit status: 0 results were computed, or all are there
                 2 the command was refused before any work
                 3 results are missing, and none of them can be computed here
                 4 a cell failed
    """  # noqa: D301 - \b keeps the lines of a paragraph as they are
    from training.experiments.result_store import ResultFolder

    request = _request(number, fraction, seeds, protocol, detector, only)
    named = recipes or COLLECTIONS.get(number, "tables")
    folder = ResultFolder(out or Path("runs") / Path(named).stem)
    total = Filled()
    with _described():
        jobs = list(_jobs(named, request, _checkpoints(arm or (), pretrained), data, devices))
        _check_outputs(jobs, write, picture)
        for job in jobs:
            if dry_run:
                total += _survey(job, folder)
                continue
            found = _check(job, folder) if table_only else _fill(job, folder, cache, keep_weights)
            _show(job, folder, found.reasons, write, cache, picture)
            total += found
    if total.status:
        raise typer.Exit(total.status)


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
    for name in checkpoints.keys() & config.arms.keys():
        pretraining_of(config, checkpoints[name], f"--arm {name}")  # refuses other files
    for name in config.tables if request.table in COLLECTIONS else (request.table,):
        this = replace(request, table=name)
        root = data or model.data.root
        job = TableJob(config, model, root, this, checkpoints, local * nodes, devices)
        check(job)
        yield job


def _check_outputs(jobs: "Sequence[TableJob]", page: Path | None, picture: Path | None) -> None:
    """Refuse a page or a picture that could not be written, before hours of work.

    Raises:
        RefusedCommand: the picture is no PNG file, or has no folder.
        FileNotFoundError: the page does not exist.
        ValueError: the page lacks the markers of a table.
    """
    from training.experiments.pages.markdown import markers, require_markers

    if picture is not None and picture.suffix.lower() != ".png":
        raise RefusedCommand(f"--picture {picture}: the picture is a .png file")
    if picture is not None and not picture.absolute().parent.is_dir():
        raise RefusedCommand(f"--picture {picture}: the folder does not exist")
    if page is not None:
        for job in jobs:
            require_markers(page, markers(f"table {job.request.table}"))


@dataclass
class Filled:
    """Cells that a command met without a result, by their outcome.

    Attributes:
        ready: number of cells that were computed; for a dry run, that can be.
        failed: number of cells that ended in an error.
        reasons: cells that cannot be computed here -> reason.
    """

    ready: int = 0
    failed: int = 0
    reasons: "dict[Cell, str]" = field(default_factory=dict)

    def __iadd__(self, other: "Filled") -> "Filled":
        self.ready += other.ready
        self.failed += other.failed
        self.reasons |= other.reasons
        return self

    @property
    def status(self) -> int:
        """Exit status of the command."""
        if self.failed:
            return FAILED
        return STUCK if self.reasons and not self.ready else 0


def _check(job: "TableJob", folder: "ResultFolder") -> Filled:
    """Check that the results are those of this table, and compute nothing."""
    folder.check(job.claim)
    return Filled()


def _fill(job: "TableJob", folder: "ResultFolder", cache: Path, keep_weights: bool) -> Filled:
    """Compute the missing cells, and print the outcome of each."""
    from training.experiments.run import Failed, Missing, run

    total = Filled()
    for found in run(job, folder.path, cache, keep_weights=keep_weights):
        if isinstance(found, Missing):
            total.reasons[found.cell] = said = found.reason
        elif isinstance(found, Failed):
            total.failed += 1
            said = f"failed: {found.reason}"
        else:
            total.ready += 1
            figures = ", ".join(f"{k} {100 * v.value:.1f}" for k, v in found.found.items())
            said = f"{figures}; {found.seconds:.0f} s"
        typer.echo(f"{found.cell.name}: {said}", err=True)
    return total


def _survey(job: "TableJob", folder: "ResultFolder") -> Filled:
    """Print which cells can be computed, and what the others wait for."""
    from training.experiments.survey import describe, survey

    found = survey(job, folder)
    typer.echo(describe(found))
    return Filled(
        ready=len(found.ready), reasons={c: "; ".join(why) for c, why in found.waiting.items()}
    )


def _show(
    job: "TableJob",
    folder: "ResultFolder",
    reasons: "dict[Cell, str]",
    page: Path | None,
    cache: Path,
    picture: Path | None,
) -> None:
    """Write the table, print it or put it into a page, and write the picture."""
    _render(job, folder, reasons, page)
    _draw(job, folder, cache, picture)


def _render(
    job: "TableJob", folder: "ResultFolder", reasons: "dict[Cell, str]", page: Path | None
) -> None:
    """Write the table as CSV and Markdown, and print it or put it into a page."""
    from training.atomic_write import write_atomically
    from training.experiments.pages.markdown import markers, rewrite
    from training.experiments.pages.render import as_csv, markdown, table_entries
    from training.experiments.run import is_first

    if not is_first():
        return
    entries = table_entries(job, folder, reasons)
    text, name = markdown(job, folder, entries), job.request.table
    write_atomically(folder.path / f"table_{name}.csv", as_csv(job, entries).encode())
    write_atomically(folder.path / f"table_{name}.md", text.encode())
    if page is None:
        typer.echo(text)
    else:
        rewrite(page, text, markers(f"table {name}"))


def _draw(job: "TableJob", folder: "ResultFolder", cache: Path, picture: Path | None) -> None:
    """Write the picture in the first of several processes, if one is requested."""
    from training.experiments.pages.paired_differences import draw
    from training.experiments.run import is_first

    if picture is not None and is_first():
        draw(job, folder, cache, picture)


@contextmanager
def _described() -> Iterator[None]:
    """Describe a value that is refused in one line.

    Raises:
        RadiographError: the value, and the reason.
    """
    from training.config.files import describe_error

    try:
        yield
    except ValueError as error:
        raise RadiographError("; ".join(describe_error(error).splitlines())) from error


def _request(
    number: str,
    fractions: Sequence[float] | None,
    seeds: str | None,
    protocol: Protocols,
    detector: Detectors,
    only: Sequence[str] | None,
) -> "TableRequest":
    """Return the table that the options ask for."""
    from training.experiments.plan import TableRequest

    protocols: tuple[Protocol, ...]
    protocols = ("sound", "mgca") if protocol == "both" else (protocol,)
    restricted = tuple(only or ())
    return TableRequest(
        number, tuple(fractions or ()), _seeds(seeds), protocols, detector, restricted
    )


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


def _checkpoints(arms: Sequence[str], pretrained: Path | None) -> dict[str, Path]:
    """Parse NAME=CHECKPOINT of each arm, and add the pre-training if it is given."""
    from training.experiments.plan import PRETRAINED

    found = {}
    for text in arms:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise typer.BadParameter(f"--arm {text} is not of the form NAME=CHECKPOINT")
        found[name] = Path(path)
    return found | ({PRETRAINED: pretrained} if pretrained else {})
