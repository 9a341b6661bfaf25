"""`g2d models`: versions are listed, shown and verified; aliases are changed and rolled back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from radiograph.repository.repository import Repository
from tests.builders.g2d.command_line import failed, g2d
from tests.builders.models.versions import tiny_version
from tests.builders.models.versions.small_version import NAME, manifest_of, write_stage

ROOT = Path(__file__).parents[4]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Versions 1 and 2 of one model; `stable` went from 1 to 2."""
    repository, stage = Repository(tmp_path / "models"), write_stage(tmp_path / "stage")
    for _ in range(2):
        repository.publish(NAME, stage, manifest_of(stage), alias="stable")
    return repository


def test_the_list_shows_versions_aliases_and_tasks(repository: Repository) -> None:
    result = g2d("models", "list", models=repository.root)
    head, first, second = (line.split() for line in result.stdout.splitlines())
    assert head == ["NAME", "VERSION", "ALIASES", "CREATED", "TASKS"]
    assert first == [NAME, "1", "-", "2026-11-24T00:00:00+00:00", "classify"]
    assert second == [NAME, "2", "stable", "2026-11-24T00:00:00+00:00", "classify"]


def test_the_list_is_json_when_asked(repository: Repository) -> None:
    result = g2d("models", "list", "--json", "--models-dir", str(repository.root))
    rows = json.loads(result.stdout)
    assert [(row["version"], row["aliases"], row["error"]) for row in rows] == [
        (1, [], None),
        (2, ["stable"], None),
    ]
    assert rows[0]["digest"] == repository.digest(NAME, 1)


def test_the_list_names_corrupt_versions_and_goes_on(repository: Repository) -> None:
    (repository.folder(NAME, 1) / "manifest.json").write_text("{")
    (repository.root / NAME / "aliases.json").write_text("")
    result = g2d("models", "list", models=repository.root)
    assert result.exit_code == 0
    assert "aliases.json" in result.stderr
    assert "invalid: small/1: manifest: Invalid JSON" in result.stdout
    assert f"{NAME}  2" in result.stdout


