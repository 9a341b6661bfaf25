"""MODEL_CARD.md: what a version is, what it was trained and measured on, what it cannot do."""

from collections.abc import Iterator, Mapping

from radiograph.manifest import HeadSpec, Provenance, Task

IMPORTED = "imported weights"
"""Name of the line in the data that says which file weights came from."""
_CANNOT = """\
- It is not a medical device. It was trained on a few thousand small public pictures and has
  been validated on no clinical population.
- Sets differ in age, source and encoding. A label that comes from one set only (bacterial and
  viral pneumonia: children of one hospital) may partly recognise the set. Read the figures
  per set, never across sets.
- Findings other than pneumonia were learned from a few dozen examples each; see the intervals.
- `Cardiomediastinum` masks (one openly licensed annotation to learn from) and `Lung opacity`
  boxes (a handful) were too poor on validation: they are withheld (threshold 1).
- Lateral views, children under one year, implants, rotated or mirrored images are not covered.
  A mirrored radiograph gives mirrored sides: the model does not read side markers.
- Phrases about lungs, zones, heart and mediastinum are located on regions derived from lung
  masks by geometry; finding phrases are located only as well as boxes and labels allow.
- Zero-shot grounding (`method=zero_shot`) is reported as measured; on this amount of data it is
  far from the paper's figures.
- Intensities are stretched by percentiles: the model cannot judge exposure.
"""


def model_card(
    name: str,
    intended_use: str,
    licence: str,
    heads: Mapping[str, HeadSpec],
    provenance: Provenance,
) -> str:
    """The card's Markdown."""
    return "\n".join(
        [
            f"# {name}",
            "",
            intended_use,
            "",
            (
                f"Licence of the weights: {licence}. Published from commit `{provenance.commit}`; "
                f"the configurations of its runs ({', '.join(provenance.configuration)}) stand in "
                "`manifest.json`, each with the commit that it was started from where it is known."
            ),
            "",
            (
                "Method: G2D (Liu et al., NeurIPS 2024): image-report contrast in parallel with "
                "pseudo segmentation, then heads fine-tuned together on the trunk. Starting "
                f"weights: {_starting_weights(provenance)}"
            ),
            "",
            "## Data",
            "",
            "| set | licence | train | valid | test | text |",
            "|---|---|---|---|---|---|",
            *_data_rows(provenance),
            "",
            (
                "Synthetic sentences are made from class labels by `training/data/sentences.py`; "
                "they are not reports. Test figures may also use rows whose licence forbids "
                "training of shipped weights; no weight or threshold has seen those."
            ),
            "",
            "## Heads",
            "",
            *_head_rows(heads),
            "",
            "## Measured on `split = test`",
            "",
            "In source pixels; 95 % bootstrap intervals over patients.",
            "",
            *_metric_rows(provenance),
            "",
            *_accepted(provenance),
            "## What it cannot do",
            "",
            _CANNOT,
        ]
    )


def _starting_weights(provenance: Provenance) -> str:
    if any(use.name == IMPORTED for use in provenance.data):
        return "those of a checkpoint that was imported; see Data."
    return (
        "EfficientNet-Lite2 on ImageNet (Apache-2.0) and all-MiniLM-L6-v2 (Apache-2.0); "
        "neither is clinical."
    )


def _accepted(provenance: Provenance) -> Iterator[str]:
    if provenance.accepted:
        yield "Published although these are below the interval of the version before:"
        yield ""
        yield from (f"- {words}" for words in provenance.accepted)
        yield ""


def _data_rows(provenance: Provenance) -> Iterator[str]:
    for use in provenance.data:
        counts = " | ".join(str(use.rows.get(split, 0)) for split in ("train", "valid", "test"))
        licence, note = use.licence.replace("|", "/"), use.note or "own text"
        yield f"| {use.name} | {licence} | {counts} | {note} |"


def _head_rows(heads: Mapping[str, HeadSpec]) -> Iterator[str]:
    for name, head in heads.items():
        labels = ", ".join(f"{label.name} ({label.threshold})" for label in head.labels)
        detail = f"method {head.method}" if head.kind is Task.GROUND else f"{labels}"
        yield f"- `{name}` ({head.kind.value}): {detail}. Thresholds: {head.threshold_rule}."


def _metric_rows(provenance: Provenance) -> Iterator[str]:
    yield "| set | task | label | metric | value | 95 % interval | n |"
    yield "|---|---|---|---|---|---|---|"
    for m in provenance.metrics:
        yield (
            f"| {m.data} | {m.task.value} | {m.label} | {m.metric} | {m.value:.3f} "
            f"| {m.low:.3f} to {m.high:.3f} | {m.n} |"
        )
