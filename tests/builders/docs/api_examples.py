"""Examples of docs/api.md: what the shipped version answers to the phantom.

    python -m tests.builders.docs.api_examples

asks a service with the shipped model for each answer and writes it into its section. Long values
are cut at `...`, so are times, and members that an earlier section has shown are left out.
"""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from tests.builders.service.pages import served_page

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/api.md"
PHANTOM = ROOT / "service/api/pages/assets/phantom.png"
SECTIONS = {
    "classify": "/classify",
    "segment": "/segment",
    "detect": "/detect",
    "ground": "/ground?phrase=left%20lung",
}
_SHOWN = ("warnings", "masks", "measurements", "boxes", "phrases")
_WIDTH = 100
_LONG = {"message": 40, "data": 40}
"""Characters that remain of texts of these names."""
_COUNTS = 4
_CUT = object()
"""A value that is not shown."""


def written(value: object, name: str = "", indent: int = 0) -> str:
    """Return a value as JSON with long texts and lists cut; what fits is on one line."""
    if value is _CUT:
        return "..."
    if name in _LONG and isinstance(value, str) and len(value) > _LONG[name]:
        value = value[: _LONG[name]] + "..."
    if not isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key)}: {written(item, key, indent + 1)}" for key, item in value.items()
        ]
        ends = "{}"
    else:
        kept = value[:_COUNTS] if name == "counts" else value[:3] if name == "findings" else value
        parts = [written(item, "", indent + 1) for item in kept]
        parts += ["..."] * (len(kept) < len(value))
        ends = "[]"
    line = ends[0] + ", ".join(parts) + ends[1]
    if indent and "\n" not in line and len(line) + indent + len(name) + 5 <= _WIDTH:
        return line
    inner = ",\n".join(" " * (indent + 1) + part for part in parts)
    return f"{ends[0]}\n{inner}\n{' ' * indent}{ends[1]}"


def example(heading: str, answer: dict[str, Any]) -> str:
    """Return the text of one section's example."""
    if heading != "classify":
        answer = {name: item for name, item in answer.items() if name in _SHOWN}
    if "timings_ms" in answer:
        answer = {**answer, "timings_ms": dict.fromkeys(answer["timings_ms"], _CUT)}
    return written(answer)


def replaced(page: str, heading: str, text: str) -> str:
    """Return the page with another first example in one of its sections."""
    start = page.index(f"\n### {heading}\n")
    before, after = page[:start], page[start:]
    block = re.compile(r"(?<=^```json\n).*?(?=^```)", re.MULTILINE | re.DOTALL)
    return before + block.sub(lambda _: text + "\n", after, count=1)


def main() -> None:
    """Rewrite the page."""
    page = PAGE.read_text()
    with (
        TemporaryDirectory() as state,
        served_page.serving(ROOT / "models", Path(state), default_model="g2d-cxr") as address,
        httpx.Client(
            base_url=address, headers={"content-type": "image/png"}, timeout=120
        ) as client,
    ):
        for heading, path in SECTIONS.items():
            answer = client.post(path, content=PHANTOM.read_bytes()).raise_for_status()
            page = replaced(page, heading, example(heading, answer.json()))
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
