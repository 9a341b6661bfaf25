"""Confinement of a container without an engine: namespaces that any user may make.

    new user and mount namespace --every mount read-only, declared folders excepted-->
    new user namespace as uid 10001 --no capabilities, no new privileges--> the command

To the command it is as in `docker run --read-only --cap-drop ALL --user 10001`, except that it sees
the files of the host.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

USER = 10001
_PROGRAMS = ("bash", "unshare", "setpriv", "mount")
_SCRIPT = f"""
while [ "$1" != -- ]; do mount --bind "$1" "$1"; writable+=("$1"); shift; done; shift
while read -r _ _ _ _ place _; do
  case "$place" in /proc|/proc/*|/dev|/dev/*|/sys|/sys/*) continue ;; esac
  for folder in "${{writable[@]}}"; do [ "$place" != "$folder" ] || continue 2; done
  mount -o remount,bind,ro "$place" 2>/dev/null || [ "$place" != / ]
done < /proc/self/mountinfo
exec unshare --user --map-user={USER} --map-group={USER} setpriv --no-new-privs "$@"
"""


def confined(writable: Sequence[Path], command: Sequence[str]) -> list[str]:
    """Return the command that runs another one confined, in the same process.

    Args:
        writable: the only folders that may be written.
        command: command and its arguments.
    """
    begin = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]
    folders = [str(folder) for folder in writable]
    return [*begin, "bash", "-euc", _SCRIPT, "-", *folders, "--", *command]


def missing(folder: Path) -> str | None:
    """Return why nothing can be confined here, or None.

    Args:
        folder: a folder that may be written.
    """
    for program in _PROGRAMS:
        if shutil.which(program) is None:
            return f"{program} is not installed"
    trial = subprocess.run(confined([folder], ["true"]), check=False, capture_output=True)
    if trial.returncode:
        said = trial.stderr.decode(errors="replace").strip().splitlines()
        return f"namespaces cannot be made here: {said[-1] if said else trial.returncode}"
    return None
