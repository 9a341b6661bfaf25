"""Disturbances, one function each: what is done to the service while the clients go on.

Each gets a `Stage`: the running service, its folders, and the time that the disturbance lasts. A
disturbance leaves the service running and undisturbed.
"""

import contextlib
import io
import json
import random
import shutil
import socket
import sqlite3
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from PIL import Image

from bench.disturbances.files import MEDIA_TYPE, PATH, KnownAnswers
from bench.disturbances.load import Load, Settlement
from bench.disturbances.subject import Subject
from bench.load.http1 import HOST

DISK_MIB, _RESERVE_MIB = 32, 12
"""Size of the disk of jobs, and what no upload may use of it: ballast takes that too. Bodies alone
would otherwise fill a disk of which nothing can be removed afterwards."""
TOKEN = "disturbances-of-the-service"  # noqa: S105 - of a service that lives for a minute
_CLOCK_LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"
_OVERLOAD = 10
_SPARED_S = 2.0
_DAY_S = 86_400
_OUT_OF_MEMORY_PX = 7000


class CannotRun(Exception):
    """The machine does not allow a disturbance; the message says why."""


class NotAsExpected(Exception):
    """The service did not react to a disturbance as it should."""


@dataclass(frozen=True)
class Stage:
    """Everything that a disturbance may touch.

    Attributes:
        subject: the running service.
        load: the clients that go on meanwhile.
        known: the known answers.
        folder: folder of the jobs.
        models: folder of the model repository, which may be written.
        model: name of the default model.
        seconds: duration of the disturbance.
        clock: file that shifts the clock of the service.
    """

    subject: Subject
    load: Load
    known: KnownAnswers
    folder: Path
    models: Path
    model: str
    seconds: float
    clock: Path


