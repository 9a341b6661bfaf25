"""Measure the service, its peers and the bare runtime, and what must hold of it.

    python bench/service.py                                    every part, Markdown on stdout
    python bench/service.py --only stages --file chest.dcm     one part, one file
    python bench/service.py --write docs/benchmark.md          page, plot (.svg) and figures (.json)
    python bench/service.py --quick                            a minute or two, to see that it runs

Run it in the development environment (`make test` makes it). LitServe, MLServer and the plot
have environments of their own: `make bench-env`. Everything listens on 127.0.0.1.
"""

import sys
from pathlib import Path


def main() -> int:
    """Run `bench.run`; a file that is run as a script has its own folder on the path, not ours."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from bench import run

    return run.main(__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
