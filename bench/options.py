"""Options of the bench."""

import argparse
import os
import sys
from pathlib import Path

from bench.servers.subjects import PEERS

PARTS = ("stages", "single", "overload", "memory", "swaps", "compare")
_QUICK = {"rounds": 1, "seconds": 2.0, "requests": 5, "memory_requests": 100, "swaps": 6}


def parser(description: str) -> argparse.ArgumentParser:
    """The command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    found = argparse.ArgumentParser(description=description, formatter_class=formatter)
    add = found.add_argument
    add("--only", type=_list(PARTS), default=PARTS, help=f"of {','.join(PARTS)}")
    add("--peers", type=_list(tuple(PEERS)), default=tuple(PEERS), help=f"of {','.join(PEERS)}")
    add("--file", "--files", dest="files", type=Path, nargs="+", default=[], help="radiographs")
    add("--models-dir", type=Path, default=Path("models"))
    add("--model", default="g2d-cxr")
    add("--version", default="stable", help="number or alias that peers and the runtime load")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)), help="for each subject")
    add("--python", default=sys.executable, help="interpreter that runs the service")
    add("--setting", type=_setting, action="append", default=[], help="G2D_NAME=VALUE, repeatable")
    add("--clients", type=int, default=16, help="of the closed loops")
    add("--rounds", type=int, default=5, help="of the comparison")
    add("--seconds", type=float, default=5.0, help="for each subject in a round")
    add("--batch", type=int, default=8, help="largest batch of peers that batch")
    add("--requests", type=int, default=30, help="for each task, one client")
    add("--limit-s", type=float, default=2.0, help="an answer after that is not counted as good")
    add("--memory-requests", type=int, default=5000, help="for the memory check; 100000 is long")
    add("--swaps", type=int, default=100)
    add("--quick", action="store_true", help="short rounds; figures of no worth")
    add("--json", type=Path, help="write the figures there")
    add("--plot", type=Path, help="draw there, .svg or .png")
    add("--write", type=Path, help="write the page there, with plot and figures beside it")
    add("--render", type=Path, help="measure nothing; figures of an earlier run")
    return found


def read(description: str, arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; `--quick` and `--write` fill in what is not given."""
    line = parser(description)
    if line.parse_args(arguments).quick:
        line.set_defaults(**_QUICK)
    options = line.parse_args(arguments)
    if options.write is not None:
        options.json = options.json or options.write.with_suffix(".json")
        options.plot = options.plot or options.write.with_suffix(".svg")
    for path in (options.json, options.plot, options.write):
        if path is not None:  # now, not after everything was measured
            path.parent.mkdir(parents=True, exist_ok=True)
    return options


class _List:
    """A list with commas, of known names."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known

    def __call__(self, text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        if unknown := sorted(set(names) - set(self._known)):
            raise argparse.ArgumentTypeError(f"not known: {', '.join(unknown)}")
        return names


def _list(known: tuple[str, ...]) -> _List:
    return _List(known)


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name.startswith("G2D_") or not separator:
        raise argparse.ArgumentTypeError("a setting is G2D_NAME=VALUE")
    return name, value
