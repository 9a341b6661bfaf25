"""Query: a file, and what is asked of it, without HTTP."""

from dataclasses import dataclass

from radiograph.manifest import Task
from service.encoders.json_encoder import HeatmapEncoding


@dataclass(frozen=True)
class PredictionQuery:
    """What the address and its query ask for.

    Attributes:
        tasks: empty is everything that the version offers.
        phrases: from the query; those of a form are added.
        method: which grounding, or None.
        heatmap: how heat maps are written in JSON.
        model, version: which version answers, or None for the default.
    """

    tasks: tuple[Task, ...]
    phrases: tuple[str, ...] = ()
    method: str | None = None
    heatmap: HeatmapEncoding = "png"
    model: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Upload:
    """What a body held: one file, and the phrases that came with it in a form."""

    data: bytes
    media_type: str
    phrases: tuple[str, ...] = ()
