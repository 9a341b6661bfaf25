"""Measure the service, its peers and the bare runtime, and check the service goals.

    python bench/service.py                                    every part, Markdown on stdout
    python bench/service.py --only stages --file chest.dcm     one part, one file
    python bench/service.py --write docs/benchmark.md          page, plot (.svg) and results (.json)
    python bench/service.py --quick                            a minute or two, to see that it runs

Run it in the development environment, which `make test` creates. LitServe, MLServer and the plot
have environments of their own, which `make bench-env` creates. All servers listen on 127.0.0.1.
"""

import sys
from pathlib import Path


def main() -> int:
    """Run `bench.run` with the root of the project on the path.

    Python puts the folder of a script on the path, which would be `bench/` itself.
    """
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from bench import run

    return run.main(__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
