"""Checks: one line of the table for everything that must hold."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.names import BEST, TORCH


@dataclass(frozen=True)
class Check:
    """One thing that must hold.

    Attributes:
        name: what is looked at.
        asked: the bound in words.
        measured: in words, with its unit.
        held: None when it could not be measured.
        note: how it was measured, or why it was not.
    """

    name: str
    asked: str
    measured: str
    held: bool | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def at_most(name: str, value: float, bound: float, unit: str, note: str = "") -> Check:
    """Hold a value against an upper bound."""
    gap = " " if unit and unit != "%" else ""
    return Check(
        name,
        f"at most {bound:g}{gap}{unit}",
        f"{value:.2f}{gap}{unit}",
        value <= bound,
        note,
    )


def at_least(name: str, value: float, bound: float, note: str = "") -> Check:
    """Hold a ratio against a lower bound."""
    return Check(name, f"at least {bound:g}", f"{value:.2f}", value >= bound, note)


def none_of(name: str, what: str, count: int, total: int, note: str = "") -> Check:
    """Nothing of the kind may have happened."""
    return Check(name, f"no {what}", f"{count} of {total}", count == 0, note)


def not_measured(name: str, asked: str, why: str) -> Check:
    """It could not be measured."""
    return Check(name, asked, "not measured", None, why)


def from_comparison(comparison: dict[str, Any]) -> Sequence[Check]:
    """What must hold of the comparison: our rate to the bare runtime's and the plain handler's."""
    checks = []
    wanted = (
        ("throughput / bare runtime", BEST, 0.95),
        ("throughput / FastAPI + torch", TORCH, 2.0),
    )
    for name, subject, bound in wanted:
        full = f"{name}, {comparison['clients']} clients"
        found = comparison["ratios"].get(subject)
        if found is None:
            why = comparison["missing"].get(subject, "it did not take part")
            checks.append(not_measured(full, f"at least {bound:g}", why))
        else:
            spread = f"median of {comparison['rounds']} rounds, {found['low']:.2f} to "
            checks.append(at_least(full, found["median"], bound, f"{spread}{found['high']:.2f}"))
    return checks
