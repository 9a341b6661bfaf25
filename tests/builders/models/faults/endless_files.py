"""Trial process in which loading a version opens files without end.

No version is known that does so by its own files: external data of graphs are refused, and a graph
is read and closed. A fault of the runtime, or of a later release of it, might.
"""

import os

from service.backends.ort.backend import OrtBackend
from service.registry.loading import trial_process


def _open_for_ever(*_: object) -> None:
    while True:
        os.dup(0)


if __name__ == "__main__":
    OrtBackend.__init__ = _open_for_ever  # type: ignore[method-assign, assignment]
    trial_process.main()
