"""One harness under libFuzzer: `python -m tests.fuzz.guided NAME FOLDER [-max_total_time=60]`."""

import logging
import sys

import atheris

with atheris.instrument_imports(include=["radiograph", "service", "pydicom", "python_multipart"]):
    from tests.fuzz.harnesses import HARNESSES


def main() -> None:
    """Fuzz until an input breaks a rule, or the time is over; ends the process."""
    name, *rest = sys.argv[1:]
    harness = HARNESSES[name]
    logging.disable()  # parsers log every fault
    atheris.Setup([sys.argv[0], *rest], harness.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
