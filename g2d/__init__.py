"""Findings, masks, boxes and grounded phrases of chest radiographs, from Python.

    import g2d

    model = g2d.load()                               # the shipped model, in this process
    result = model.segment("chest.dcm")
    result.mask("Left lung").array                   # rows x columns, bool
    model.ground("chest.dcm", "left lung").plot()

    client = g2d.Client("http://127.0.0.1:8000", key)    # the same methods, of a service

It also holds the command line, and is the only package that imports both the service and the
training code. Importing it, or any module in it, loads neither a runtime nor a web framework nor
torch: what is needed is imported when it is used. Research software, not a medical device.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from g2d import errors
    from g2d.client.async_client import AsyncClient
    from g2d.client.client import Client
    from g2d.client.retries import Retries
    from g2d.model import Model, load
    from g2d.results import Result

    __version__: str

__all__ = ["AsyncClient", "Client", "Model", "Result", "Retries", "errors", "load"]

_PLACES = {
    "AsyncClient": "g2d.client.async_client",
    "Client": "g2d.client.client",
    "Model": "g2d.model",
    "Result": "g2d.results",
    "Retries": "g2d.client.retries",
    "load": "g2d.model",
}
"""Module of each name that is imported when it is first used."""


if not TYPE_CHECKING:  # a checker would accept any name of a package that has `__getattr__`

    def __getattr__(name: str) -> Any:
        """Import what the package offers when it is used for the first time.

        Raises:
            AttributeError: the package offers no such name.
            ModuleNotFoundError: its extra is not installed; the message names it.
        """
        if name == "errors":
            return importlib.import_module("g2d.errors")
        if name == "__version__":
            from importlib import metadata

            return metadata.version("g2d-radiograph")
        if name not in _PLACES:
            raise AttributeError(f"module 'g2d' has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(_PLACES[name]), name)
        except ModuleNotFoundError as error:
            if error.name == "httpx":
                extra = "pip install 'g2d-radiograph[client]'"
                raise ModuleNotFoundError(f"a client needs httpx: {extra}", name="httpx") from error
            raise
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """Return the names that the package offers."""
        return sorted({*globals(), *__all__})
