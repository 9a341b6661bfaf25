"""Latency of one client: start to ready, time by stage and task, and memory."""

from pathlib import Path
from typing import Any

from bench.scenarios.timed_client import COLUMNS, Client, row
from bench.servers.ours import ALL_TASKS, TASKS, Ours
from bench.servers.process import serving

PICTURES = {"segment (PNG)": TASKS["segment"], "ground (PNG)": TASKS["ground"]}


def measure(ours: Ours, file: Path, requests: int) -> dict[str, Any]:
    """Start the service, request every task for one file, and measure its memory.

    Returns:
        A JSON object with `ready_s`, `idle_mib`, `after_mib`, `columns` and a row for each task.
    """
    with serving(ours.start()) as (server, ready_s):
        idle_mib = server.pss_mib()
        client = Client(server.port)
        tasks = {**TASKS, "analyze (all)": ALL_TASKS}
        rows = {
            name: row([client.ask(path, file) for _ in range(requests + 1)][1:])
            for name, path in tasks.items()
        }
        for name, path in PICTURES.items():
            samples = [client.ask(path, file, "image/png") for _ in range(requests + 1)]
            rows[name] = row(samples[1:])
        after_mib = server.pss_mib()
    return {
        "file_mib": file.stat().st_size / 2**20,
        "requests": requests,
        "ready_s": ready_s,
        "idle_mib": idle_mib,
        "after_mib": after_mib,
        "columns": ["median", "p95", *COLUMNS, "rest"],
        "rows": rows,
    }
