"""Base class of all schemas."""

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)
