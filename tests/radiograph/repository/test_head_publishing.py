"""A head is published onto a version, and nothing but that head changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radiograph.errors import InvalidVersion, ModelNotFound, PublishRefused
from radiograph.manifest import GoldenSpec, HeadSpec, ModelManifest, VariantSpec
from radiograph.repository.head_publishing import NewHead, publish_head
from radiograph.repository.integrity.version_files import digest_files, write_file
from radiograph.repository.repository import Repository
from tests.builders.models.versions import small_version
from tests.builders.models.versions.small_version import GRAPH, NAME

OTHER_GRAPH = bytes.fromhex("0808 3a03 1201 68")
LOGITS = np.zeros((2, 1), np.float32)
LABELS = {"devices": "Pacemaker"}


@pytest.fixture
def base(repository: Repository, tmp_path: Path) -> ModelManifest:
    """A version with golden arrays of two images, as `stable`."""
    stage = small_version.write_stage(tmp_path / "base")
    arrays = {"image": np.zeros((2, 1, 4, 4), np.float32), "findings.logits": LOGITS + 1}
    np.savez(stage / "golden.npz", **arrays)  # type: ignore[arg-type] # numpy's stub
    repository.publish(NAME, stage, small_version.manifest_of(stage), "stable")
    return repository.load_manifest(NAME, 1)


def spec(name: str = "findings", **changes: Any) -> HeadSpec:
    fields = {
        "kind": "classify",
        "file": f"heads/{name}.onnx",
        "inputs": ("global_features",),
        "labels": ({"name": LABELS.get(name, "Pneumonia"), "threshold": 0.25},),
    }
    return HeadSpec.model_validate({**fields, **changes})


def new_head(tmp_path: Path, name: str = "findings", **changes: Any) -> NewHead:
    folder = tmp_path / "new"
    (folder / "heads").mkdir(parents=True)
    write_file(folder / f"heads/{name}.onnx", OTHER_GRAPH)
    np.savez(folder / "golden.npz", **{f"{name}.logits": LOGITS})  # type: ignore[arg-type]
    return NewHead(name, spec(name, **changes), folder)


def test_the_next_version_is_the_base_with_the_new_head(
    repository: Repository, base: ModelManifest, tmp_path: Path
) -> None:
    head = new_head(tmp_path)
    assert publish_head(repository, NAME, head, alias="canary") == 2
    repository.verify(NAME, 2)
    manifest = repository.load_manifest(NAME, 2)
    assert manifest.heads == {"findings": head.spec}
    changed = {name for name in base.files if manifest.files[name] != base.files[name]}
    assert changed == {"heads/findings.onnx", "golden.npz"}
    assert repository.aliases(NAME) == {"stable": 1, "canary": 2}
    with np.load(repository.folder(NAME, 2) / "golden.npz") as golden:
        assert set(golden.files) == {"image", "findings.logits"}
        assert (golden["findings.logits"] == LOGITS).all()


def test_variants_of_the_base_are_left_out(repository: Repository, tmp_path: Path) -> None:
    """Their golden outputs and their drift do not include the new head."""
    stage = small_version.write_stage(tmp_path / "base")
    arrays = {"image": np.zeros((2, 1, 4, 4), np.float32), "findings.logits": LOGITS + 1}
    np.savez(stage / "golden.npz", **arrays)  # type: ignore[arg-type] # numpy's stub
    write_file(stage / "trunk_int8.onnx", GRAPH)
    write_file(stage / "golden_int8.npz", (stage / "golden.npz").read_bytes())
    recorded = GoldenSpec(file="golden_int8.npz", tolerance=0.01)
    variants = {"int8": VariantSpec(trunk="trunk_int8.onnx", golden=recorded, calibration="")}
    plain = small_version.manifest_of(stage)
    repository.publish(
        NAME,
        stage,
        lambda number: plain(number).model_copy(update={"variants": variants}),
        "stable",
    )
    publish_head(repository, NAME, new_head(tmp_path), alias="canary")
    repository.verify(NAME, 2)
    assert repository.load_manifest(NAME, 1).variants == variants
    assert repository.load_manifest(NAME, 2).variants == {}


def test_files_are_copied_not_linked_and_the_base_stays_as_it_was(
    repository: Repository, base: ModelManifest, tmp_path: Path
) -> None:
    before = digest_files(repository.folder(NAME, 1))
    publish_head(repository, NAME, new_head(tmp_path))
    assert digest_files(repository.folder(NAME, 1)) == before
    assert (repository.folder(NAME, 2) / "trunk.onnx").stat().st_nlink == 1
    repository.verify(NAME, 1)


def test_a_head_of_a_new_name_is_added(
    repository: Repository, base: ModelManifest, tmp_path: Path
) -> None:
    publish_head(repository, NAME, new_head(tmp_path, "devices"))
    manifest = repository.load_manifest(NAME, 2)
    assert list(manifest.heads) == ["findings", "devices"]
    assert (repository.folder(NAME, 2) / "heads/findings.onnx").read_bytes() == GRAPH


def test_card_and_provenance_are_those_of_the_new_version(
    repository: Repository, base: ModelManifest, tmp_path: Path
) -> None:
    head = new_head(tmp_path)
    write_file(head.folder / "MODEL_CARD.md", b"# New\n")
    publish_head(
        repository, NAME, head, provenance=lambda old: old.model_copy(update={"commit": "1" * 40})
    )
    assert repository.load_manifest(NAME, 2).provenance.commit == "1" * 40
    assert (repository.folder(NAME, 2) / "MODEL_CARD.md").read_bytes() == b"# New\n"


def test_the_base_is_the_requested_version(
    repository: Repository, base: ModelManifest, tmp_path: Path
) -> None:
    head = new_head(tmp_path, "devices")
    publish_head(repository, NAME, head, base=1)
    publish_head(repository, NAME, head, base=2)
    assert list(repository.load_manifest(NAME, 3).heads) == ["findings", "devices"]
    with pytest.raises(ModelNotFound):
        publish_head(repository, NAME, head, base=9)


def pixel_inputs(head: NewHead) -> NewHead:
    return NewHead(head.name, spec(inputs=("pixel_embeddings",)), head.folder)


def phrase_inputs(head: NewHead) -> NewHead:
    return NewHead(head.name, spec(inputs=("phrase_features",)), head.folder)


def other_file(head: NewHead) -> NewHead:
    return NewHead(head.name, spec(file="trunk.onnx"), head.folder)


def other_name(head: NewHead) -> NewHead:
    return NewHead("../x", head.spec, head.folder)


def called(name: str) -> Callable[[NewHead], NewHead]:
    return lambda head: NewHead(name, spec(name), head.folder)


def other_kind(head: NewHead) -> NewHead:
    return NewHead(head.name, spec(kind="segment"), head.folder)


def label_twice(head: NewHead) -> NewHead:
    labels = ({"name": "Effusion"}, {"name": "Effusion"})
    return NewHead(head.name, spec(labels=labels), head.folder)


def link(folder: Path) -> None:
    (folder / "heads/findings.onnx").unlink()
    (folder / "heads/findings.onnx").symlink_to("/etc/passwd")


def changed(write: Callable[[Path], object]) -> Callable[[NewHead], NewHead]:
    def change(head: NewHead) -> NewHead:
        write(head.folder)
        return head

    return change


def golden(**arrays: Any) -> Callable[[NewHead], NewHead]:
    return changed(lambda folder: np.savez(folder / "golden.npz", **arrays))


FAULTS: dict[str, tuple[Callable[[NewHead], NewHead], str]] = {
    "reads what the trunk does not produce": (pixel_inputs, "does not produce pixel_embeddings"),
    "reads phrases of a base without text": (phrase_inputs, "does not produce phrase_features"),
    "takes the trunk's place": (other_file, "the file of a head is"),
    "leaves the folder by its name": (other_name, "the name of a head"),
    "has the trunk's name": (called("trunk"), "is reserved"),
    "has a task's name": (called("classify"), "is reserved"),
    "has a version's name": (called("v2"), "is reserved"),
    "takes the name of another kind": (other_kind, "findings of .* is a head of kind classify"),
    "has a label of another head": (called("more"), "is a label of findings and of more"),
    "has a label twice": (label_twice, "names a label twice"),
    "no graph": (changed(lambda f: (f / "heads/findings.onnx").unlink()), "missing"),
    "not a graph": (
        changed(lambda f: (f / "heads/findings.onnx").write_bytes(b"\xff")),
        "not an ONNX graph",
    ),
    "a linked graph": (changed(link), "is a link"),
    "more than a head": (
        changed(lambda f: (f / "trunk.onnx").write_bytes(GRAPH)),
        "do not belong to",
    ),
    "no golden outputs": (changed(lambda f: (f / "golden.npz").unlink()), "missing"),
    "not an archive": (changed(lambda f: (f / "golden.npz").write_bytes(b"PK")), "not an archive"),
    "a bare array": (
        changed(lambda f: (f / "golden.npz").write_bytes(b"\x93NUMPY\x01\x00")),
        "not an archive",
    ),
    "a pickle": (golden(**{"findings.logits": np.array([{}], object)}), "not an archive"),
    "outputs of the trunk": (
        golden(**{"findings.logits": LOGITS, "trunk.global_features": LOGITS}),
        "not of the head",
    ),
    "other outputs": (golden(**{"findings.scores": LOGITS}), "are missing: findings.logits"),
    "not a number": (golden(**{"findings.logits": LOGITS + np.nan}), "not finite float32"),
    "double precision": (golden(**{"findings.logits": LOGITS.astype(float)}), "finite float32"),
    "other images": (golden(**{"findings.logits": LOGITS[:1]}), "does not cover 2 images"),
}


@pytest.mark.parametrize(("change", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_head_that_does_not_match_its_base_is_refused(
    repository: Repository,
    base: ModelManifest,
    tmp_path: Path,
    change: Callable[[NewHead], NewHead],
    reason: str,
) -> None:
    head = change(new_head(tmp_path))
    with pytest.raises(PublishRefused, match=reason):
        publish_head(repository, NAME, head, alias="stable")
    assert repository.versions(NAME) == [1]
    assert repository.aliases(NAME) == {"stable": 1}


def test_a_base_that_fails_verification_is_refused(
    repository: Repository, base: ModelManifest, tmp_path: Path
) -> None:
    (repository.folder(NAME, 1) / "trunk.onnx").write_bytes(OTHER_GRAPH)
    with pytest.raises(InvalidVersion, match=r"trunk\.onnx"):
        publish_head(repository, NAME, new_head(tmp_path))
    assert repository.versions(NAME) == [1]


def test_a_head_of_candidates_needs_golden_boxes(
    repository: Repository, base: ModelManifest, tmp_path: Path
) -> None:
    head = new_head(tmp_path, "boxes", kind="detect", form="candidates")
    golden = head.folder / "golden.npz"
    with pytest.raises(PublishRefused, match=r"golden outputs are missing: boxes\.boxes"):
        publish_head(repository, NAME, head)
    np.savez(golden, **{"boxes.logits": np.zeros((2, 1, 3), np.float32)})  # type: ignore[arg-type]
    with pytest.raises(PublishRefused, match=r"golden outputs are missing: boxes\.boxes"):
        publish_head(repository, NAME, head)
    arrays = {
        "boxes.logits": np.zeros((2, 1, 3), np.float32),
        "boxes.boxes": np.zeros((2, 3, 4), np.float32),
    }
    np.savez(golden, **arrays)  # type: ignore[arg-type] # numpy's stub
    number = publish_head(repository, NAME, head)
    assert repository.load_manifest(NAME, number).heads["boxes"].form == "candidates"
