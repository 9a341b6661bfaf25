"""Run the requested parts of the benchmark one after the other, and write the results.

stages     start to ready, time by stage, memory; decoding in units of one look-up
single     one client: overhead, repeated phrase, all tasks in one request
overload   peak load, twice that load, liveness
memory     memory over many requests
swaps      an alias moved under load, on a temporary repository
compare    service, peers and bare runtime in interleaved rounds
"""

import argparse
import functools
import json
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import options as command_line
from bench.inputs import Inputs, prepare
from bench.reporting import checks, machine, report
from bench.scenarios import (
    comparison,
    decoding,
    memory,
    overload,
    single_client,
    stages,
    version_swaps,
)
from bench.servers.ours import Ours
from bench.servers.process import ROOT, CannotStart, serving
from bench.servers.subjects import NotInstalled, environment
from radiograph.repository.repository import Repository

Figures = dict[str, Any]


def main(description: str) -> int:
    """Measure and write; return 1 if a service goal is missed, else 0."""
    options = command_line.read(description)
    signal.signal(signal.SIGTERM, _end)
    if options.render is not None:
        figures = json.loads(options.render.read_text())
    else:
        figures = measure(options)
    write(options, figures)
    return int(any(check["held"] is False for check in figures["checks"]))


def _end(_number: int, _frame: object) -> None:
    """Exit by an exception, so that the servers are stopped on the way out."""
    sys.exit(143)


def measure(options: argparse.Namespace) -> Figures:
    """Run the requested parts and return their measurements."""
    started = time.time()
    repository = Repository(options.models_dir)
    number = repository.resolve(options.model, options.version)
    folder = repository.folder(options.model, number)
    ours = Ours(
        options.models_dir,
        options.model,
        options.threads,
        options.python,
        {"G2D_DEFAULT_ALIAS": options.version, **dict(options.setting)},
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        work = Path(temporary)
        inputs = prepare(work, options.files)
        figures: Figures = {"checks": []}
        for part in options.only:
            print(f"{time.time() - started:4.0f} s: {part}", file=sys.stderr)
            call = functools.partial(PARTS[part], options, ours, folder, inputs, work)
            _attempt(part, call, figures)
    return {
        "at": started,
        "took_s": time.time() - started,
        "command": shlex.join(["python", "bench/service.py", *_without_paths(sys.argv[1:])]),
        "machine": machine.facts(),
        "model": {
            "name": options.model,
            "version": number,
            "digest": repository.digest(options.model, number),
        },
        "inputs": inputs.what,
        "threads": options.threads,
        **figures,
    }


Measurement = Callable[[argparse.Namespace, Ours, Path, Inputs, Path], Figures]


def _attempt(name: str, part: Callable[[], Figures], figures: Figures) -> None:
    """Run one part; a part that cannot be measured costs its own lines, not the whole run."""
    try:
        found = part()
    except (CannotStart, OSError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.code, str):
            raise
        found = {"checks": [checks.not_measured(name, "", str(error))]}
    figures["checks"] += [check.to_json() for check in found.pop("checks", ())]
    figures.update(found)


def _stages(
    options: argparse.Namespace, ours: Ours, _folder: Path, inputs: Inputs, _work: Path
) -> Figures:
    found, figures = decoding.measure(inputs.dicom, options.requests)
    latencies = stages.measure(ours, inputs.dicom, options.requests)
    return {
        "checks": [*found, *stages.overlay_checks(latencies["rows"])],
        "stages": latencies,
        "encoders": stages.measure_encoders(inputs.dicom, options.requests),
        **figures,
    }


def _single(
    options: argparse.Namespace, ours: Ours, _folder: Path, inputs: Inputs, _work: Path
) -> Figures:
    with serving(ours.start()) as (server, _):
        return {"checks": single_client.check(server.port, inputs.small, options.requests)}


def _overload(
    options: argparse.Namespace, ours: Ours, _folder: Path, inputs: Inputs, _work: Path
) -> Figures:
    seconds = 2 * options.seconds
    with serving(ours.start()) as (server, _):
        found, figures = overload.measure(
            server.port, inputs.small, options.clients, seconds, options.limit_s
        )
    return {"checks": found, "overload": figures}


def _memory(
    options: argparse.Namespace, ours: Ours, _folder: Path, inputs: Inputs, _work: Path
) -> Figures:
    with serving(ours.start()) as (server, _):
        found, figures = memory.measure(server, inputs.small, options.memory_requests)
    return {"checks": found, "memory": figures}


def _swaps(
    options: argparse.Namespace, ours: Ours, folder: Path, inputs: Inputs, work: Path
) -> Figures:
    found, figures = version_swaps.measure(ours, folder, inputs.small, options.swaps, work)
    return {"checks": found, "swaps": figures}


def _compare(
    options: argparse.Namespace, ours: Ours, folder: Path, inputs: Inputs, work: Path
) -> Figures:
    plan = comparison.Plan(
        options.rounds, options.seconds, options.clients, options.batch, options.peers
    )
    found = comparison.measure(ours, folder, inputs.small, plan, work)
    return {"checks": checks.from_comparison(found), "compare": found}


PARTS: dict[str, Measurement] = {
    "stages": _stages,
    "single": _single,
    "overload": _overload,
    "memory": _memory,
    "swaps": _swaps,
    "compare": _compare,
}


def write(options: argparse.Namespace, figures: Figures) -> None:
    """Write the page, the measurements and the plot."""
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    drawn = options.plot is not None and "compare" in figures and _draw(options.plot, figures)
    page = report.markdown(figures, options.plot.name if drawn else None)
    if options.write is not None:
        options.write.write_text(page)
    else:
        print(page)


def _draw(picture: Path, figures: Figures) -> bool:
    """Draw the plot in the environment that has matplotlib; return whether it was drawn."""
    try:
        python = environment("plot")
    except NotInstalled as error:
        print(f"no plot: {error}", file=sys.stderr)
        return False
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(figures, file)
        file.flush()
        command = [python, "-m", "bench.reporting.plot", file.name, str(picture.resolve())]
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _without_paths(arguments: list[str]) -> list[str]:
    """Shorten absolute paths to their names; the page shows no paths of the machine."""
    return [Path(text).name if text.startswith("/") else text for text in arguments]
