"""A name that nothing can have is a mistake of usage, whatever the command."""

from pathlib import Path

import pytest

from tests.builders.g2d.command_line import g2d

COMMANDS: dict[str, list[tuple[str, ...]]] = {
    "model": [
        ("models", "show", "?"),
        ("models", "verify", "?"),
        ("models", "pin", "?"),
        ("models", "sign", "?", "stable", "--key", "k"),
        ("models", "alias", "?", "stable", "1"),
        ("models", "rollback", "?"),
        ("models", "upload", ".", "--models-dir", "s3://b/p", "--model", "?"),
        ("models", "triton", "--out", "o", "--model", "?"),
        ("publish", "run", "--model", "?"),
        ("predict", "chest.dcm", "--model", "?"),
        ("import-version", "?", "--out", "o"),
    ],
    "alias": [
        ("models", "alias", "m", "?", "1"),
        ("models", "rollback", "m", "?"),
        ("publish", "run", "--alias", "?"),
    ],
    "version": [
        ("models", "show", "m", "?"),
        ("models", "verify", "m", "?"),
        ("models", "pin", "m", "?"),
        ("models", "sign", "m", "?", "--key", "k"),
        ("publish", "run", "--base", "?"),
        ("predict", "chest.dcm", "--version", "?"),
        ("import-version", "m", "?", "--out", "o"),
    ],
    "head": [("publish", "run", "--head", "findings", "--as", "?")],
}
"""What is named -> commands that take the name in the place of the question mark."""
IMPOSSIBLE = {
    "model": ["../x", "a b", "A", "a" * 65, "a\n", "ä", ""],
    "alias": ["3", "Stable", "../x", "a b", "a" * 65, "a\n"],
    "version": ["0", "007", "1.5", "1234567890", "../x", "Stable", "a b", "٣", ""],
    "head": ["classify", "trunk", "v2", "Findings", "a-b", "../x", ""],
}
CASES = [(kind, command) for kind, commands in COMMANDS.items() for command in commands]


@pytest.mark.parametrize(("kind", "command"), CASES, ids=[" ".join(c) for _, c in CASES])
def test_an_impossible_name_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in IMPOSSIBLE[kind]:
        result = g2d(*(name if word == "?" else word for word in command))
        assert result.exit_code == 2, (name, result.output)
        assert "cannot be " in result.stderr.replace("\n", " "), (name, result.output)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", ["0", "-1", "1000000000", "x"])
def test_an_alias_points_to_a_number_that_a_version_can_have(tmp_path: Path, number: str) -> None:
    result = g2d("models", "alias", "m", "stable", "--", number, models=tmp_path)
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "command",
    [("models", "show", "m"), ("models", "show", "m", "2"), ("models", "rollback", "m", "blue")],
)
def test_a_name_that_nothing_has_is_missing(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = g2d(*command, models=tmp_path)
    assert result.exit_code == 4
    assert "no model 'm' in " in result.stderr


def test_no_alias_is_asked_for_by_an_empty_name(tmp_path: Path) -> None:
    result = g2d("publish", str(tmp_path / "run"), "--alias", "")
    assert "cannot be " not in result.output
