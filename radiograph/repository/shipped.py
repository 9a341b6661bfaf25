"""The folder of models that is used where none is named.

./models, as in a checkout --else--> that of the package g2d-cxr-model --else--> ./models
"""

import importlib.resources
import importlib.util
from pathlib import Path

PACKAGE = "g2d_cxr_model"
"""Module of the package g2d-cxr-model, which holds one version of the shipped model."""
DISTRIBUTION = "g2d-cxr-model"

HERE = Path("models")
"""Folder of a checkout, in the working folder."""


def default_models_dir() -> Path:
    """Return the folder `models` of the working folder, or else that of the installed package."""
    if HERE.is_dir():
        return HERE
    return packaged() or HERE


def packaged() -> Path | None:
    """Return the folder of models in the package g2d-cxr-model; None if it is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        return None
    folder = Path(str(importlib.resources.files(PACKAGE))) / "models"
    return folder if folder.is_dir() else None
