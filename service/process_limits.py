"""Limits of a process that handles what is not trusted: memory, CPU time, open files, no core.

The operating system enforces them, so they hold whatever the code does. A limit cannot be raised
again. Child processes inherit limits.
"""

import resource


def forbid_core_files() -> None:
    """Write no core file when the process crashes: it would hold a patient's image."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_memory(size: int) -> None:
    """Limit further allocations to `size` bytes; neither code nor shared memory counts."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no pathlib here
        used = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
    limit = used * 1024 + size
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def limit_cpu(seconds: int) -> None:
    """Limit further CPU time of all threads together; SIGXCPU ends the process after it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))


def limit_open_files(most: int) -> None:
    """Limit the files, sockets included, that are open at the same time."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
