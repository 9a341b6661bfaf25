"""The digest of a version is pinned when it is published, and another one is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from radiograph.errors import AlteredVersion, InvalidVersion, PublishRefused
from radiograph.repository.integrity.index import INDEX_NAME, IndexFile
from radiograph.repository.repository import Repository
from tests.builders.models.faults.publishers import race
from tests.builders.models.versions.small_version import NAME, manifest_of

SHIPPED = Repository(Path(__file__).parents[4] / "models")
PIN_BOTH = """
from radiograph.repository.integrity.index import IndexFile
print("ready", flush=True); sys.stdin.readline()
for number in range(int(sys.argv[3]), 60, 2):
    IndexFile(repository.root / NAME).pin(number, f"{number:064x}")
"""


def index_of(repository: Repository) -> Path:
    return repository.root / NAME / INDEX_NAME


def relabel(version: Path) -> None:
    """Change the manifest so that it stays valid, and its files keep their digests."""
    path = version / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["heads"]["findings"]["labels"][0]["threshold"] = 0.0
    path.write_text(json.dumps(manifest))


def test_publishing_pins_the_digest(repository: Repository, version: Path) -> None:
    pinned = json.loads(index_of(repository).read_text())
    digest = repository.digest(NAME, 1)
    assert pinned == {"schema_version": 1, "digests": {"1": digest}}
    verified = repository.verify(NAME, 1)
    assert (verified.digest, verified.pinned) == (digest, True)


def test_a_manifest_that_was_edited_in_place_is_refused(
    repository: Repository, version: Path
) -> None:
    relabel(version)
    with pytest.raises(AlteredVersion, match=r"^small/1: the manifest was changed"):
        repository.verify(NAME, 1)
    with pytest.raises(AlteredVersion):
        repository.pin(NAME, 1)


def test_a_version_without_a_pin_is_accepted_until_it_gets_one(
    repository: Repository, version: Path
) -> None:
    index_of(repository).unlink()
    assert not repository.verify(NAME, 1).pinned
    assert repository.pin(NAME, 1)
    assert not repository.pin(NAME, 1)
    relabel(version)
    with pytest.raises(AlteredVersion):
        repository.verify(NAME, 1)


def test_a_damaged_version_gets_no_pin(repository: Repository, version: Path) -> None:
    index_of(repository).unlink()
    (version / "trunk.onnx").write_bytes(b"other")
    with pytest.raises(InvalidVersion, match=r"trunk\.onnx"):
        repository.pin(NAME, 1)
    assert not index_of(repository).exists()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"schema_version": 2, "digests": {}}',
        b'{"schema_version": 1, "digests": {"0": "' + b"0" * 64 + b'"}}',
        b'{"schema_version": 1, "digests": {"1": "00"}}',
        b'{"schema_version": 1, "digests": {"1": null}}',
        b'{"schema_version": 1, "digests": {}, "more": 1}',
        b"[" * 100_000,
    ],
)
def test_a_corrupt_index_refuses_every_version(
    repository: Repository, stage: Path, version: Path, text: bytes
) -> None:
    index_of(repository).write_bytes(text)
    with pytest.raises(InvalidVersion, match=r"index\.json"):
        repository.verify(NAME, 1)
    with pytest.raises(PublishRefused, match=r"index\.json"):
        repository.publish(NAME, stage, manifest_of(stage))
    assert repository.versions(NAME) == [1]
    assert index_of(repository).read_bytes() == text


def test_an_index_that_is_a_link_is_refused(
    repository: Repository, version: Path, tmp_path: Path
) -> None:
    index_of(repository).rename(tmp_path / "index.json")
    index_of(repository).symlink_to(tmp_path / "index.json")
    with pytest.raises(InvalidVersion, match=r"index\.json"):
        repository.verify(NAME, 1)


def test_a_pinned_number_is_not_given_again(
    repository: Repository, publish: Callable[[], int]
) -> None:
    publish()
    IndexFile(repository.root / NAME).pin(5, "0" * 64)
    assert publish() == 6


def test_pins_that_are_written_at_one_time_are_all_kept(
    repository: Repository, stage: Path, version: Path
) -> None:
    race(PIN_BOTH, [(repository.root, stage, start) for start in (2, 3)])
    assert sorted(IndexFile(repository.root / NAME).read().digests) == list(range(1, 60))


@pytest.mark.parametrize("version", SHIPPED.versions("g2d-cxr"))
def test_a_shipped_version_is_pinned(version: int) -> None:
    assert SHIPPED.verify("g2d-cxr", version).pinned, "run g2d models pin, and commit index.json"
