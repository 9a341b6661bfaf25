"""Process of one part: options --stdin--> the part --> findings, as JSON in a file.

python -m bench.accelerator.child PART RESULT.json
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from bench.accelerator.findings import Findings, Options, Skipped


def main() -> None:
    """Run the part that the command line names, and write its result."""
    name, result = sys.argv[1:]
    keys = json.load(sys.stdin)
    options = Options(
        device=keys["device"],
        quick=keys["quick"],
        models_dir=Path(keys["models_dir"]),
        work=Path(keys["work"]),
    )
    Path(result).write_text(json.dumps(outcome(name, options)))


def outcome(name: str, options: Options) -> dict[str, Any]:
    """Return the findings of a part, or the reason for which it was skipped.

    A package that is not installed is such a reason; any other error ends the process.
    """
    try:
        require(options)
        part = importlib.import_module(f"bench.accelerator.parts.{name}")
        found: Findings = part.measure(options)
    except Skipped as reason:
        return {"status": "skipped", "reason": str(reason)}
    except ModuleNotFoundError as error:
        return {"status": "skipped", "reason": f"the package {error.name} is not installed"}
    return {"status": "ran", **found.to_json()}


def require(options: Options) -> None:
    """Raise `Skipped` if the device is not there."""
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise Skipped(f"no CUDA device: torch {torch.__version__} finds none")


if __name__ == "__main__":
    main()
