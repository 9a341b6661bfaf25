"""Processes with limits end, or are refused, whatever their code does."""

import signal
import subprocess
import sys

import pytest


def run(program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in a process of its own, which imports the limits."""
    begin = "import os, resource\nfrom service import process_limits as limits\n"
    command = [sys.executable, "-c", begin + program]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_memory_beyond_the_limit_is_refused() -> None:
    done = run(
        "limits.limit_memory(64 << 20)\n"
        "kept = [bytearray(1 << 20) for _ in range(32)]\n"
        "try:\n    bytearray(64 << 20)\n"
        "except MemoryError:\n    print('refused')"
    )
    assert done.stdout == "refused\n"


def test_a_process_that_computes_for_ever_is_ended() -> None:
    done = run("limits.limit_cpu(1)\nwhile True: pass")
    assert done.returncode == -signal.SIGXCPU


def test_files_beyond_the_limit_are_refused() -> None:
    done = run(
        "limits.limit_open_files(32)\n"
        "opened = []\n"
        "try:\n    opened = [os.pipe() for _ in range(100)]\n"
        "except OSError as error:\n    print(error.errno == 24)"
    )
    assert done.stdout == "True\n"


@pytest.mark.parametrize("limit", ["RLIMIT_CORE", "RLIMIT_NOFILE"])
def test_the_hard_limit_is_lowered_as_well(limit: str) -> None:
    done = run(
        "limits.forbid_core_files()\nlimits.limit_open_files(32)\n"
        f"print(resource.getrlimit(resource.{limit}))\n"
    )
    most = 0 if limit == "RLIMIT_CORE" else 32
    assert done.stdout == f"({most}, {most})\n"
