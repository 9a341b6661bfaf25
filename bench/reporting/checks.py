"""Checks: one line of the table for each service goal."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.reporting.report import BEST, TORCH


@dataclass(frozen=True)
class Check:
    """Result of one service goal.

    Attributes:
        name: quantity that is checked.
        asked: the bound, in words.
        measured: the measured value with its unit, in words.
        held: True if the goal is met; None if it could not be measured.
        note: how it was measured, or why it could not be.
    """

    name: str
    asked: str
    measured: str
    held: bool | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


def at_most(name: str, value: float, bound: float, unit: str, note: str = "") -> Check:
    """Check a value against an upper bound."""
    gap = " " if unit and unit != "%" else ""
    shown = f"{value:.1e}" if bound < 0.01 else f"{value:.2f}"
    return Check(name, f"at most {bound:g}{gap}{unit}", f"{shown}{gap}{unit}", value <= bound, note)


def at_least(name: str, value: float, bound: float, note: str = "") -> Check:
    """Check a ratio against a lower bound."""
    return Check(name, f"at least {bound:g}", f"{value:.2f}", value >= bound, note)


def none_of(name: str, what: str, count: int, total: int, note: str = "") -> Check:
    """Check that none of several events was of some kind, such as a failure."""
    return Check(name, f"no {what}", f"{count} of {total}", count == 0, note)


def not_measured(name: str, asked: str, why: str) -> Check:
    """Return the check of a goal that could not be measured."""
    return Check(name, asked, "not measured", None, why)


def from_comparison(comparison: dict[str, Any]) -> Sequence[Check]:
    """Return the goals of the comparison: our rate relative to the bare runtime and to torch."""
    checks = []
    goals = (
        ("throughput / bare runtime", BEST, 0.95),
        ("throughput / FastAPI + torch", TORCH, 2.0),
    )
    for name, subject, bound in goals:
        full = f"{name}, {comparison['clients']} clients"
        found = comparison["ratios"].get(subject)
        if found is None:
            why = comparison["missing"].get(subject, "it did not take part")
            checks.append(not_measured(full, f"at least {bound:g}", why))
        else:
            spread = f"median of {comparison['rounds']} rounds, {found['low']:.2f} to "
            checks.append(at_least(full, found["median"], bound, f"{spread}{found['high']:.2f}"))
    return checks
