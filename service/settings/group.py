"""Base of the groups of settings."""

from typing import ClassVar

from radiograph.strict_model import StrictModel

MIB = 1024 * 1024


class Group(StrictModel):
    """Settings of one component.

    Attributes:
        PREFIX: precedes the names of the fields in environment variables.
    """

    PREFIX: ClassVar[str] = ""
