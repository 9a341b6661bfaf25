"""Network namespaces: Orthanc listens on every address, whatever its settings say."""

import os
import shutil
import subprocess
import sys

_INSIDE = "G2D_INSIDE_NAMESPACE"


def enter(module: str) -> None:
    """Run a module again in a network namespace of its own, unless it is in one."""
    if os.environ.get(_INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607
        return
    os.environ[_INSIDE] = "1"
    command = [sys.executable, "-m", module, *sys.argv[1:]]
    os.execvp("unshare", ["unshare", "--net", *command])  # noqa: S606, S607


def missing(*programs: str) -> str | None:
    """Return why programs cannot run in a network namespace here, or None."""
    for program in (*programs, "unshare", "ip"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    trial = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)  # noqa: S607
    return "no network namespace can be made" if trial.returncode else None
