"""The strict base model: no unknown keys, no changes."""

import pytest
from pydantic import ValidationError

from radiograph.strict_model import StrictModel


class Point(StrictModel):
    x: int = 0


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Point.model_validate({"x": 1, "y": 2})


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Point(x=1).x = 2  # type: ignore[misc] # that it is refused is the claim
