"""A process that keeps freed memory uses the same pages again."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORK = """
import resource
import sys

from service import malloc

if sys.argv[1] == "kept":
    malloc.keep_freed(64 * 1024 * 1024)
for _ in range(6):  # five blocks of 10 MB each, as decoding a file of 5 MP allocates them
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [b"x" * 10_000_000 for _ in range(5)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    """Return the page faults of the last round of work in a process of its own."""
    command = [sys.executable, "-c", WORK, how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are those of glibc")
def test_kept_pages_are_used_again_without_a_fault() -> None:
    assert page_faults("returned") > 2000
    assert page_faults("kept") < 500
