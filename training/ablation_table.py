"""What an ablation found, as Markdown: mean and spread of the seeds, and paired differences."""

from pathlib import Path

from training.ablation import Folder, cells
from training.config import AblationConfig


def describe(config: AblationConfig, out: Path) -> str:
    """The generated part of the page."""
    folder = Folder(out)
    return "\n".join(f"{c.name} {r.found.value}" for c in cells(config) if (r := folder.result(c)))


def rewrite(page: Path, text: str) -> None:
    """Put it into the page."""
    page.write_text(text)
