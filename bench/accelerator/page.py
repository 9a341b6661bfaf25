"""The page of the GPU benchmark, in Markdown, from its measurements."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from bench.reporting.report import HELD, table

_TEMPLATE = Path(__file__).with_name("page.md")


def markdown(figures: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        figures: measurements of one run.
        parts: part -> what it proves.
    """
    sections = [_section(name, parts[name], found) for name, found in figures["parts"].items()]
    filled = {
        "command": figures["command"],
        "date": date.fromtimestamp(figures["at"]).isoformat(),  # noqa: DTZ012 - only the date is shown
        "took": f"{figures['took_s'] / 60:.1f}",
        "parts": "\n\n".join(sections),
    }
    text = _TEMPLATE.read_text()
    for name, value in filled.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def _section(name: str, proves: str, found: Mapping[str, Any]) -> str:
    heading = f"## {name.capitalize()}: {proves}"
    if found["status"] != "ran":
        verb = "Skipped" if found["status"] == "skipped" else "**Failed**"
        return f"{heading}\n\n{verb}: {found['reason']}."
    checks = [
        [check["name"], check["asked"], check["measured"], HELD[check["held"]], check["note"]]
        for check in found["checks"]
    ]
    blocks = [table(["what", "asked", "measured", "", "how"], checks)] if checks else []
    for measured in found["tables"]:
        blocks += [f"### {measured['title']}", table(measured["head"], measured["rows"])]
    return "\n\n".join([heading, *blocks])
