"""Long runs of the harnesses, one after another.

    python -m tests.fuzz.run --seconds 300                    every harness for five minutes
    python -m tests.fuzz.run dicom zip --engine hypothesis

With libFuzzer (`atheris`, where it is installed) mutations are guided by the lines that they reach.
With hypothesis they are drawn at random, and a finding is minimised. Inputs that break a rule are
written to `--keep`: minimised, they belong into `tests/corpus/`, with the mend.
"""

import argparse
import importlib.util
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.corpus import corpus
from tests.fuzz.harnesses import HARNESSES, Harness
from tests.fuzz.mutations import hostile_dicoms, mutated

_EXAMPLES = 500
_MAX_BYTES = 1 << 17


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the harnesses; 1 if any input broke a rule."""
    line = argparse.ArgumentParser(description="Fuzz the parsers of untrusted input.")
    line.add_argument("names", nargs="*", choices=[*HARNESSES, []], help="harnesses; default: all")
    line.add_argument("--seconds", type=float, default=60.0, help="time for each harness")
    line.add_argument("--engine", choices=("atheris", "hypothesis"), default=_best_engine())
    line.add_argument("--seed", type=int, default=0, help="seed of the random numbers")
    line.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="folder for findings")
    options = line.parse_args(arguments)
    options.keep.mkdir(parents=True, exist_ok=True)
    run = _guided if options.engine == "atheris" else _at_random
    failed = [
        name
        for name in options.names or HARNESSES
        if not run(HARNESSES[name], options.seconds, options.seed, options.keep)
    ]
    _report(f"broken: {', '.join(failed)}" if failed else "every rule held")
    return int(bool(failed))


def _report(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _best_engine() -> str:
    return "hypothesis" if importlib.util.find_spec("atheris") is None else "atheris"


def _at_random(harness: Harness, seconds: float, first_seed: int, keep: Path) -> bool:
    """Run rounds of examples until the time is over; return whether every rule held."""
    strategy = mutated([*harness.seeds(), *corpus(harness.name)])
    if harness.name == "dicom":
        strategy = strategy | hostile_dicoms()
    end, rounds, last = time.monotonic() + seconds, 0, [b""]
    while time.monotonic() < end:

        @seed(first_seed + rounds)
        @settings(
            max_examples=_EXAMPLES,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def holds(data: bytes) -> None:
            if time.monotonic() < end:
                last[0] = data
                harness.check(data)

        try:
            holds()
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            file = keep / f"{harness.name}-{sha256(last[0]).hexdigest()[:16]}"
            file.write_bytes(last[0])
            _report(f"{harness.name}: {type(error).__name__}: {error}\n  {file}")
            return False
        rounds += 1
    _report(f"{harness.name}: {rounds * _EXAMPLES} inputs")
    return True


def _guided(harness: Harness, seconds: float, first_seed: int, keep: Path) -> bool:
    """Run libFuzzer, which ends its process, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate([*harness.seeds(), *corpus(harness.name)]):
            (Path(folder) / str(number)).write_bytes(data)
        command = [
            *(sys.executable, "-m", "tests.fuzz.guided", harness.name, folder),
            f"-max_total_time={seconds:.0f}",
            f"-seed={first_seed + 1}",
            f"-max_len={_MAX_BYTES}",
            f"-artifact_prefix={keep}/{harness.name}-",
            *("-timeout=30", "-rss_limit_mb=4096", "-print_final_stats=1", "-verbosity=0"),
        ]
        return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    logging.disable()  # parsers log every fault
    sys.exit(main())
