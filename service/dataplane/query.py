"""Inputs of the data plane: one file, and what is asked about it. No HTTP in here."""

from dataclasses import dataclass
from typing import Literal

from radiograph.manifest import Task
from service.encoders.json_encoder import HeatmapEncoding, RleEncoding
from service.inference.types import AnalysisRequest


@dataclass(frozen=True)
class PredictionQuery:
    """Question about one radiograph.

    Attributes:
        tasks: tasks to answer; empty means every task that the version offers.
        phrases: phrases to look for; those that travel in a form with the file are added.
        method: grounding method, or None for the first one of the version.
        heatmap: encoding of heat maps in JSON.
        rle: form of the run lengths of masks in JSON.
        overlay_side_px: longest side of an overlay, or None for that of the settings.
        pixels_side_px: longest side of displayed pixels, or None for that of the settings.
        objects: names of the DICOM objects to write, keys of `kinds.SELECTABLE`; empty for those
            that belong to the response format.
        segmentation: type of DICOM segmentations, or None for that of the settings.
        uncertainty: `tta` to say how far results hold under harmless changes, or None.
        model: name of the model, or None for the default model.
        version: number or alias of the version, or None for the default alias.
    """

    tasks: tuple[Task, ...]
    phrases: tuple[str, ...] = ()
    method: str | None = None
    heatmap: HeatmapEncoding = "png"
    rle: RleEncoding = "uncompressed"
    overlay_side_px: int | None = None
    pixels_side_px: int | None = None
    objects: tuple[str, ...] = ()
    segmentation: Literal["binary", "labelmap"] | None = None
    uncertainty: Literal["tta"] | None = None
    model: str | None = None
    version: str | None = None

    def analysis_request(self, more_phrases: tuple[str, ...] = ()) -> AnalysisRequest:
        """Return the part of the query that the model answers, with the phrases of a form."""
        phrases = self.phrases + more_phrases
        return AnalysisRequest(self.tasks, phrases, self.method, self.uncertainty is not None)


@dataclass(frozen=True)
class Upload:
    """One file, and the phrases that came with it in a form.

    Attributes:
        data: bytes of the file.
        media_type: one of `radiograph.readers.read.MEDIA_TYPES`, or `UNKNOWN`.
        phrases: phrases of the form, in order.
    """

    data: bytes
    media_type: str
    phrases: tuple[str, ...] = ()
