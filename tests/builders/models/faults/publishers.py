"""Processes that publish or move aliases, for tests of races and of processes that are killed."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def child(code: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start a Python process that communicates over pipes."""
    preamble = """
import os, signal, sys
from pathlib import Path
from radiograph.repository.repository import Repository
from tests.builders.models.versions.small_version import NAME, manifest_of
repository, stage = Repository(Path(sys.argv[1])), Path(sys.argv[2])
def stop(*_):
    print("here", flush=True)
    signal.pause()
"""
    return subprocess.Popen(
        [sys.executable, "-c", preamble + code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def race(code: str, arguments: Sequence[Sequence[object]]) -> list[str]:
    """Start processes that print `ready`, release all of them at once, and return their output."""
    with contextlib.ExitStack() as stack:
        racers = [stack.enter_context(child(code, *given)) for given in arguments]
        for racer in racers:
            stack.callback(racer.kill)
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("\n")
            racer.stdin.flush()
        return [racer.communicate()[0] for racer in racers]


def visible(folder: Path) -> list[str]:
    """List a folder without its hidden lock files and its index."""
    names = (path.name for path in folder.iterdir())
    return sorted(name for name in names if not name.endswith(".lock") and name != "index.json")
