"""Plot throughput and latency of a run.

.venv/bench-plot/bin/python -m bench.reporting.plot figures.json picture.svg
"""

import argparse
import json
from pathlib import Path
from typing import Any

from bench.reporting.report import LOOPS, OURS

OTHERS, BARE_COLOUR, OUR_COLOUR = "#9aa5b1", "#d8dde3", "#1f6feb"


def draw(compared: dict[str, Any], path: Path) -> None:
    """Draw two panels: images per second, and latency with one client and with many."""
    import matplotlib as mpl

    mpl.use("Agg")
    # makes the identifiers in the SVG, and so the file, reproducible
    mpl.rcParams["svg.hashsalt"] = "bench"
    from matplotlib import pyplot as plt

    found = compared["subjects"]
    names = [name for name in LOOPS if name in found]
    names += [name for name in found if name not in (*names, OURS)] + [OURS]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.5 * len(names) + 1.4))
    rates = [found[name]["rate"] for name in names]
    low = [rate - min(found[name]["rates"]) for name, rate in zip(names, rates, strict=True)]
    high = [max(found[name]["rates"]) - rate for name, rate in zip(names, rates, strict=True)]
    left.barh(names, rates, xerr=[low, high], color=[_colour(n) for n in names], capsize=3)
    left.set_title(f"images in 1 s, {compared['clients']} clients")
    servers = [name for name in names if found[name]["alone_ms"] is not None]
    for quantile, marker in (("p50_ms", "o"), ("p95_ms", "s"), ("p99_ms", "D")):
        values = [found[name][quantile] for name in servers]
        right.plot(values, servers, marker, label=f"{quantile[:-3]}, {compared['clients']} clients")
    right.plot([found[name]["alone_ms"] for name in servers], servers, "x", label="p50, 1 client")
    right.set_title("latency, ms")
    right.set_xlim(left=0)
    right.legend(fontsize="small")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _colour(name: str) -> str:
    if name == OURS:
        return OUR_COLOUR
    return BARE_COLOUR if name in LOOPS else OTHERS


def main() -> None:
    """Read the measurements and write the plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("figures", type=Path, help="JSON file of a run")
    parser.add_argument("picture", type=Path, help="file to write, .svg or .png")
    options = parser.parse_args()
    draw(json.loads(options.figures.read_text())["compare"], options.picture)


if __name__ == "__main__":
    main()
