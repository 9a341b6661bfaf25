"""A run that is killed as soon as it has written a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from training.engine import checkpoint, trainer


class _Killed(BaseException):
    """Stands for the signal."""


@contextmanager
def killed_at_its_first_checkpoint() -> Iterator[None]:
    """Kill the run inside when it has written its first checkpoint, which it must do."""
    save = checkpoint.save

    def save_and_die(*args: object) -> None:
        save(*args)  # type: ignore[arg-type]
        raise _Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "save", save_and_die)
        with pytest.raises(_Killed):
            yield
