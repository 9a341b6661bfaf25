"""Exit codes of failures, and their table in docs/command.md."""

import re
from pathlib import Path

import pytest

from g2d import failures
from g2d.failures import RefusedCommand, exit_code
from radiograph import errors
from radiograph.errors import RadiographError
from service import errors as service_errors
from training.refusal import DataRefused, NotFinite, NotRegistered, RunRefused, WeightsRefused

TEXT = (Path(__file__).parents[2] / "docs/command.md").read_text()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedCommand(), 2), (RunRefused(), 2), (RadiographError(), 2),
        (DataRefused(), 3), (WeightsRefused(), 4), (NotFinite(), 5), (NotRegistered(), 5),
        (errors.UnusablePhrase(), 2), (errors.UnusableKey(), 2),
        (service_errors.InvalidSettings(), 2), (service_errors.InvalidKeyFile(), 2),
        (errors.InputError(), 3), (errors.InputTooCostly(), 3), (FileNotFoundError(), 3),
        (PermissionError(), 3), (service_errors.DecodersLost(), 3),
        (errors.ModelError(), 4), (errors.ModelNotFound("no model"), 4),
        (errors.UnsignedVersion(), 4), (errors.PublishRefused(), 4), (errors.AliasConflict(), 4),
        (service_errors.ServiceError(), 5), (service_errors.ProviderUnavailable(), 5),
        (service_errors.AuditAltered(), 5), (service_errors.Overloaded("busy"), 5),
    ],
)  # fmt: skip
def test_every_kind_of_failure_has_its_exit_code(
    error: RadiographError | OSError, code: int
) -> None:
    assert exit_code(error) == code


def test_the_table_lists_every_exit_code() -> None:
    codes = {failures.USAGE, failures.INPUT, failures.MODEL, failures.SERVICE}
    listed = re.findall(r"^\| (\d) \| \w", TEXT, re.MULTILINE)
    assert listed == sorted(listed)
    assert set(map(int, listed)) == {0, 1} | codes


def test_a_model_that_is_missing_names_every_place_that_was_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = errors.ModelNotFound("no model 'a'", Path("models"))
    assert failures.reason(error) == (
        f"no model 'a' in {tmp_path}/models, which does not exist; "
        "the package g2d-cxr-model is not installed"
    )
    (tmp_path / "models").mkdir()
    assert failures.reason(error) == f"no model 'a' in {tmp_path}/models"
