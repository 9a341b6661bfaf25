"""Tables and pages in Markdown.

values -> mean_and_spread -> grid -> rewrite: the part of a page between two markers

The rest of the page, outside of the markers, is written by hand.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Markers:
    """The lines between which a page is generated."""

    begin: str
    end: str


def markers(name: str) -> Markers:
    """Return the markers `<!-- name -->` and `<!-- end of name -->`."""
    return Markers(f"<!-- {name} -->\n", f"<!-- end of {name} -->\n")


def rewrite(page: Path, text: str, between: Markers) -> None:
    """Replace the text between the markers of a page and leave the rest of it unchanged.

    Raises:
        FileNotFoundError: the page does not exist.
        ValueError: it does not have each marker once, in order.
    """
    before, rest = require_markers(page, between).split(between.begin)
    _, after = rest.split(between.end)
    page.write_text(f"{before}{between.begin}{text}{between.end}{after}")


def require_markers(page: Path, between: Markers) -> str:
    """Return the text of a page that has both markers.

    Raises:
        FileNotFoundError: the page does not exist.
        ValueError: it does not have each marker once, in order.
    """
    whole, begin, end = page.read_text(), between.begin, between.end
    if whole.count(begin) != 1 or whole.count(end) != 1 or whole.index(begin) > whole.index(end):
        raise ValueError(f"{page} needs the lines {begin.strip()} and {end.strip()}, each once")
    return whole


def mean_and_spread(values: Sequence[float], *, sign: bool = False) -> str:
    """Return mean ± sample standard deviation in percent; a single value has no deviation."""
    if not values:
        return "missing"
    mean = f"{100 * statistics.fmean(values):{'+' if sign else ''}z.1f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def grid(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with one line for each row."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
