"""The base of every configuration."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A part of a configuration: unknown keys are refused, nothing changes once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
