"""Publication of a single head: a base version and one new head become the next version.

    base version --copy----------> stage: all files, with the graph of the head replaced or added
    folder: heads/<head>.onnx --'         golden.npz with the golden outputs of the new head
            golden.npz, MODEL_CARD.md     manifest with new heads, files, created, provenance
                                   record: golden_answers.npz, answered anew
                                   stage --Repository.publish--> version n

The trunk and the text encoder stay the same files byte for byte, so a service that has loaded
the base loads the new head only. The golden outputs of the head are replayed by every process
that loads the version, the service included. Variants of the base are left out, because neither
their golden outputs nor their drift include the new head.
"""

import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion, PublishRefused
from radiograph.manifest import HeadKind, HeadSpec, ModelManifest, Provenance, Task
from radiograph.repository.integrity.version_files import (
    copy_files,
    digest_files,
    list_files,
    open_regular,
)
from radiograph.repository.repository import DEFAULT_ALIAS, Repository

CARD_NAME = "MODEL_CARD.md"
GOLDEN_NAME = "golden.npz"
_HEAD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED_NAMES = re.compile("|".join(("trunk", "text", "analyze", "v[0-9]+", *Task)))
"""Prefixes of golden arrays that belong to the base, and names of the ensembles in Triton."""

Arrays = Mapping[str, NDArray[Any]]
Record = Callable[[Path, Mapping[str, HeadSpec]], str]
"""Writes the golden answers of a folder with these heads; returns the name of the file."""


@dataclass(frozen=True)
class NewHead:
    """One head to publish.

    Attributes:
        name: name of the head; a head of that name in the base is replaced.
        spec: its entry in the manifest; `file` is `heads/<name>.onnx`.
        folder: holds `heads/<name>.onnx`, `golden.npz` with `<name>.<output>` for the golden
            inputs of the base, optionally a new `MODEL_CARD.md`, and nothing else.
    """

    name: str
    spec: HeadSpec
    folder: Path


def publish_head(
    repository: Repository,
    model: str,
    head: NewHead,
    *,
    base: str | int = DEFAULT_ALIAS,
    provenance: Callable[[Provenance], Provenance] = lambda before: before,
    record: Record | None = None,
    alias: str | None = None,
) -> int:
    """Publish a base version with one new head as the next version.

    Args:
        repository: the repository that holds the base and receives the new version.
        model: name of the model.
        head: the new head.
        base: the version on which the head was trained, by number or alias.
        provenance: returns the provenance of the new version for that of the base.
        record: records the golden answers of the new version; by default it has none.
        alias: alias that is pointed to the new version once it exists.

    Returns:
        The number of the new version.

    Raises:
        PublishRefused: the head does not match the base, or a file fails verification.
            Nothing was published.
        ModelNotFound: the base does not exist, or `alias` is not a valid alias name.
        InvalidVersion: the base itself fails verification.
        OSError: as in `Repository.publish`.
    """
    number = repository.resolve(model, base)
    manifest = repository.verify(model, number).manifest
    with TemporaryDirectory() as temporary:
        stage = Path(temporary)
        try:
            _require_match(head, manifest)
            copy_files(repository.folder(model, number), stage)
            _overlay(stage, head, manifest)
            heads = {**manifest.heads, head.name: head.spec}
            answers = None if record is None else record(stage, heads)
            golden = manifest.golden.model_copy(update={"answers": answers})
            manifest = manifest.model_copy(update={"golden": golden})
            digests = digest_files(stage)
        except InvalidVersion as error:
            raise PublishRefused(f"nothing was published: {error}") from error

        def build(version: int) -> ModelManifest:
            return _manifest(manifest, head, digests, version, provenance(manifest.provenance))

        return repository.publish(model, stage, build, alias)


def refuse_repeated_labels(heads: Mapping[str, HeadSpec]) -> None:
    """Refuse a label that occurs twice among the heads of one kind.

    Raises:
        PublishRefused: a label occurs twice, so an answer would be ambiguous.
    """
    head_of: dict[tuple[HeadKind, str], str] = {}
    for name, head in heads.items():
        for label in head.labels:
            other = head_of.setdefault((head.kind, label.name), name)
            if other != name:
                raise PublishRefused(
                    f"{label.name} is a label of {other} and of {name}: replace {other}, or "
                    "train without that label"
                )
        if len({label.name for label in head.labels}) < len(head.labels):
            raise PublishRefused(f"{name} names a label twice")


