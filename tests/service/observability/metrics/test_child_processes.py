"""Child processes are counted with their memory."""

import os
import subprocess
import sys
from pathlib import Path

from service.observability.metrics.child_processes import ChildProcesses


def values(processes: ChildProcesses) -> dict[str, float]:
    return {family.name: family.samples[0].value for family in processes.collect()}


def test_the_memory_of_child_processes_is_counted() -> None:
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        found, alone = values(ChildProcesses()), values(ChildProcesses(pid=child.pid))
        child.communicate(b"\n")
    assert found["g2d_child_processes"] >= 1
    assert found["g2d_child_processes_memory_bytes"] > 0
    assert alone == {"g2d_child_processes": 0, "g2d_child_processes_memory_bytes": 0}


def test_a_system_without_proc_reports_no_children(tmp_path: Path) -> None:
    assert set(values(ChildProcesses(tmp_path, os.getpid())).values()) == {0}
