"""Write the settings of MLServer into a temporary folder and start it there.

.venv/bench-mlserver/bin/python -m bench.peers.mlserver_server models/g2d-cxr/1 --port 9003
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from bench.peers.options import PeerOptions
from bench.servers.process import free_port

# Repeated from `mlserver_runtime`, which cannot be imported without MLServer.
THREADS = "BENCH_THREADS_EACH"


def write_settings(home: Path, options: PeerOptions) -> None:
    """Write `settings.json` and `model-settings.json`."""
    settings = {
        "host": "127.0.0.1",
        "http_port": options.port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "metrics_dir": str(home),
        "environments_dir": str(home / "environments"),
        "parallel_workers": options.workers,
        "debug": False,
    }
    model = {
        "name": "radiographs",
        "implementation": "bench.peers.mlserver_runtime.Radiographs",
        "max_batch_size": options.batch if options.batch > 1 else 0,
        "max_batch_time": 0.005 if options.batch > 1 else 0,
        "parameters": {"uri": str(options.folder.resolve())},
    }
    (home / "settings.json").write_text(json.dumps(settings))
    (home / "model-settings.json").write_text(json.dumps(model))


def main() -> None:
    """Replace this process by MLServer."""
    options = PeerOptions.read(__doc__)
    home = Path(tempfile.mkdtemp(prefix="bench-mlserver-"))
    write_settings(home, options)
    os.environ[THREADS] = str(options.threads_each)
    os.environ["PYTHONPATH"] = str(Path.cwd())
    program = str(Path(sys.executable).with_name("mlserver"))
    os.execv(program, [program, "start", str(home)])  # noqa: S606 - no shell is needed


if __name__ == "__main__":
    main()
