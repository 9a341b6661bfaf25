"""`g2d publish` refuses what it could not finish, before anything is published."""

from pathlib import Path

import pytest

from g2d.commands.training.publishing import publish
from training.publish import mlflow_registration
from training.refusal import RunRefused


def test_mlflow_that_is_not_installed_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_registration, "find_spec", lambda _: None)
    with pytest.raises(RunRefused, match="--mlflow needs mlflow"):
        publish(tmp_path / "no run", models=tmp_path / "models", mlflow=True)
    assert not (tmp_path / "models").exists()
