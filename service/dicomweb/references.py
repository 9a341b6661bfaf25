"""References to what a DICOMweb server holds: a study, a series or an instance.

A reference consists of names that are checked, never of an address: the path is built here, and the
server's address comes from the settings.
"""

from typing import Annotated, Self

from pydantic import FailFast, Field, model_validator

from radiograph.strict_model import StrictModel

MEDIA_TYPE = "application/dicom+reference"
"""Media type of a reference that a job keeps in place of a radiograph; never sent to anybody."""

Uid = Annotated[str, Field(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$")]
"""A UID whose components may start with 0, as those of some writers do (PS3.5 section 9.1)."""

ServerName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Reference(StrictModel):
    """A study of a configured server, or a series or an instance of it.

    Attributes:
        server: name of the server in the settings.
        study, series, instance: their UIDs; an instance is named with its series.
    """

    server: ServerName
    study: Uid
    series: Uid | None = None
    instance: Uid | None = None

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if self.instance is not None and self.series is None:
            raise ValueError("an instance is named with its series")
        return self

    @property
    def path(self) -> str:
        """Path below the address of the server (PS3.18 table 10.4.1-1)."""
        levels = (("studies", self.study), ("series", self.series), ("instances", self.instance))
        return "".join(f"/{level}/{uid}" for level, uid in levels if uid is not None)


class ReferencedRadiographs(StrictModel):
    """Body of a job by reference.

    Attributes:
        references: studies, series and instances of configured servers, each as an object or as
            its address there.
        phrases: phrases to look for in every radiograph.
        store: send the results to the server that each radiograph comes from, as DICOM objects.
    """

    # A body that is not valid may have millions of faults, of which the first one is enough.
    references: Annotated[tuple[Reference | str, ...], Field(min_length=1), FailFast()]
    phrases: Annotated[tuple[str, ...], FailFast()] = ()
    store: bool = False
