"""The command `g2d`, run in this process, and the check of how it fails."""

from pathlib import Path

from typer.testing import CliRunner, Result

from g2d.cli import app


def g2d(*arguments: str, models: Path | None = None) -> Result:
    environment = {"G2D_MODELS_DIR": None if models is None else str(models)}
    return CliRunner().invoke(app, list(arguments), env=environment)


def failed(result: Result, message: str, code: int = 2) -> None:
    """Check that the command failed with an exit code and one line on standard error."""
    assert result.exit_code == code
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("g2d: error: ")
    assert message in line
    assert "Traceback" not in result.output
