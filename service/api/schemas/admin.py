"""Schemas of administration: aliases and the canary."""

from typing import Annotated

from pydantic import Field

from radiograph.strict_model import StrictModel


class AliasChange(StrictModel):
    """The version that an alias shall point to."""

    version: Annotated[int, Field(strict=True, ge=1, lt=10**9, examples=[4])]


class AliasState(StrictModel):
    """The version of an alias, and the version that answers for it."""

    name: str
    alias: str
    version: int = Field(description="Version that the alias points to in the repository.")
    answering: int | None = Field(
        description="Version that answers for the alias in this process, if any."
    )


class CanaryChange(StrictModel):
    """The share of requests that the canary shall answer."""

    share: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False, examples=[0.1])]


class CanaryState(StrictModel):
    """The share of requests without a version that the canary answers while it is ready."""

    name: str
    share: float
    answering: int | None = Field(description="Version that the share goes to, if any.")
