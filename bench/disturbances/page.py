"""Page of the disturbances: a table with one line for each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.disturbances.run import Options, Result

_HEAD = """# Disturbances

`python bench/chaos.py --write docs/chaos.md` starts the service, sends requests and jobs to it from
several clients, and disturbs it in one way after another. Every file has a known answer, recorded
while the service is calm. Refusals (408, 503, 504, 507) and connections that break while the
service is down are allowed: clients send again, jobs under the same `Idempotency-Key`. Nothing else
is.

- **lost**: a job or an item that was accepted (202) and is gone, or did not finish afterwards
- **doubled**: an item that a job has twice, or a key with two jobs
- **mixed up**: the answer of another file
- **wrong**: any other answer than the known one, or a sound file that is refused as faulty
- **no hint**: a 503 without `Retry-After`
- **left**: bodies of jobs in the folder after every job had finished; what a kill leaves of an
  upload is swept later, as another process might be receiving it

"""
_COLUMNS = (
    ("requests", "requests"),
    ("answered", "right"),
    ("refused", "refused"),
    ("broken", "broken"),
    ("jobs", "jobs"),
    ("lost", "lost"),
    ("doubled", "doubled"),
    ("mixed_up", "mixed up"),
    ("wrong", "wrong"),
    ("unhinted", "no hint"),
)


def markdown(results: Sequence["Result"], machine: dict[str, Any], options: "Options") -> str:
    """Return the page."""
    titles = ["scenario", *(title for _, title in _COLUMNS), "left", "held", "remark"]
    rows = [titles, ["---"] * len(titles)]
    for result in results:
        counts = [str(result.counts.get(name, "")) for name, _ in _COLUMNS]
        left = str(result.left) if result.counts else ""
        rows.append([f"`{result.name}`", *counts, left, _held(result), result.remark])
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    where = f"{machine['cpu']}, {machine['usable_cores']} cores, {machine['system']}"
    how = (
        f"Each disturbance lasted {options.seconds:g} s, with the model `{options.model}`, "
        f"{options.clients} clients with requests and {options.senders} with jobs; {where}."
    )
    return f"{_HEAD}{table}\n{how}\n"


def line(result: "Result") -> str:
    """Return one line about a result for the terminal."""
    return f"{result.name}: {_held(result)} ({result.remark})"


def _held(result: "Result") -> str:
    return {True: "yes", False: "**no**", None: "not run"}[result.held]
