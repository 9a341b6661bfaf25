"""A deadline ends by time or when the client leaves."""

import pytest

from service.deadline import Deadline
from service.errors import ClientGone, DeadlineExceeded


def test_work_goes_on_until_the_deadline() -> None:
    deadline = Deadline(60)
    deadline.check()
    assert not deadline.over()
    assert 0 < deadline.left() <= 60


def test_a_deadline_that_has_passed_is_over() -> None:
    deadline = Deadline(0)
    assert (deadline.left(), deadline.over(), deadline.gone) == (0, True, False)
    with pytest.raises(DeadlineExceeded):
        deadline.check()


def test_an_abandoned_deadline_is_over_at_once() -> None:
    deadline = Deadline(60)
    deadline.abandon()
    assert deadline.over()
    with pytest.raises(ClientGone):
        deadline.check()
