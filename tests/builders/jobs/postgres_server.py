"""A PostgreSQL server for one test session, on a socket in a temporary folder, without network."""

import getpass
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_SETTINGS = "-c listen_addresses= -c fsync=off -c max_connections=60"


def programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`: from the path, or the one that Debian uses."""
    if found := shutil.which("pg_ctl"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return versions[-1].parent if versions else None


def user() -> str | None:
    """Return the user to run the server as: never root, but Debian's `postgres` instead."""
    if os.getuid() != 0:
        return getpass.getuser()
    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else None


@contextmanager
def running(programs: Path, user: str) -> Iterator[str]:
    """Start an empty server, yield the URL of its database, and stop it at the end."""
    with TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        shutil.chown(folder, user)
        folder.chmod(0o755)

        def run(*command: str) -> None:
            subprocess.run(command, user=user, check=True, capture_output=True, cwd=folder)

        data = str(folder / "data")
        control = str(programs / "pg_ctl")
        run(str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "g2d", "-E", "UTF8")
        options = f"{_SETTINGS} -c unix_socket_directories={folder}"
        run(control, "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql+psycopg://g2d@/postgres?host={folder}"
        finally:
            run(control, "-D", data, "-m", "immediate", "stop")
