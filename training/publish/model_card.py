"""MODEL_CARD.md: description, training data, metrics and limits of a version."""

import re
from collections.abc import Iterator, Mapping

import yaml

from radiograph.manifest import CHECK, HeadSpec, Label, Precision, Provenance, Task, VariantSpec
from training.export.variants.drift import by_metric, mean_loss

IMPORTED = "imported weights"
"""Name of the line of the data that names an imported checkpoint."""
_CANNOT = """\
- It is not a medical device. It has been validated on no clinical population.
- Sets differ in age, source and encoding. A label that comes from one set only may partly
  recognise the set. Read the figures per set, never across sets, and with their intervals.
- Lateral views, children under one year, implants, rotated or mirrored images are not covered.
  A mirrored radiograph gives mirrored sides: the model does not read side markers.
- Intensities are stretched by percentiles: the model cannot judge exposure."""
_CANNOT_GROUND = {
    "aligned": """\
- Phrases about lungs, zones, heart and mediastinum are located on regions derived from lung
  masks by geometry; finding phrases are located only as well as boxes and labels allow.""",
    "zero_shot": """\
- Zero-shot grounding (`method=zero_shot`) is reported as measured; where that is little, it is
  far from the paper's figures.""",
}
_CANNOT_CHECK = """\
- Such pictures get warnings from the pixels, as far as the figures of the checks go. A heart on
  the right of the body looks like a mirrored picture. The checks of inverted and turned pictures
  were trained on changed copies of the radiographs above."""
_MARKS = re.compile(r"([\\|`*<\[])")
"""Characters that end a cell, or begin code, emphasis, HTML or a link."""


def model_card(
    name: str,
    intended_use: str,
    licence: str,
    heads: Mapping[str, HeadSpec],
    provenance: Provenance,
    variants: Mapping[Precision, VariantSpec] | None = None,
) -> str:
    """Return the card as Markdown.

    Args:
        name: name of the model.
        intended_use: intended use, in words.
        licence: licence of the weights.
        heads: heads by name.
        provenance: data, configurations and metrics.
        variants: trunks in other precisions; none by default.
    """
    lines = [
        f"# {name}",
        "",
        intended_use,
        "",
        *_origin(licence, provenance),
        "## Data",
        "",
        *_data_section(provenance),
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
        *_variants(variants or {}),
        "## What it cannot do",
        "",
        _CANNOT,
        *_cannot(heads),
        "",
    ]
    return "\n".join(lines)


def _origin(licence: str, provenance: Provenance) -> Iterator[str]:
    """Yield the paragraphs about licence, commit, method and starting weights."""
    yield (
        f"Licence of the weights: {licence}. Published from commit `{provenance.commit}`; "
        f"the configurations of its runs ({', '.join(provenance.configuration)}) stand in "
        "`manifest.json`, each with the commit that it was started from where it is known."
    )
    yield ""
    yield (
        "Method: G2D (Liu et al., NeurIPS 2024): image-report contrast in parallel with "
        "pseudo segmentation, then heads fine-tuned together on the trunk. Starting "
        f"weights: {_starting_weights(provenance)}"
    )
    yield ""


def _data_section(provenance: Provenance) -> Iterator[str]:
    """Yield the table of the data sets, and the notes on it."""
    yield "| set | licence | train | valid | test | text |"
    yield "|---|---|---|---|---|---|"
    yield from _data_rows(provenance)
    yield ""
    yield (
        "Synthetic sentences are made from class labels by "
        "`training/data/text/synthetic_reports.py`; they are not reports. Test figures "
        "may also use rows whose licence forbids training of shipped weights; no weight "
        "or threshold has seen those."
    )
    yield ""


def _starting_weights(provenance: Provenance) -> str:
    if any(use.name == IMPORTED for use in provenance.data):
        return "those of a checkpoint that was imported; see Data."
    first = yaml.safe_load(next(iter(provenance.configuration.values()), "")) or {}
    model = first.get("model") or {}
    encoder, text = model.get("encoder", {}), model.get("text", {})
    return (
        f"image encoder `{encoder.get('name')}` ({encoder.get('weights') or 'random'}), "
        f"text encoder `{text.get('name')}`."
    )


