"""Valid versions are found and verified, whatever other files lie beside them."""

import errno
import os
from pathlib import Path

import pytest

from radiograph.errors import (
    InvalidVersion,
    ModelNotFound,
)
from radiograph.repository.repository import Repository
from tests.builders.models.versions.small_version import NAME, manifest_of

# verify


def test_an_altered_file_fails_verification(repository: Repository, version: Path) -> None:
    (version / "golden.npz").write_bytes(b"golden?")
    with pytest.raises(InvalidVersion, match=r"small/1: golden\.npz does not have the digest"):
        repository.verify(NAME, 1)


def test_a_missing_file_fails_verification(repository: Repository, version: Path) -> None:
    (version / "golden.npz").unlink()
    with pytest.raises(InvalidVersion, match=r"files are missing: golden\.npz"):
        repository.verify(NAME, 1)


@pytest.mark.parametrize("extra", ["evil.so", "heads/evil.so", ".hidden", "heads/manifest.json"])
def test_an_unknown_file_fails_verification(
    repository: Repository, version: Path, extra: str
) -> None:
    (version / extra).write_bytes(b"")
    with pytest.raises(InvalidVersion, match="that the manifest does not name"):
        repository.verify(NAME, 1)


def test_a_file_behind_a_symbolic_link_fails_verification(
    repository: Repository, version: Path, tmp_path: Path
) -> None:
    (version / "golden.npz").rename(tmp_path / "golden.npz")
    (version / "golden.npz").symlink_to(tmp_path / "golden.npz")
    with pytest.raises(InvalidVersion, match=r"golden\.npz is a link"):
        repository.verify(NAME, 1)


def test_a_folder_behind_a_symbolic_link_fails_verification(
    repository: Repository, version: Path, tmp_path: Path
) -> None:
    (version / "heads").rename(tmp_path / "heads")
    (version / "heads").symlink_to(tmp_path / "heads")
    with pytest.raises(InvalidVersion, match="heads is a link"):
        repository.verify(NAME, 1)


def test_a_hard_link_fails_verification(
    repository: Repository, version: Path, tmp_path: Path
) -> None:
    (tmp_path / "second").hardlink_to(version / "golden.npz")
    with pytest.raises(InvalidVersion, match=r"golden\.npz is a hard link"):
        repository.verify(NAME, 1)


def test_a_folder_in_place_of_a_file_fails_verification(
    repository: Repository, version: Path
) -> None:
    (version / "golden.npz").unlink()
    (version / "golden.npz").mkdir()
    with pytest.raises(InvalidVersion, match=r"files are missing: golden\.npz"):
        repository.verify(NAME, 1)


def test_a_file_that_cannot_be_read_fails_verification(
    repository: Repository, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    manifest = repository.load_manifest(NAME, 1)
    monkeypatch.setattr(Repository, "load_manifest", lambda *_: manifest)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InvalidVersion, match="Permission denied"):
        repository.verify(NAME, 1)


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b"null", b"[" * 100_000])
def test_a_version_with_a_corrupt_manifest_is_listed_but_invalid(
    repository: Repository, version: Path, text: bytes
) -> None:
    (version / "manifest.json").write_bytes(text)
    assert repository.versions(NAME) == [1]
    with pytest.raises(InvalidVersion, match="small/1: "):
        repository.load_manifest(NAME, 1)
    with pytest.raises(InvalidVersion, match="small/1: "):
        repository.verify(NAME, 1)


def test_a_manifest_of_another_version_is_invalid(repository: Repository, version: Path) -> None:
    version.rename(version.parent / "2")
    with pytest.raises(InvalidVersion, match=r"small/2: the manifest is of small/1"):
        repository.load_manifest(NAME, 2)


def test_a_manifest_behind_a_link_is_not_read(
    repository: Repository, version: Path, tmp_path: Path
) -> None:
    (version / "manifest.json").rename(tmp_path / "manifest.json")
    (version / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(InvalidVersion, match="small/1: "):
        repository.load_manifest(NAME, 1)
    with pytest.raises(InvalidVersion, match="small/1: "):
        repository.digest(NAME, 1)


def test_a_manifest_over_the_size_limit_is_not_read(
    repository: Repository, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radiograph.repository.integrity.version_files.MAX_JSON_BYTES", 100)
    with pytest.raises(InvalidVersion, match="larger than 100 bytes"):
        repository.load_manifest(NAME, 1)


# names and garbage


@pytest.mark.parametrize(
    "name", ["../models/small", "..", ".", "", "/", "small/", "small/1", "a\0"]
)
def test_a_name_that_leaves_the_folder_is_not_a_model(
    repository: Repository, version: Path, name: str
) -> None:
    assert repository.versions(name) == []
    for call in (repository.aliases, repository.resolve):
        with pytest.raises(ModelNotFound):
            call(name)
    with pytest.raises(ModelNotFound):
        repository.folder(name, 1)


def test_a_long_name_is_shortened_in_the_message(repository: Repository) -> None:
    with pytest.raises(ModelNotFound) as caught:
        repository.resolve("\n" * 1_000_000)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "ref",
    [
        0,
        -1,
        2,
        pytest.param(10**5000, id="huge"),
        "0",
        "-1",
        "01",
        "007",
        "2",
        "1 ",
        "1\n",
        "٣",
        "",
        "../1",
        "beta",
    ],
)
def test_a_version_that_does_not_exist_is_not_found(
    repository: Repository, version: Path, ref: str | int
) -> None:
    with pytest.raises(ModelNotFound):
        repository.resolve(NAME, ref)


def test_other_files_beside_the_versions_are_ignored(
    repository: Repository, version: Path, tmp_path: Path
) -> None:
    home = version.parent
    for folder in ("007", "-1", "0", "1.5", "٣", "10", ".publish-dead", "11/manifest.json"):
        (home / folder).mkdir(parents=True)
    (home / "2").write_text("a file where a folder should be")
    (home / "3").symlink_to(version)
    (home / "4").symlink_to(home / "4")
    (home / "aliases.json").write_text("")
    assert repository.versions(NAME) == [1]
    assert repository.names() == [NAME]
    repository.verify(NAME, 1)


def test_other_files_beside_the_models_are_ignored(repository: Repository, version: Path) -> None:
    (repository.root / "file").write_text("")
    (repository.root / "empty").mkdir()
    (repository.root / "Upper").mkdir()
    (repository.root / ".git").mkdir()
    (repository.root / "loop").symlink_to(repository.root / "loop")
    assert repository.names() == [NAME]


def test_a_missing_folder_holds_no_models(tmp_path: Path) -> None:
    assert Repository(tmp_path / "nowhere").names() == []
    (tmp_path / "file").write_text("")
    assert Repository(tmp_path / "file").names() == []


def test_reading_writes_nothing(repository: Repository, stage: Path) -> None:
    repository.publish(NAME, stage, manifest_of(stage), alias="stable")
    home = repository.root / NAME
    (home / ".publish.lock").unlink()
    (home / ".aliases.lock").unlink()
    before = sorted(repository.root.rglob("*"))
    for path in [home / "1", home, repository.root]:
        path.chmod(0o555)
    try:
        assert repository.resolve(NAME) == 1
        assert repository.aliases(NAME) == {"stable": 1}
        repository.verify(NAME, 1)
        assert sorted(repository.root.rglob("*")) == before
    finally:
        for path in [repository.root, home, home / "1"]:
            path.chmod(0o755)
