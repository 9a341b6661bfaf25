"""Command-line options of the benchmark."""

import argparse
import os
import sys
from pathlib import Path

from bench.servers.subjects import PEERS

PARTS = ("stages", "single", "overload", "memory", "swaps", "compare")
_QUICK = {"rounds": 1, "seconds": 2.0, "requests": 5, "memory_requests": 100, "swaps": 6}


def parser(description: str) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    line = argparse.ArgumentParser(description=description, formatter_class=formatter)
    _add_subjects(line.add_argument_group("what is measured"))
    _add_loads(line.add_argument_group("how it is loaded"))
    _add_outputs(line.add_argument_group("output"))
    return line


def _add_subjects(group: argparse._ArgumentGroup) -> None:
    add, threads = group.add_argument, len(os.sched_getaffinity(0))
    parts, peers = ",".join(PARTS), ",".join(PEERS)
    add("--only", type=_List(PARTS), default=PARTS, help=f"comma-separated parts, out of {parts}")
    add(
        "--peers",
        type=_List(tuple(PEERS)),
        default=tuple(PEERS),
        help=f"comma-separated peers to compare with, out of {peers}",
    )
    add("--models-dir", type=Path, default=Path("models"), help="folder of the model repository")
    add("--model", default="g2d-cxr", help="name of the model")
    add("--version", default="stable", help="number or alias of the version that all subjects load")
    add("--threads", type=int, default=threads, help="threads that each subject may use")
    add("--batch", type=int, default=8, help="largest batch of the peers that form batches")
    add("--python", default=sys.executable, help="Python interpreter that runs the service")
    add(
        "--setting",
        type=_setting,
        action="append",
        default=[],
        help="service setting G2D_NAME=VALUE; repeatable",
    )


def _add_loads(group: argparse._ArgumentGroup) -> None:
    add, files = group.add_argument, "radiographs to send instead of synthetic ones"
    add("--file", "--files", dest="files", type=Path, nargs="+", default=[], help=files)
    add("--clients", type=int, default=16, help="clients of the closed loops")
    add("--rounds", type=int, default=5, help="rounds of the comparison")
    add("--seconds", type=float, default=5.0, help="seconds for each subject in a round")
    add("--requests", type=int, default=30, help="requests of the single client for each task")
    add("--limit-s", type=float, default=2.0, help="longest latency that counts as goodput")
    add(
        "--memory-requests",
        type=int,
        default=5000,
        help="requests of the memory check; 100000 take half an hour",
    )
    add("--swaps", type=int, default=100, help="alias changes under load")
    add("--quick", action="store_true", help="short rounds, to see that all runs; results are void")


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--json", type=Path, help="file to write the measurements to")
    add("--plot", type=Path, help="file to draw the plot to, .svg or .png")
    add("--write", type=Path, help="file to write the page to, with plot and measurements beside")
    add("--render", type=Path, help="measurements of an earlier run to render; measures nothing")


def read(description: str, arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; `--quick` and `--write` provide defaults of other options."""
    line = parser(description)
    if line.parse_args(arguments).quick:
        line.set_defaults(**_QUICK)
    options = line.parse_args(arguments)
    if options.write is not None:
        options.json = options.json or options.write.with_suffix(".json")
        options.plot = options.plot or options.write.with_suffix(".svg")
    for path in (options.json, options.plot, options.write):
        if path is not None:  # fail now, not after an hour of measuring
            path.parent.mkdir(parents=True, exist_ok=True)
    return options


class _List:
    """Converter of a comma-separated list of known names."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known

    def __call__(self, text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        if unknown := sorted(set(names) - set(self._known)):
            raise argparse.ArgumentTypeError(f"not known: {', '.join(unknown)}")
        return names


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name.startswith("G2D_") or not separator:
        raise argparse.ArgumentTypeError("a setting is G2D_NAME=VALUE")
    return name, value
