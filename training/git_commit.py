"""The git commit that a run or a version comes from."""

import subprocess
from pathlib import Path


def current_commit() -> str:
    """Return the commit of the checkout that this code runs from; `unknown` without one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - the git on the caller's path
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
