"""`g2d models keygen`, `sign` and `verify --trusted-keys`."""

from pathlib import Path

from typer.testing import CliRunner

from g2d.cli import app
from radiograph.repository.repository import Repository
from tests.builders.models.versions.small_version import NAME, manifest_of, write_stage

RUNNER = CliRunner()


def run(*arguments: object) -> tuple[int, str]:
    result = RUNNER.invoke(app, ["models", *map(str, arguments)])
    return result.exit_code, result.output


def test_a_version_is_signed_and_verified(tmp_path: Path) -> None:
    stage, root, key = write_stage(tmp_path / "stage"), tmp_path / "models", tmp_path / "my.key"
    Repository(root).publish(NAME, stage, manifest_of(stage), alias="stable")
    assert run("keygen", key)[0] == 0
    public = tmp_path / "my.key.pub"
    verify = ("verify", NAME, "1", "--no-golden", "--models-dir", root, "--trusted-keys", public)
    code, output = run(*verify)
    assert (code, "the version has no signature" in output) == (4, True)
    code, output = run("sign", NAME, "stable", "--key", key, "--models-dir", root)
    assert (code, output.startswith("small/1: signed by the key ")) == (0, True)
    code, output = run(*verify)
    assert (code, "small/1: signature valid; digests match" in output) == (0, True)


def test_a_file_that_is_no_key_is_refused_in_one_line(tmp_path: Path) -> None:
    stage, root, key = write_stage(tmp_path / "stage"), tmp_path / "models", tmp_path / "my.key"
    Repository(root).publish(NAME, stage, manifest_of(stage))
    key.write_text("no key")
    code, output = run("sign", NAME, "1", "--key", key, "--models-dir", root)
    assert (code, output) == (2, "g2d: error: my.key is not a secret key of minisign\n")
    code, output = run("keygen", key)
    assert (code, output.count("\n")) == (3, 1)
    assert key.read_text() == "no key"
