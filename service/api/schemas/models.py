"""Schemas of the loaded models and of the probes."""

from typing import Literal

from pydantic import Field

from radiograph.manifest import ModelManifest, Precision, Task
from radiograph.strict_model import StrictModel
from service.registry.state import State


class VersionSummary(StrictModel):
    """One version that an alias points to."""

    version: int
    state: State
    aliases: list[str] = Field(description="Aliases that this version answers for.")
    wanted_by: list[str] = Field(
        description="Aliases that point to it while an older version still answers for them."
    )
    digest: str | None
    tasks: list[Task]


class VersionDetail(VersionSummary):
    """One version with its manifest."""

    name: str
    reason: str | None = Field(
        description="Reason why the version, or the present contents of its folder, failed."
    )
    providers: list[str] = Field(description="Execution providers that are in use.")
    variant: Precision | None = Field(
        description="Precision in which the trunk computes; null before the version is loaded."
    )
    manifest: ModelManifest | None


class ModelSummary(StrictModel):
    """One model with the versions that its aliases point to."""

    name: str
    default: bool = Field(description="Answers requests that name no model.")
    reason: str | None = Field(description="Reason why its aliases cannot be read.")
    versions: list[VersionSummary]


class ModelList(StrictModel):
    """The loaded models."""

    models: list[ModelSummary]


class Health(StrictModel):
    """State of the service."""

    status: Literal["live", "ready"]
    audit: Literal["failing"] | None = Field(
        default=None, description="Present while the audit log cannot be written."
    )
    models_store: Literal["failing"] | None = Field(
        default=None,
        description="Present while the store of the models cannot be used; the versions that were "
        "fetched before answer.",
    )
