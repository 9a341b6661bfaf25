"""The cost of the checks is measured on a version that has some, and refused for others."""

from pathlib import Path

import pytest

from bench.costs import pixel_checks
from radiograph.repository.head_publishing import publish_head
from radiograph.repository.repository import Repository
from tests.builders.models.versions import tiny_version
from tests.builders.models.versions.tiny_checks import new_head


def test_both_sets_of_heads_are_compared(
    tiny_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny_version.copy(tiny_models, tmp_path / "models")
    with new_head(root) as head:
        publish_head(Repository(root), "tiny", head, alias="stable")
    pixel_checks.main(["--models", str(root), "--model", "tiny", "--rounds", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["classify", "all"]
    assert all("with checks" in line and line.endswith(" x") for line in lines)


def test_a_version_without_checks_is_refused(
    tiny_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        pixel_checks.main(["--models", str(tiny_models), "--model", "tiny"])
    assert stopped.value.code == 2
    assert "tiny/1 has no checks" in capsys.readouterr().err
