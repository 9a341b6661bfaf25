"""Run of the disturbances: one service for each, its clients, and a table of what was counted."""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.disturbances import page, scenarios
from bench.disturbances.files import MEDIA_TYPE, PATH, File, KnownAnswers, radiographs
from bench.disturbances.load import COUNTS, Load, Settlement, Tally
from bench.disturbances.scenarios import CannotRun, NotAsExpected, Stage
from bench.disturbances.subject import NotReady, Subject, body_files
from bench.reporting import machine

_SETTLE_S = 600.0


@dataclass(frozen=True)
class Options:
    """The run: model, duration, clients and files.

    Attributes:
        models_dir: model repository.
        model: name of the model.
        seconds: duration of each disturbance.
        clients: clients that send requests.
        senders: clients that send jobs.
        files: number of different files.
    """

    models_dir: Path
    model: str
    seconds: float
    clients: int
    senders: int
    files: int


@dataclass(frozen=True)
class Result:
    """Outcome of one disturbance.

    Attributes:
        name: name of the scenario.
        counts: counts by name; empty if it was skipped.
        left: files of jobs that were left although every job had finished.
        remark: what was done, or why it could not be.
        held: nothing was lost, doubled, mixed up, wrong or left; None if it was skipped.
    """

    name: str
    counts: dict[str, int]
    left: int
    remark: str
    held: bool | None


def main(description: str, arguments: list[str] | None = None) -> int:
    """Run the scenarios: 0 if all held, 1 if one did not, 3 if none could run."""
    given = _parser(description).parse_args(arguments)
    options = Options(
        given.models_dir.resolve(),
        given.model,
        1.5 if given.quick else given.seconds,
        2 if given.quick else given.clients,
        1 if given.quick else given.senders,
        4 if given.quick else given.files,
    )
    results, text = [], ""
    for name in given.only:
        results.append(measure(name, options))
        print(page.line(results[-1]), file=sys.stderr, flush=True)
        text = page.markdown(results, machine.facts(), options)
        if given.write is not None:  # a run that is stopped leaves what it has measured
            given.write.write_text(text)
    if given.write is None:
        print(text)
    held = [result.held for result in results if result.held is not None]
    return 3 if not held else int(not all(held))


def measure(name: str, options: Options) -> Result:
    """Run one scenario with a service, folders and clients of its own."""
    tally, remark = Tally(), ""
    left, expected = 0, True
    with tempfile.TemporaryDirectory(prefix="disturbances-") as work:
        try:
            with _stage(name, options, Path(work)) as stage:
                tally = stage.load.tally
                started = time.monotonic()
                stage.load.start()
                time.sleep(options.seconds / 4)
                try:
                    remark = scenarios.SCENARIOS[name](stage)
                except (NotAsExpected, NotReady) as error:
                    remark, expected = str(error), False
                stage.load.stop()
                Settlement(stage.subject, stage.known, tally).settle(stage.load.sent, _SETTLE_S)
                left, halves = body_files(stage.folder)
                cut = f"; {halves} uploads were cut off, to be swept" if halves else ""
                remark = f"{remark}{cut}; {time.monotonic() - started:.0f} s"
        except CannotRun as error:
            return Result(name, {}, 0, f"skipped: {error}", None)
        except NotReady as error:
            return Result(name, {}, 0, f"the service does not start: {error}", held=False)
    notes = "; ".join(f"{note} x {count}" for note, count in sorted(tally.notes.items()))
    clean = not left or name in scenarios.LEAVE_BODIES
    held = expected and clean and not tally.faults() and tally.answered > 0
    counts = {count: getattr(tally, count) for count in COUNTS}
    return Result(name, counts, left, f"{remark}; {notes}" if notes else remark, held)


@contextlib.contextmanager
def _stage(name: str, options: Options, work: Path) -> Iterator[Stage]:
    """Start the service, learn its answers while it is calm, and yield it with its clients."""
    folders = {"jobs": work / "jobs", "models": work / "models"}
    with contextlib.ExitStack() as stack:
        if (small := scenarios.SMALL_DISKS.get(name)) is not None:
            stack.enter_context(scenarios.small_disk(folders[small], _disk_mib(small, options)))
        shutil.copytree(options.models_dir, folders["models"], dirs_exist_ok=True)
        environment = _settings(name, options, folders)
        if name == "clock_jumps":
            environment |= scenarios.clock_settings(work / "clock")
        subject = Subject(environment)
        stack.callback(subject.close)
        subject.start()
        files = radiographs(options.files)
        known = _learn(subject, files)
        yield Stage(
            subject,
            Load(subject, files, known, options.clients, options.senders),
            known,
            folders["jobs"],
            folders["models"],
            options.model,
            options.seconds,
            work / "clock",
        )


def _settings(name: str, options: Options, folders: dict[str, Path]) -> dict[str, str]:
    return {
        "G2D_MODELS_DIR": str(folders["models"]),
        "G2D_DEFAULT_MODEL": options.model,
        "G2D_JOBS_DIR": str(folders["jobs"]),
        "G2D_JOBS_MIN_FREE_BYTES": "0",
        "G2D_JOBS_LIST": "true",  # an anonymous client finds the job of its key among all of them
        "G2D_JOBS_LEASE_S": "5",
        "G2D_MAX_BATCH": "1",  # the last digits of an answer depend on the batch
        "G2D_VARIANT": "float32",
        "G2D_THREADS": "1",
        "G2D_DECODE_WORKERS": "2",
        "G2D_LOG_LEVEL": "warning",
        "G2D_ADMIN_TOKEN": scenarios.TOKEN,
        **scenarios.SETTINGS.get(name, {}),
    }


def _disk_mib(small: str, options: Options) -> int:
    """Return the size of a small disk: for models, what they take and a little more."""
    if small == "jobs":
        return scenarios.DISK_MIB
    size = sum(path.stat().st_size for path in options.models_dir.rglob("*") if path.is_file())
    return size // 2**20 + 4


def _learn(subject: Subject, files: tuple[File, ...]) -> KnownAnswers:
    known = KnownAnswers()
    for file in files:
        response = subject.ask("POST", PATH, file.data, {"Content-Type": MEDIA_TYPE})
        if response.status != 200:
            raise NotReady(f"a calm service answered {response.status}: {response.body[:200]!r}")
        known.add(file, response.body)
    return known


def _parser(description: str) -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    line = argparse.ArgumentParser(description=description, formatter_class=formatter)
    names = tuple(scenarios.SCENARIOS)
    line.add_argument(
        "--only", type=_names, default=names, help=f"comma-separated scenarios: {', '.join(names)}"
    )
    line.add_argument("--models-dir", type=Path, default=Path("models"), help="model repository")
    line.add_argument("--model", default="g2d-cxr", help="name of the model")
    line.add_argument("--seconds", type=float, default=20.0, help="duration of each disturbance")
    line.add_argument("--clients", type=int, default=4, help="clients that send requests")
    line.add_argument("--senders", type=int, default=2, help="clients that send jobs")
    line.add_argument("--files", type=int, default=8, help="number of different files")
    line.add_argument("--quick", action="store_true", help="short and small, to see that all runs")
    line.add_argument("--write", type=Path, help="file to write the page to")
    return line


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := sorted(set(names) - set(scenarios.SCENARIOS)):
        raise argparse.ArgumentTypeError(f"not known: {', '.join(unknown)}")
    return names
