"""Prove the GPU paths of training and service on one machine, and measure them.

    python bench/gpu.py                                   every part, Markdown on stdout
    python bench/gpu.py --only pretraining,agreement      some parts
    python bench/gpu.py --write docs/gpu.md               page, and measurements beside it (.json)
    python bench/gpu.py --device cpu --quick              a few minutes, to see that it runs

Every part runs in a process of its own, so that a failure in one does not reach the others, and all
of them together take ten minutes at most on one GPU. A part that cannot run here is skipped and
says why: without a GPU, all are. The exit status is 0 if every check held, 1 if one did not or a
part failed, and 3 if no part could run.
"""

import sys
from pathlib import Path


def main() -> int:
    """Run `bench.accelerator.run` with the root of the project on the path.

    Python puts the folder of a script on the path, which would be `bench/` itself.
    """
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from bench.accelerator import run

    return run.main(__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
