"""The errors that end a run in one line: it cannot start, or cannot go on.

    RunRefused          the command or its configuration does not allow the run     exit code 2
    ├── DataRefused     a file or folder of data or results cannot be used          3
    ├── WeightsRefused  weights, or a checkpoint, are missing or do not fit         4
    ├── NotFinite       a loss of a training that had begun                         5
    └── NotRegistered   MLflow did not answer, or refused a published version       5

`g2d.failures` gives each its exit code, by the errors of `radiograph` that they are.
"""

from radiograph.errors import InputError, ModelError, RadiographError


class RunRefused(RadiographError, ValueError):
    """A configuration, a file or this machine does not allow the run.

    Messages name the key or the file at fault and, where there is one, the way out. The checks
    that raise it at the start of a run come before anything is written.
    """


class DataRefused(RunRefused, InputError):
    """A file or folder of data or results is missing, cannot be read, or cannot be written."""


class WeightsRefused(RunRefused, ModelError):
    """Weights, or the checkpoint of a run, are missing, cut off, or do not fit the model."""


class NotRegistered(RunRefused, ConnectionError):
    """MLflow did not register a version, which is published nevertheless."""


class NotFinite(RunRefused, FloatingPointError):
    """A loss or a gradient is not finite; the last checkpoint is kept."""