def test_an_empty_repository_is_reported_and_is_not_a_failure(tmp_path: Path) -> None:
    result = g2d("models", "list", models=tmp_path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no model in" in result.stderr
    assert json.loads(g2d("models", "list", "--json", models=tmp_path).stdout) == []


def test_show_describes_the_stable_version(repository: Repository) -> None:
    result = g2d("models", "show", NAME, models=repository.root)
    assert result.stdout.startswith(f"{NAME}/2 ")
    assert f"sha256:{repository.digest(NAME, 2)}" in result.stdout
    assert "findings (classify): Pneumonia" in result.stdout


def test_show_gives_the_manifest_as_json(repository: Repository) -> None:
    result = g2d("models", "show", NAME, "1", "--json", models=repository.root)
    assert result.stdout == (repository.folder(NAME, 1) / "manifest.json").read_text()


def test_an_alias_is_moved_and_rolled_back(repository: Repository) -> None:
    assert g2d("models", "alias", NAME, "canary", "1", models=repository.root).exit_code == 0
    assert repository.aliases(NAME) == {"stable": 2, "canary": 1}
    result = g2d("models", "rollback", NAME, models=repository.root)
    assert result.stdout == f"{NAME}: stable -> 1\n"
    assert repository.resolve(NAME) == 1


def test_an_alias_that_was_changed_meanwhile_is_left_alone(repository: Repository) -> None:
    result = g2d("models", "alias", NAME, "stable", "1", "--expected", "1", models=repository.root)
    failed(result, "points to version 2, not to 1", 4)
    assert repository.resolve(NAME) == 2


def test_an_alias_is_not_moved_to_a_version_that_fails_verification(repository: Repository) -> None:
    (repository.folder(NAME, 1) / "golden.npz").write_bytes(b"altered")
    failed(g2d("models", "alias", NAME, "stable", "1", models=repository.root), "digest", 4)
    assert repository.resolve(NAME) == 2


def test_verify_checks_the_digests_of_every_version(repository: Repository) -> None:
    result = g2d("models", "verify", "--no-golden", models=repository.root)
    assert result.stdout == f"{NAME}/1: digests match\n{NAME}/2: digests match\n"


def test_verify_names_each_version_that_fails_verification(repository: Repository) -> None:
    (repository.folder(NAME, 1) / "golden.npz").write_bytes(b"altered")
    result = g2d("models", "verify", "--no-golden", models=repository.root)
    assert result.exit_code == 4
    assert result.stdout == f"{NAME}/2: digests match\n"
    first, last = result.stderr.splitlines()
    assert first.startswith(f"{NAME}/1: golden.npz does not have the digest")
    assert last == "g2d: error: 1 of 2 versions failed verification"


def test_verify_replays_the_golden_outputs(tiny_models: Path) -> None:
    result = g2d("models", "verify", models=tiny_models)
    assert result.exit_code == 0
    assert result.stdout.startswith("tiny/1: digests match; golden outputs within ")


def test_verify_refuses_golden_outputs_that_differ(tmp_path: Path) -> None:
    def alter(stage: Path) -> None:
        with np.load(stage / "golden.npz") as archive:
            arrays = dict(archive)
        arrays["findings.logits"] = arrays["findings.logits"] + np.float32(0.1)
        np.savez(stage / "golden.npz", **arrays)

    tiny_version.publish(tmp_path, change=alter)
    result = g2d("models", "verify", "tiny", "stable", models=tmp_path)
    assert result.exit_code == 4
    assert "tiny/1: golden outputs: `findings.logits` differs by 0.1" in result.stderr


def test_verify_refuses_a_graph_that_does_not_run(repository: Repository) -> None:
    result = g2d("models", "verify", NAME, "1", models=repository.root)
    assert result.exit_code == 4
    assert f"{NAME}/1: trunk.onnx: not a usable graph" in result.stderr


def test_verify_says_when_the_runtime_is_not_installed(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for name in ("session", "graph", "backend"):
        monkeypatch.delitem(sys.modules, f"service.backends.ort.{name}", raising=False)
    result = g2d("models", "verify", NAME, "1", models=repository.root)
    assert result.exit_code == 0
    assert "golden outputs not replayed, because ONNX Runtime is not installed" in result.stdout


def test_verify_with_nothing_to_verify_fails(tmp_path: Path) -> None:
    failed(g2d("models", "verify", models=tmp_path), f"nothing to verify in {tmp_path}", 4)


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nobody"),
        ("show", NAME, "9"),
        ("show", NAME, "beta"),
        ("rollback", NAME, "beta"),
        ("alias", NAME, "stable", "9"),
        ("verify", NAME, "9"),
        ("verify", "nobody"),
    ],
)
def test_a_missing_model_version_or_alias_is_reported_in_one_line(
    repository: Repository, arguments: tuple[str, ...]
) -> None:
    failed(g2d("models", *arguments, models=repository.root), "", 4)


@pytest.mark.parametrize("command", ["list", "show", "verify", "alias", "rollback"])
def test_the_help_of_each_models_command_has_an_example(command: str) -> None:
    assert f"  g2d models {command}" in g2d("models", command, "--help").stdout


def test_the_help_names_the_environment_variable_of_the_service() -> None:
    assert "G2D_MODELS_DIR" in g2d("models", "list", "--help").stdout


def test_looking_at_models_loads_no_runtime_no_web_framework_and_no_torch(
    repository: Repository,
) -> None:
    code = """
import sys
sys.argv = ["g2d", "models", "list"]
from g2d.__main__ import main
try:
    main()
finally:
    heavy = {"torch", "fastapi", "starlette", "onnxruntime", "service", "training", "transformers"}
    print("loaded:", sorted(heavy & set(sys.modules)))
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "G2D_MODELS_DIR": str(repository.root),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"
    assert done.stdout.startswith("NAME")