def _cannot(heads: Mapping[str, HeadSpec]) -> Iterator[str]:
    """Yield the limits that depend on the heads of the version."""
    for method, words in _CANNOT_GROUND.items():
        if any(head.method == method for head in heads.values()):
            yield words
    if any(head.kind == CHECK for head in heads.values()):
        yield _CANNOT_CHECK
    withheld = [
        f"{escaped(label.name)} (`{name}`)"
        for name, head in heads.items()
        if head.kind is not Task.GROUND
        for label in head.labels
        if label.withheld
    ]
    if withheld:
        yield f"- Too poor on validation and withheld (threshold 1): {', '.join(withheld)}."


def escaped(text: str) -> str:
    """Return text that a Markdown table shows literally, without a new row, link or tag."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _shown(label: Label) -> str:
    return f"{escaped(label.name)} ({label.threshold:g})"


def _cleaning(label: Label) -> str:
    """Return a sentence about the cleaning of a mask, which the figures include."""
    clean = label.clean
    steps = []
    if clean is not None and clean.fill_holes:
        steps.append("holes are filled")
    if clean is not None and clean.largest is not None:
        steps.append(f"number of components at most {clean.largest}")
    if clean is not None and clean.min_share:
        steps.append(f"components below {clean.min_share:.3g} of the largest are dropped")
    return f"{escaped(label.name)}: {', '.join(steps)}."


def _subtypes(head: HeadSpec) -> str:
    """Return sentences about the findings that are answered only beside another one."""
    return "".join(
        f" {escaped(label.name)} is answered as present only where {escaped(label.subtype_of)} is."
        for label in head.labels
        if label.subtype_of
    )


def _accepted(provenance: Provenance) -> Iterator[str]:
    if provenance.accepted:
        yield "Published although these are below the interval of the version before:"
        yield ""
        yield from (f"- {escaped(words)}" for words in provenance.accepted)
        yield ""


def _variants(variants: Mapping[Precision, VariantSpec]) -> Iterator[str]:
    """Yield the section about trunks in other precisions: what each loses, by metric."""
    if not variants:
        return
    yield "## Variants"
    yield ""
    yield (
        "The trunk in other precisions, measured on `split = valid` beside float32. The mean is "
        "over data sets and labels, weighted by their numbers of images; `manifest.json` has every "
        "figure. A negative loss is a gain."
    )
    yield ""
    yield "| variant | head | metric | mean loss | largest loss | figures | same decisions |"
    yield "|---|---|---|---|---|---|---|"
    for precision, variant in variants.items():
        yield from _loss_rows(precision, variant)
    yield ""
    yield from (f"- {name}: {escaped(each.calibration)}." for name, each in variants.items())
    yield ""


def _loss_rows(precision: Precision, variant: VariantSpec) -> Iterator[str]:
    """Yield a row for each metric of each head."""
    for (head, metric), drifts in by_metric(variant.drift).items():
        largest = max(drift.float32 - drift.value for drift in drifts)
        yield (
            f"| {precision} | {head} | {metric} | {mean_loss(drifts):.4f} | {largest:.4f} "
            f"| {len(drifts)} | {variant.same_decisions[head or '']:.4f} |"
        )


def _data_rows(provenance: Provenance) -> Iterator[str]:
    for use in provenance.data:
        counts = " | ".join(str(use.rows.get(split, 0)) for split in ("train", "valid", "test"))
        licence, note = use.licence.replace("|", "/"), escaped(use.note or "own text")
        yield f"| {escaped(use.name)} | {licence} | {counts} | {note} |"


def _head_rows(heads: Mapping[str, HeadSpec]) -> Iterator[str]:
    for name, head in heads.items():
        detail = f"method {head.method}"
        if head.kind is not Task.GROUND:
            detail = ", ".join(_shown(label) for label in head.labels)
        if head.kind is Task.CLASSIFY:
            detail += f"; temperature {head.temperature:.3g}"
        rule = escaped(head.threshold_rule)
        cleaned = "".join(f" {_cleaning(label)}" for label in head.labels if label.clean)
        yield f"- `{name}` ({head.kind}): {detail}. Thresholds: {rule}.{cleaned}{_subtypes(head)}"


def _metric_rows(provenance: Provenance) -> Iterator[str]:
    yield "| set | head | label | metric | value | 95 % interval | n |"
    yield "|---|---|---|---|---|---|---|"
    for m in provenance.metrics:
        yield (
            f"| {escaped(m.data)} | {m.head or m.task} | {escaped(m.label)} | {m.metric} "
            f"| {m.value:.3f} "
            f"| {m.low:.3f} to {m.high:.3f} | {m.n} |"
        )
