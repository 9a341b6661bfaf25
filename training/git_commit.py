"""The commit of the repository that a run or a version comes from."""

import subprocess
from pathlib import Path


def current_commit() -> str:
    """Commit of the checkout that this code runs from; `unknown` where there is none."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git the caller has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
