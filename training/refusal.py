"""The error that ends a run in one line: it cannot start, or cannot go on."""

from radiograph.errors import RadiographError


class RunRefused(RadiographError, ValueError):
    """A configuration, a file or this machine does not allow the run.

    Messages name the key or the file at fault and, where there is one, the way out. The checks
    that raise it at the start of a run come before anything is written.
    """
