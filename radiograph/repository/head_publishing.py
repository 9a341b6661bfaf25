"""Head publishing: a version and one new head become the next version.

    base version --copied--------> stage: every file, the head's graph replaced or added
    folder: heads/<head>.onnx --'         golden.npz: the base's arrays, the head's outputs anew
            golden.npz, MODEL_CARD.md     manifest: heads, files, created, provenance
                                   stage --Repository.publish--> version n

The trunk and the text side stay the same files byte for byte, so a service that has the base
loaded loads the new head alone. Whether the head's golden outputs really come out is checked
by whoever loads the version, the service included.
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
from radiograph.manifest import HeadSpec, ModelManifest, Provenance, Task
from radiograph.repository.repository import DEFAULT_ALIAS, Repository
from radiograph.repository.version_files import copy_files, digest_files, list_files, open_regular

CARD_NAME = "MODEL_CARD.md"
GOLDEN_NAME = "golden.npz"
_HEAD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NO_HEADS = re.compile("|".join(("trunk", "text", "analyze", "v[0-9]+", *Task)))
"""What golden arrays of the base begin with, and what Triton's ensembles are called."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class NewHead:
    """One head that is to be published.

    Attributes:
        name: the head's; one of that name in the base is replaced.
        spec: its entry in the manifest; `file` is `heads/<name>.onnx`.
        folder: holds `heads/<name>.onnx`, `golden.npz` with `<name>.<output>` for the base's
            golden inputs, and, where it shall be another, `MODEL_CARD.md`; nothing else.
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
    alias: str | None = None,
) -> int:
    """Publish a version and one new head as the next version.

    Args:
        repository: where.
        model: the model.
        head: what is new.
        base: the version that it was trained on, by number or alias.
        provenance: the base's provenance -> that of the new version.
        alias: pointed to the new version once it is there.

    Returns:
        The number of the new version.

    Raises:
        PublishRefused: the head does not fit the base, or a file does not hold. Nothing was
            published.
        ModelNotFound: no such base, or `alias` is not a name for an alias.
        InvalidVersion: the base itself does not hold.
        OSError: as `Repository.publish`.
    """
    number = repository.resolve(model, base)
    repository.verify(model, number)
    manifest = repository.load_manifest(model, number)
    with TemporaryDirectory() as temporary:
        stage = Path(temporary)
        try:
            _require_fit(head, manifest)
            copy_files(repository.folder(model, number), stage)
            _lay_over(stage, head, manifest)
            digests = digest_files(stage)
        except InvalidVersion as error:
            raise PublishRefused(f"nothing was published: {error}") from error

        def build(version: int) -> ModelManifest:
            return _manifest(manifest, head, digests, version, provenance(manifest.provenance))

        return repository.publish(model, stage, build, alias)


def refuse_repeated_labels(heads: Mapping[str, HeadSpec]) -> None:
    """Refuse two heads of one kind that name one label, and a head that names it twice.

    Raises:
        PublishRefused: whoever reads an answer could not tell one from the other.
    """
    seen: dict[tuple[Task, str], str] = {}
    for name, head in heads.items():
        for label in head.labels:
            before = seen.setdefault((head.kind, label.name), name)
            if before != name:
                raise PublishRefused(
                    f"{label.name} is a label of {before} and of {name}: replace {before}, or "
                    "train without that label"
                )
        if len({label.name for label in head.labels}) < len(head.labels):
            raise PublishRefused(f"{name} names a label twice")


def _require_fit(head: NewHead, base: ModelManifest) -> None:
    """Refuse a head that the base has nothing to feed, or a folder with more than a head."""
    if not _HEAD_NAME.fullmatch(head.name):
        raise InvalidVersion("a head's name has small letters, digits and _")
    if _NO_HEADS.fullmatch(head.name):
        raise InvalidVersion(f"a head's name is not {head.name}: that is another part's")
    old = base.heads.get(head.name)
    if old is not None and old.kind is not head.spec.kind:
        raise InvalidVersion(
            f"{head.name} of {base.name}/{base.version} is a head of kind {old.kind}, not "
            f"{head.spec.kind}: publish it under another name"
        )
    refuse_repeated_labels({**base.heads, head.name: head.spec})
    if head.spec.file != f"heads/{head.name}.onnx":
        raise InvalidVersion(f"the file of a head is heads/{head.name}.onnx")
    given = {*base.trunk.outputs}
    if base.text is not None and head.spec.kind is Task.GROUND:
        given.add("phrase_features")
    if unknown := sorted(set(head.spec.inputs) - given):
        raise InvalidVersion(f"{base.name}/{base.version} does not give {', '.join(unknown)}")
    needed, found = {head.spec.file, GOLDEN_NAME}, set(list_files(head.folder))
    if missing := sorted(needed - found):
        raise InvalidVersion(f"files are missing: {', '.join(missing)}")
    if extra := sorted(found - needed - {CARD_NAME}):
        raise InvalidVersion(f"files that are no part of a head: {', '.join(extra)}")


def _lay_over(stage: Path, head: NewHead, base: ModelManifest) -> None:
    """Put what is new over the copy of the base."""
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
    return all(spec.file != file for name, spec in base.heads.items() if name != head)


def _new_outputs(head: NewHead, base: Arrays) -> dict[str, NDArray[Any]]:
    """The golden arrays of the base, those of the head being replaced."""
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
            raise InvalidVersion(f"golden output {name} is not of {images} images")
    kept = {name: values for name, values in base.items() if not name.startswith(prefix)}
    return {**kept, **given}


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz` file, no pickle among them."""
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidVersion(f"{path.name}: not an archive of arrays") from error


def _manifest(
    base: ModelManifest,
    head: NewHead,
    digests: dict[str, str],
    version: int,
    provenance: Provenance,
) -> ModelManifest:
    """The base's manifest with the new head in the old one's place, or at the end."""
    return base.model_copy(
        update={
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "heads": {**base.heads, head.name: head.spec},
            "files": digests,
            "provenance": provenance,
        }
    )
