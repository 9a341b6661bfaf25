"""DICOM objects of answers: one file for each kind, in a folder (`--dicom-out`)."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from g2d.commands.predict.inputs import Input
from g2d.failures import RefusedCommand

if TYPE_CHECKING:  # the service is imported when the command runs, not for `g2d --help`
    from radiograph.limits import Limits
    from service.dicom_results.options import DicomResultOptions
    from service.inference.results import AnalysisResult
    from service.settings import Settings


@dataclass(frozen=True)
class ObjectFolder:
    """Folder of DICOM objects.

    Attributes:
        folder: gets `NAME.KIND.dcm` of each radiograph, below the folders of its name.
        options: choices of the site.
        limits: bounds on the radiographs.
    """

    folder: Path
    options: "DicomResultOptions"
    limits: "Limits"

    def write(self, item: Input, result: "AnalysisResult", data: bytes) -> None:
        """Write every object of an answer; it has a preview.

        Raises:
            NoDicomObject: the radiograph is not DICOM, or names no study.
            OSError: a file cannot be written.
        """
        from service.dicom_results import kinds, writer

        selected = kinds.selected((), writer.tasks_of(result))
        place = self.folder / item.name
        for made in writer.write_for(result, data, selected, self.options, self.limits):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.with_name(f"{place.name}.{made.kind}.dcm").write_bytes(made.data)


def plan(folder: Path | None, items: Sequence[Input], settings: "Settings") -> ObjectFolder | None:
    """Return the folder of objects, created, or None without one.

    Raises:
        RefusedCommand: the extra is not installed, two radiographs have one name, or the folder
            cannot be written.
    """
    from service.dicom_results import kinds
    from service.dicom_results.options import DicomResultOptions

    if folder is None:
        return None
    if not kinds.is_installed():
        raise RefusedCommand(f"--dicom-out needs the extra `{kinds.EXTRA}`")
    names = [item.name for item in items]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RefusedCommand(f"two radiographs would be written to {folder / twice}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # raises if nothing can be written there
            pass
    except OSError as error:
        raise RefusedCommand(f"--dicom-out {folder}: {error.strerror or error}") from error
    return ObjectFolder(
        folder, DicomResultOptions.of(settings.dicom_results), settings.limits.image
    )