def is_head_name(name: str) -> bool:
    """Return whether a head can have a name: it must be no task and no part of a version."""
    return bool(_HEAD_NAME.fullmatch(name)) and not _RESERVED_NAMES.fullmatch(name)


def _require_match(head: NewHead, base: ModelManifest) -> None:
    """Refuse a head that does not match the base, or a folder that holds other files."""
    if not _HEAD_NAME.fullmatch(head.name):
        raise InvalidVersion("the name of a head consists of lower-case letters, digits and _")
    if _RESERVED_NAMES.fullmatch(head.name):
        raise InvalidVersion(f"the name {head.name} is reserved and cannot name a head")
    old = base.heads.get(head.name)
    if old is not None and old.kind != head.spec.kind:
        raise InvalidVersion(
            f"{head.name} of {base.name}/{base.version} is a head of kind {old.kind}, not "
            f"{head.spec.kind}: publish it under another name"
        )
    refuse_repeated_labels({**base.heads, head.name: head.spec})
    if head.spec.file != f"heads/{head.name}.onnx":
        raise InvalidVersion(f"the file of a head is heads/{head.name}.onnx")
    available = {*base.trunk.outputs}
    if base.text is not None and head.spec.kind is Task.GROUND:
        available.add("phrase_features")
    if unknown := sorted(set(head.spec.inputs) - available):
        raise InvalidVersion(f"{base.name}/{base.version} does not produce {', '.join(unknown)}")
    needed, found = {head.spec.file, GOLDEN_NAME}, set(list_files(head.folder))
    if missing := sorted(needed - found):
        raise InvalidVersion(f"files are missing: {', '.join(missing)}")
    if extra := sorted(found - needed - {CARD_NAME}):
        raise InvalidVersion(f"files that do not belong to a head: {', '.join(extra)}")


def _overlay(stage: Path, head: NewHead, base: ModelManifest) -> None:
    """Replace or add the files of the head in the copy of the base.

    Variants and golden answers of the base do not include the head and are removed.
    """
    replaced = [base.golden.answers] if base.golden.answers else []
    for variant in base.variants.values():
        replaced += [variant.trunk, variant.golden.file]
    for name in replaced:
        (stage / name).unlink()
    old = base.heads.get(head.name)
    if old is not None and old.file != head.spec.file and _unused(old.file, head.name, base):
        (stage / old.file).unlink()
    for name in (head.spec.file, CARD_NAME):
        if name == CARD_NAME and not (head.folder / name).exists():
            continue
        with open_regular(head.folder / name) as file:
            (stage / name).parent.mkdir(exist_ok=True)
            (stage / name).write_bytes(file.read())
    new = _new_outputs(head, _arrays(stage / base.golden.file))
    np.savez(stage / base.golden.file, **new)  # type: ignore[arg-type] # numpy's stub


def _unused(file: str, head: str, base: ModelManifest) -> bool:
    """Return whether no other head of the base uses a file."""
    return all(spec.file != file for name, spec in base.heads.items() if name != head)


def _new_outputs(head: NewHead, base: Arrays) -> dict[str, NDArray[Any]]:
    """Return the golden arrays of the base with those of the head replaced."""
    given, prefix = _arrays(head.folder / GOLDEN_NAME), f"{head.name}."
    if foreign := sorted(name for name in given if not name.startswith(prefix)):
        raise InvalidVersion(f"golden outputs that are not of the head: {', '.join(foreign)}")
    if missing := sorted({prefix + name for name in head.spec.outputs} - set(given)):
        raise InvalidVersion(f"golden outputs are missing: {', '.join(missing)}")
    images = len(base["image"])
    for name, values in given.items():
        if values.dtype != np.float32 or not np.isfinite(values).all():
            raise InvalidVersion(f"golden output {name} is not finite float32")
        if values.ndim < 2 or len(values) != images:
            raise InvalidVersion(f"golden output {name} does not cover {images} images")
    kept = {name: values for name, values in base.items() if not name.startswith(prefix)}
    return {**kept, **given}


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an `.npz` file; pickled objects are refused."""
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidVersion(f"{path.name} is not an archive of arrays") from error


def _manifest(
    base: ModelManifest,
    head: NewHead,
    digests: dict[str, str],
    version: int,
    provenance: Provenance,
) -> ModelManifest:
    """Return the manifest of the base with the head replaced in place, or added at the end."""
    return base.model_copy(
        update={
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "heads": {**base.heads, head.name: head.spec},
            "variants": {},
            "files": digests,
            "provenance": provenance,
        }
    )
