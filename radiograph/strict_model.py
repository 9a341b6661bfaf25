"""Base class of every schema that is read from a file or a request."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """An immutable model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
