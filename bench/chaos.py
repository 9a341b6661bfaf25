"""Disturb the service under load, and count what is lost, doubled, mixed up or wrong.

    python bench/chaos.py                                 every scenario, Markdown on stdout
    python bench/chaos.py --only service_killed,sigterm   some scenarios
    python bench/chaos.py --write docs/chaos.md           the page
    python bench/chaos.py --quick                         short and small, to see that it runs

Run it in the development environment. Small disks need root, and jumps of the clock need the Debian
package libfaketime; without them these scenarios are skipped and say why. The exit status is 0 if
every scenario held, 1 if one did not, and 3 if none could run.
"""

import sys
from pathlib import Path


def main() -> int:
    """Run `bench.disturbances.run` with the root of the project on the path.

    Python puts the folder of a script on the path, which would be `bench/` itself.
    """
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from bench.disturbances import run

    return run.main(__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
