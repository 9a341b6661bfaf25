"""Facts about the host: usable CPUs and files, decoders, the state folder, a full disk."""

import errno
import math
import os
import resource
from pathlib import Path

_UNLIMITED_CPUS = 1024
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FEWEST_CONNECTIONS, _MOST_CONNECTIONS = 16, 8192


def state_dir() -> Path:
    """Return the folder for data that must outlive the process (XDG Base Directory)."""
    given = os.environ.get("XDG_STATE_HOME", "")
    return (Path(given) if given else Path.home() / ".local" / "state") / "g2d"


def is_disk_full(error: OSError) -> bool:
    """Return whether an error says that a disk, a quota or a file has no room left."""
    return error.errno in _DISK_FULL


def decoder_processes() -> int:
    """Return one decoder process for each CPU, or 0 on a system without memfd and pidfd."""
    able = hasattr(os, "memfd_create") and hasattr(os, "pidfd_open")
    return available_cpus() if able else 0


def most_connections() -> int:
    """Return the connections for which the limit of this process on open files has room.

    A quarter of the files, and at least 128, is left to models, decoders, database and spool.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(_FEWEST_CONNECTIONS, min(_MOST_CONNECTIONS, files - max(128, files // 4)))


def available_cpus() -> int:
    """Return the CPUs that this process may use: its affinity, capped by the container's quota."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(affinity or 1, _cgroup_cpus()))


def _cgroup_cpus(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return the CPU quota of control group v2 (`cpu.max`: quota and period), rounded up."""
    try:
        quota, period = path.read_text().split()
    except (OSError, ValueError):
        return _UNLIMITED_CPUS
    return _UNLIMITED_CPUS if quota == "max" else math.ceil(int(quota) / int(period))
