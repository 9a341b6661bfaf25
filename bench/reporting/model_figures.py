"""Bring the figures of the shipped model in a page up to date with its manifest.

    python -m bench.reporting.model_figures README.md docs/model.md --version stable

A row of a table is `| set | label | metric | value | interval | images |`. Its last three cells are
written anew; a row whose figure the version does not have is removed. Sensitivity and specificity
of a finding are those of findings that are answered: they are added below its AUROC, where the
page has any, and removed for a finding that is withheld. The table of what must hold is written
where the page asks for it (`bench.reporting.must_hold`).
"""

import argparse
import re
from pathlib import Path

from bench.reporting.must_hold import with_table
from radiograph.manifest import Metric, ModelManifest, Task
from radiograph.repository.repository import Repository

_ROW = re.compile(r"\| ([\w]+) \| ([^|]+) \| ([^|]+) \| [\d.]+ \| [\d.]+ to [\d.]+ \| \d+ \|")
_OF_DECISIONS = ("sensitivity", "specificity")
_WITHHELD = 1.0


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pages", nargs="+", type=Path, help="Markdown pages")
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="repository")
    parser.add_argument("--model", default="g2d-cxr", help="name of the model")
    parser.add_argument("--version", default="stable", help="alias or number of the version")
    options = parser.parse_args()
    repository = Repository(options.models_dir)
    number = repository.resolve(options.model, options.version)
    manifest = repository.load_manifest(options.model, number)
    for page in options.pages:
        page.write_text(brought_up_to_date(page.read_text(), manifest))


def brought_up_to_date(text: str, manifest: ModelManifest) -> str:
    """Return a page with the figures of a version.

    Args:
        text: the page, Markdown.
        manifest: the version.
    """
    figures = {
        (each.data, each.label, each.metric): each
        for each in manifest.provenance.metrics
        if each.split == "test"
    }
    answered = {
        label.name
        for head in manifest.heads_for(Task.CLASSIFY).values()
        for label in head.labels
        if label.threshold < _WITHHELD
    }
    whole = any(f"| {metric} |" in text for metric in _OF_DECISIONS)
    lines: list[str] = []
    for line in text.split("\n"):
        row = _ROW.fullmatch(line)
        if row is None:
            lines.append(line)
            continue
        data, label, metric = row.groups()
        if metric in _OF_DECISIONS:
            continue
        if (figure := figures.get((data, label, metric))) is not None:
            lines.append(_row(figure))
        if whole and metric == "auroc" and label in answered:
            found = (figures.get((data, label, name)) for name in _OF_DECISIONS)
            lines.extend(_row(figure) for figure in found if figure is not None)
    return with_table("\n".join(lines), manifest)


def _row(figure: Metric) -> str:
    return (
        f"| {figure.data} | {figure.label} | {figure.metric} | {figure.value:.3f} "
        f"| {figure.low:.3f} to {figure.high:.3f} | {figure.n} |"
    )


if __name__ == "__main__":
    main()
