"""Run the parts of the GPU benchmark one after the other, each in its process, and report.

options --JSON--> child process of a part --JSON--> outcome -> page, exit status
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.accelerator.page import markdown

PARTS = {
    "environment": "driver, torch and the execution provider that really computes",
    "agreement": "losses and pseudo masks are those of the CPU",
    "pretraining": "pre-training at three precisions, beside the released loop",
    "finetuning": "a step of every head, without a wait for the device",
    "publication": "evaluate, export and publish",
    "serving": "golden outputs, latency, throughput and a swap under load",
    "processes": "two processes that exchange gradients and negatives by NCCL",
    "resumption": "a run in half precision that is killed and resumed",
    "compilation": "torch.compile, and how often it compiles again",
}
"""Part -> what it proves, in the order in which they run: the cheap and telling ones first, and
last what may use up the time, because compiling takes minutes."""
_ROOT = Path(__file__).resolve().parents[2]
_QUOTED = 3


def main(description: str) -> int:
    """Run the parts that the command line names and write the report; return the exit status."""
    options = _parser(description).parse_args()
    json_path = options.json or (options.write and options.write.with_suffix(".json"))
    for path in (json_path, options.write):
        if path is not None:  # fail now, not after ten minutes
            path.parent.mkdir(parents=True, exist_ok=True)
    began = time.time()
    outcomes = {name: _outcome(name, options, began) for name in options.only}
    figures = {"at": began, "took_s": time.time() - began, "command": _command(), "parts": outcomes}
    if json_path is not None:
        json_path.write_text(json.dumps(figures, indent=1) + "\n")
    page = markdown(figures, PARTS)
    if options.write is not None:
        options.write.write_text(page)
    else:
        print(page)
    return status(outcomes)


def status(outcomes: Mapping[str, Mapping[str, Any]]) -> int:
    """Return 0 if all checks held, 1 if one did not or a part failed, 3 if no part could run."""
    states = [found["status"] for found in outcomes.values()]
    if all(state == "skipped" for state in states):
        return 3
    checks = [check for found in outcomes.values() for check in found.get("checks", ())]
    return int("failed" in states or any(check["held"] is False for check in checks))


def _outcome(name: str, options: argparse.Namespace, began: float) -> dict[str, Any]:
    """Run one part in a process of its own, within the time that is left."""
    print(f"{time.time() - began:4.0f} s: {name}", file=sys.stderr)
    left_s = options.limit_s - (time.time() - began)
    if left_s <= 0:
        return {"status": "skipped", "reason": f"the {options.limit_s:g} s were used up"}
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        result, work = Path(folder) / "result.json", Path(folder) / "work"
        work.mkdir()
        keys = {
            "device": options.device,
            "quick": options.quick,
            "models_dir": str(options.models_dir.resolve()),
            "work": str(work),
        }
        command = [sys.executable, "-m", "bench.accelerator.child", name, str(result)]
        return run_part(command, json.dumps(keys), result, left_s)


def run_part(command: Sequence[str], keys: str, result: Path, left_s: float) -> dict[str, Any]:
    """Run the process of a part and return its outcome; one that ends without a result failed."""
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            cwd=_ROOT,
            input=keys,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=left_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"status": "failed", "reason": f"not finished after {left_s:.0f} s"}
    took = {"took_s": time.perf_counter() - started}
    if done.returncode == 0 and result.is_file():
        found: dict[str, Any] = json.loads(result.read_text())
        return found | took
    lines = done.stdout.strip().splitlines()
    reason = " | ".join(lines[-_QUOTED:]) or f"exit status {done.returncode}, no output"
    return {"status": "failed", "reason": reason} | took


def _parser(description: str) -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    line = argparse.ArgumentParser(description=description, formatter_class=formatter)
    add = line.add_argument
    names = ",".join(PARTS)
    add("--only", type=_parts, default=tuple(PARTS), help=f"comma-separated parts, out of {names}")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="device to prove")
    add("--quick", action="store_true", help="few steps, to see that all runs; figures are void")
    add("--limit-s", type=float, default=600.0, help="seconds that all parts together may take")
    add("--models-dir", type=Path, default=Path("models"), help="folder of the model repository")
    add("--json", type=Path, help="file to write the measurements to")
    add("--write", type=Path, help="file to write the page to, with the measurements beside")
    return line


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := sorted(set(names) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"not known: {', '.join(unknown)}")
    return names


def _command() -> str:
    """Return the command line; absolute paths are shortened to their names."""
    words = [Path(text).name if text.startswith("/") else text for text in sys.argv[1:]]
    return " ".join(["python", "bench/gpu.py", *words])
