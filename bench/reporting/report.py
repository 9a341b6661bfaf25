"""Report of a run: its measurements, read from JSON, as a Markdown page.

The names of the subjects are those of the tables and plots. Only the standard library is imported,
because the plot is drawn in an environment of its own.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

# Names of what is compared.
OURS = "this service"
TORCH = "FastAPI + torch"
TORCH_ENCODER = "FastAPI + torch, encoder only"
LITSERVE = "LitServe"
MLSERVER = "MLServer"
SINGLE, BATCH, LANES = "bare runtime, single", "bare runtime, batch", "bare runtime, lanes"
BARE = (SINGLE, BATCH, LANES)
CUT = "bare runtime, lanes cut as here"
DECODING = "bare runtime, lanes cut as here that decode"
LOOPS = (*BARE, CUT, DECODING)
BEST = "bare runtime, best"
"""The one of `BARE` with the highest median rate."""

TEMPLATE = Path(__file__).with_name("report.md")
HELD = {True: "held", False: "**not held**", None: "not measured"}


def markdown(figures: dict[str, Any], plot: str | None) -> str:
    """Return the whole page.

    Args:
        figures: measurements of one run.
        plot: path of the plot, relative to the page, or None without a plot.
    """
    sections = {
        "machine": _machine(figures),
        "plot": f"![Throughput and latency]({plot})" if plot else "",
        "comparison": _comparison(figures.get("compare")),
        "checks": _checks(figures["checks"]),
        "stages": _stages(figures.get("stages")),
        "decoding": _decoding(figures.get("decoding")),
        "encoders": _encoders(figures.get("encoders")),
        "command": f"`{figures['command']}`",
        "took": f"{figures['took_s'] / 60:.0f} minutes",
        "date": date.fromtimestamp(figures["at"]).isoformat(),  # noqa: DTZ012 - only the date is shown
    }
    text = TEMPLATE.read_text()
    for name, value in sections.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _machine(figures: dict[str, Any]) -> str:
    machine, model = figures["machine"], figures["model"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    rows = [
        ("processor", f"{machine['cpu']}, {machine['usable_cores']} usable cores"),
        ("memory", f"{machine['memory_gib']} GiB"),
        ("system", f"{machine['system']}, Python {machine['python']}"),
        ("versions", versions),
        ("model", f"{model['name']} {model['version']}, digest {model['digest'][:12]}"),
        ("inputs", figures["inputs"]),
        ("threads", f"{figures['threads']} for each subject"),
    ]
    return table(["", ""], [[name, value] for name, value in rows])


def _comparison(compared: dict[str, Any] | None) -> str:
    if compared is None:
        return "Not measured in this run."
    found = compared["subjects"]
    head = ["subject", "setting", "images in 1 s", "this service / it", "1 client: median ms"]
    clients = compared["clients"]
    head += [f"{clients} clients: median", "p95", "p99 ms", "failed", "differs by"]
    order = [OURS, *(name for name in found if name not in (OURS, *LOOPS))]
    rows = [
        _subject(name, found[name], compared["ratios"].get(name))
        for name in (*order, *LOOPS)
        if name in found
    ]
    missing = [f"{name} was not compared: {why}" for name, why in compared["missing"].items()]
    note = (
        f"{compared['rounds']} rounds of {compared['seconds']:g} s for each; medians of the "
        "rounds, in brackets the lowest and the highest. `differs by`: the largest difference of "
        "a probability from this service's, for the first file."
    )
    return "\n\n".join([table(head, rows), note, *missing])


def _subject(name: str, record: dict[str, Any], ratio: dict[str, float] | None) -> list[str]:
    rates = record["rates"]
    against = "" if ratio is None else _spread(ratio["median"], ratio["low"], ratio["high"], 2)
    times = ["alone_ms", "p50_ms", "p95_ms", "p99_ms"]
    return [
        name,
        record["setting"],
        _spread(record["rate"], min(rates), max(rates), 1),
        against,
        *("" if record[key] is None else f"{record[key]:.0f}" for key in times),
        "" if record["alone_ms"] is None else str(record["failed"]),
        "" if record["agreement"] is None else f"{record['agreement']:.3f}",
    ]


def _spread(middle: float, low: float, high: float, digits: int) -> str:
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _checks(checks: Sequence[dict[str, Any]]) -> str:
    rows = [[c["name"], c["asked"], c["measured"], HELD[c["held"]], c["note"]] for c in checks]
    return table(["what", "asked", "measured", "", "how"], rows)


def _stages(stages: dict[str, Any] | None) -> str:
    if stages is None:
        return "Not measured in this run."
    rows = [
        [name, *(f"{value:.1f}" for value in values)] for name, values in stages["rows"].items()
    ]
    memory = table(
        ["start to ready", "memory, ready", f"after {stages['requests']} requests a task"],
        [[f"{stages['ready_s']:.2f} s", *_mib(stages["idle_mib"], stages["after_mib"])]],
    )
    caption = f"One file of {stages['file_mib']:.1f} MiB, one request at a time, milliseconds."
    return "\n\n".join([caption, table(["task", *stages["columns"]], rows), memory])


def _decoding(decoding: dict[str, Any] | None) -> str:
    if decoding is None:
        return "Not measured in this run."
    rows = [
        [name, *(f"{value:.1f}" for value in times), f"{ratio:.2f}"]
        for name, (*times, ratio) in decoding["rows"].items()
    ]
    caption = (
        f"One look-up of the file's {decoding['megapixels']:.1f} megapixels in NumPy took "
        f"{decoding['look_up_ms']:.1f} ms in the same process; milliseconds."
    )
    return "\n\n".join([caption, table(["preprocessing", *decoding["columns"]], rows)])


def _encoders(encoders: dict[str, Any] | None) -> str:
    if encoders is None:
        return "Not measured in this run."
    rows = [
        [name, f"{ms:.1f}", f"{size:.2f}", f"{ratio:.2f}"]
        for name, (ms, size, ratio) in encoders["rows"].items()
    ]
    caption = f"A picture of {encoders['width']} x {encoders['height']} px, in this process."
    return "\n\n".join([caption, table(["encoder", *encoders["columns"]], rows)])


def _mib(*values: float) -> list[str]:
    return [f"{value:.0f} MiB" for value in values]
