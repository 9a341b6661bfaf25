"""Description of the machine as far as it explains the results: no host name, path or user."""

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from bench.servers.subjects import NotInstalled, environment

OURS = ("fastapi", "numpy", "onnxruntime", "pillow", "pydicom", "torch", "uvicorn")
PEERS = {"litserve": ("litserve", "onnxruntime"), "mlserver": ("mlserver", "onnxruntime")}
_ASK = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def facts() -> dict[str, Any]:
    """Return processor, memory, system and package versions."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo")),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
    }


def cpu_model(cpuinfo: Path) -> str:
    """Return the model name of the processor."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def versions() -> dict[str, str]:
    """Return package versions of this environment, and of the peers as `package (peer)`."""
    found = {}
    for name in OURS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    for peer, names in PEERS.items():
        found |= {f"{name} ({peer})": number for name, number in _of_peer(peer, names).items()}
    return found


def _of_peer(peer: str, names: tuple[str, ...]) -> dict[str, str]:
    try:
        python = environment(peer)
    except NotInstalled:
        return {}
    done = subprocess.run([python, "-c", _ASK, *names], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"cannot ask {peer} for its versions", file=sys.stderr)
        return {}
    found: dict[str, str] = json.loads(done.stdout)
    return found
