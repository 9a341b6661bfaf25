"""Loading: the version that a folder, a name or the settings denote, ready to answer here.

None, folder or NAME/VERSION --find--> Settings, reference --open_version--> OpenVersion
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from radiograph.errors import ModelNotFound
from radiograph.manifest import MANIFEST_NAME
from radiograph.repository.opening import open_current
from radiograph.repository.repository import Repository

if TYPE_CHECKING:
    from service.registry.loading.loader import OpenVersion
    from service.settings import Settings


@dataclass(frozen=True)
class Reference:
    """A version of a model in a folder of models.

    Attributes:
        models_dir: folder of the models; None for that of the settings.
        model: name of the model; None for that of the settings.
        version: number or alias; None for the alias of the settings.
    """

    models_dir: Path | None = None
    model: str | None = None
    version: str | None = None


def find(source: str | os.PathLike[str] | None) -> Reference:
    """Return the version that a caller means.

    Args:
        source: the folder of a version, of a model or of models; or `NAME` or `NAME/VERSION`, with
            the number or an alias; None for the model of the settings.

    Raises:
        ModelNotFound: the folder holds no model, or several and none of the usual name.
    """
    if source is None:
        return Reference()
    folder = Path(source)
    if folder.is_dir():
        return _in_folder(folder.absolute())
    if not isinstance(source, str) or len(folder.parts) > 2 or folder.is_absolute():
        raise ModelNotFound(f"no such folder: {folder}")
    name, _, version = source.partition("/")
    return Reference(model=name, version=version or None)


def _in_folder(folder: Path) -> Reference:
    if (folder / MANIFEST_NAME).is_file():
        return Reference(folder.parent.parent, folder.parent.name, folder.name)
    if Repository(folder.parent).versions(folder.name):
        return Reference(folder.parent, folder.name)
    names = Repository(folder).names()
    if not names:
        raise ModelNotFound(f"no model in {folder}")
    return Reference(folder, names[0] if len(names) == 1 else None)


def open_version(settings: "Settings", version: str | None = None) -> "OpenVersion":
    """Load the default model of the settings with all checks of the service.

    Args:
        settings: name the folder, the model and how to compute.
        version: number or alias; None for the alias of the settings.

    Raises:
        ModelNotFound: there is no such version; `searched` is the folder.
        InvalidVersion: the version fails verification.
        ServiceError: the hardware of the settings does not compute.
    """
    from service.backends.factory import backend_factory
    from service.registry.loading.loader import VersionLoader

    repository, name = open_current(settings.models.models_dir), settings.models.default_model
    number = repository.resolve(name, version or settings.models.default_alias)
    chosen = settings.runtime.variant
    variant = "float32" if chosen == "auto" else chosen  # measuring takes longer than one answer
    loader = VersionLoader(repository, backend_factory(settings), settings.limits, variant=variant)
    return loader.load(name, number)