def decoders_killed(stage: Stage) -> str:
    """Kill decoder processes, and their fork server at times."""
    chosen, killed = random.Random(0), 0  # noqa: S311 - repeatable, not secret
    for _ in _until(stage.seconds, 0.5):
        # Not before the last victim was replaced for a while: a file is given up once two decoders
        # in a row have died of it.
        processes = stage.subject.decoders()
        if len(processes) > 1 and all(_age_s(process) > _SPARED_S for process in processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                chosen.choice(processes).kill()
                killed += 1
    return f"{killed} processes killed"


def service_killed(stage: Stage) -> str:
    """End the service with SIGKILL twice, and start it again."""
    for _ in range(2):
        time.sleep(stage.seconds / 2)
        stage.subject.kill()
        stage.subject.start()
    return "killed twice"


def sigterm(stage: Stage) -> str:
    """Stop the service with SIGTERM under load, and start it again."""
    time.sleep(stage.seconds / 2)
    broken = stage.load.tally.broken
    took_s = stage.subject.terminate()
    cut = stage.load.tally.broken - broken
    stage.subject.start()
    time.sleep(stage.seconds / 2)
    return f"stopped after {took_s:.1f} s; {cut} connections refused meanwhile"


def disk_full(stage: Stage) -> str:
    """Fill the disk of bodies and database, and make room again."""
    ballast = stage.folder / "ballast"
    written = _fill(ballast)
    time.sleep(stage.seconds)
    ballast.unlink()
    _expect_job_accepted(stage)
    return f"{written / 2**20:.0f} MiB of ballast"


def models_full(stage: Stage) -> str:
    """Fill the disk of the model repository, try to move an alias, and make room again."""
    ballast = stage.models / "ballast"
    _fill(ballast)
    path = f"/v1/models/{stage.model}/aliases"
    aliases = (stage.models / stage.model / "aliases.json").read_bytes()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    now = stage.subject.ask("GET", f"{path}/stable", headers=headers)
    version = json.loads(now.body)["answering"]
    body = json.dumps({"version": version}).encode()
    headers["If-None-Match"] = "*"
    moved = stage.subject.ask("PUT", f"{path}/full-disk", body, headers)
    time.sleep(stage.seconds)
    ballast.unlink()
    unchanged = (stage.models / stage.model / "aliases.json").read_bytes() == aliases
    if moved.status != 507 or not unchanged:
        raise NotAsExpected(f"a move of an alias was answered with {moved.status}")
    return f"a move of an alias was answered with {moved.status}"


def memory_limit(stage: Stage) -> str:
    """Send files that need more memory than a decoder may use."""
    body = _huge_png()
    answers: Counter[str] = Counter()
    for _ in _until(stage.seconds, 0.5):
        answer = stage.subject.ask("POST", PATH, body, {"Content-Type": "image/png"})
        answers[f"{answer.status} {answer.json().get('detail', '')}"] += 1
    found = "; ".join(f"{text} x {count}" for text, count in sorted(answers.items()))
    if any(not text.startswith(("400", "413", "503")) for text in answers):
        raise NotAsExpected(f"files beyond the limit were answered with {found}")
    return found


def clock_jumps(stage: Stage) -> str:
    """Set the clock of the service back by 16 days, forward by 400, and right again."""
    for days in (-16, 400, 0):
        stage.clock.write_text(f"{days * _DAY_S:+d}")
        time.sleep(stage.seconds / 3)
        _expect_job_accepted(stage)
    return "-16 days, +400 days, and right again"


def database_locked(stage: Stage) -> str:
    """Hold the write lock of the database."""
    with contextlib.closing(sqlite3.connect(stage.folder / "jobs.sqlite", timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(stage.seconds)
        other.rollback()
    _expect_job_accepted(stage)
    return f"locked for {stage.seconds:g} s"


def database_corrupt(stage: Stage) -> str:
    """Damage the database of a stopped service; jobs are refused until it is removed."""
    stage.load.stop()
    Settlement(stage.subject, stage.known, stage.load.tally).settle(stage.load.sent, 300)
    stage.load.sent.clear()  # judged; what the database held is lost on purpose
    stage.subject.terminate()
    database = stage.folder / "jobs.sqlite"
    database.write_bytes(b"noise" * (database.stat().st_size // 5))
    stage.subject.start()
    refused = _send_job(stage)
    if refused != 503:
        raise NotAsExpected(f"a job for a damaged database was answered with {refused}")
    answer = stage.subject.ask(
        "POST", PATH, stage.load.files[0].data, {"Content-Type": MEDIA_TYPE}
    ).status
    database.unlink()
    _expect_job_accepted(stage)
    return f"jobs 503, requests {answer}; jobs again once the file was removed"


def storage_removed(stage: Stage) -> str:
    """Remove the folder of jobs while the service runs; what it held is lost on purpose."""
    stage.load.stop()
    Settlement(stage.subject, stage.known, stage.load.tally).settle(stage.load.sent, 300)
    stage.load.sent.clear()
    shutil.rmtree(stage.folder)
    first = _send_job(stage)
    if first not in (202, 503):
        raise NotAsExpected(f"a job without a folder was answered with {first}")
    _expect_job_accepted(stage)
    return f"the next job was answered with {first}, then accepted"


def slow_clients(stage: Stage) -> str:
    """Open connections that send a byte at a time, or leave in the middle of a body."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: 99999"
    with contextlib.ExitStack() as stack:
        slow: list[socket.socket] = []
        for _ in _until(stage.seconds, 0.1):
            connection = socket.create_connection((HOST, stage.subject.port), timeout=60)
            connection.sendall(head.encode() + b"\r\n\r\n" + bytes(200))
            if len(slow) < 50:
                slow.append(stack.enter_context(connection))
            else:
                connection.close()
            for other in slow:
                with contextlib.suppress(OSError):
                    other.send(b"x")
    return f"{len(slow)} slow clients, and others that left"


def overload(stage: Stage) -> str:
    """Send ten times as many requests at a time."""
    clients = _OVERLOAD * stage.load.clients
    more = Load(stage.subject, stage.load.files, stage.known, clients, senders=2)
    more.start()
    time.sleep(stage.seconds)
    more.stop()
    stage.load.sent += more.sent
    stage.load.tally.absorb(more.tally)
    return f"{more.tally.requests} further requests, {more.tally.refused} refused"


SCENARIOS: dict[str, Callable[[Stage], str]] = {
    "decoders_killed": decoders_killed,
    "service_killed": service_killed,
    "sigterm": sigterm,
    "disk_full": disk_full,
    "models_full": models_full,
    "memory_limit": memory_limit,
    "clock_jumps": clock_jumps,
    "database_locked": database_locked,
    "database_corrupt": database_corrupt,
    "storage_removed": storage_removed,
    "slow_clients": slow_clients,
    "overload": overload,
}
SETTINGS: dict[str, dict[str, str]] = {
    "disk_full": {"G2D_JOBS_MIN_FREE_BYTES": str(_RESERVE_MIB * 2**20)},
    "memory_limit": {"G2D_DECODE_MEMORY_BYTES": str(64 * 2**20)},
    "slow_clients": {"G2D_BODY_TIMEOUT_S": "3"},
    "overload": {"G2D_WAITING": "8"},
}
LEAVE_BODIES = frozenset({"service_killed"})
"""Scenarios after which a body may be left, kept but not accepted: it is swept later."""
SMALL_DISKS = {"disk_full": "jobs", "models_full": "models"}
"""Scenarios that need a small disk of their own, and what lies on it."""


def clock_settings(clock: Path) -> dict[str, str]:
    """Return the variables by which libfaketime shifts the clock of a process.

    Raises:
        CannotRun: libfaketime is not installed.
    """
    found = sorted(Path("/").glob(_CLOCK_LIBRARIES.lstrip("/")))
    if not found:
        raise CannotRun("libfaketime is not installed (Debian package `libfaketime`)")
    clock.write_text("+0")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@contextlib.contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[None]:
    """Mount a file system in memory on a folder.

    Raises:
        CannotRun: mounting is not allowed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        raise CannotRun("a small disk cannot be mounted here (it needs root)")
    try:
        yield
    finally:
        command = ["umount", "--lazy", str(folder)]
        subprocess.run(command, check=False, capture_output=True)


def _until(seconds: float, pause_s: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(pause_s)


def _age_s(process: psutil.Process) -> float:
    try:
        return float(time.time() - process.create_time())
    except psutil.NoSuchProcess:
        return 0.0


def _fill(path: Path) -> int:
    """Write a file until the disk is full, and return its size."""
    written = 0
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while count := file.write(bytes(4096)):
            written += count
    return written


def _send_job(stage: Stage) -> int:
    """Send one job, and return the status of the answer."""
    return stage.load.offer(stage.load.files[:2], uuid.uuid4().hex)


def _huge_png() -> bytes:
    """Return a small file that needs 100 MB once it is decoded."""
    buffer = io.BytesIO()
    Image.new("L", (_OUT_OF_MEMORY_PX, _OUT_OF_MEMORY_PX)).save(buffer, "PNG")
    return buffer.getvalue()


def _expect_job_accepted(stage: Stage, limit_s: float = 120.0) -> None:
    """Send a job until it is accepted, as a client that was refused would."""
    statuses = set()
    for _ in _until(limit_s, 0.5):
        status = _send_job(stage)
        if status == 202:
            return
        statuses.add(status)
    raise NotAsExpected(f"no job is accepted afterwards: {sorted(statuses)}")
