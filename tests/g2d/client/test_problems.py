"""Every problem of the service becomes the error that it stands for."""

import httpx
import pytest

from g2d.client.problems import error_of
from g2d.errors import Problem
from radiograph.errors import InputError, RadiographError
from service.api.http.problems import INTERNAL, KINDS, Kind
from service.errors import RetryLater, ServiceError
from tests.builders.g2d.bridge import problem


@pytest.mark.parametrize(
    ("kind", "named"), [(k, kind) for k, kind in KINDS.items() if kind != INTERNAL]
)
def test_the_error_is_of_the_class_that_the_service_met(
    kind: type[RadiographError], named: Kind
) -> None:
    error = error_of(problem(named.status, named.slug), 5)
    assert isinstance(error, RadiographError)
    assert issubclass(kind, type(error))  # kinds that share a type have a common base
    assert type(error) not in (RadiographError, ServiceError)
    assert str(error) == "the reason"
    assert isinstance(error.__cause__, Problem)
    assert not isinstance(error, RetryLater) or error.retry_after_s == 5


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (problem(422, "invalid-parameters"), InputError),
        (problem(418, "unheard-of"), InputError),
        (problem(500, "internal-error"), ServiceError),
        (problem(599, "unheard-of"), ServiceError),
        (httpx.Response(413, text="<html>nginx</html>"), InputError),
        (httpx.Response(502, json=["a"]), ServiceError),
        (httpx.Response(502, json={"type": 3, "title": None, "detail": []}), ServiceError),
    ],
)
def test_a_problem_that_is_not_known_is_told_by_its_status(
    response: httpx.Response, expected: type[RadiographError]
) -> None:
    error = error_of(response, None)
    assert type(error) is expected
    assert str(error)


def test_endless_texts_are_cut() -> None:
    response = httpx.Response(500, json={"detail": "x" * 10**6})
    assert len(str(error_of(response, None))) == 1000
