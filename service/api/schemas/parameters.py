"""Query parameters of requests about one radiograph.

They are parsed by these models, so that an unknown parameter is an error.
"""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, Field, field_serializer
from pydantic_core import PydanticCustomError

from radiograph.manifest import Task
from radiograph.strict_model import StrictModel
from service.dataplane.query import PredictionQuery
from service.dicom_results.kinds import SELECTABLE
from service.encoders.json_encoder import HeatmapEncoding, RleEncoding
from service.settings import MIN_OVERLAY_SIDE_PX, LimitSettings

_TASKS = tuple(Task)


def _known_tasks(values: list[str]) -> list[str]:
    """Split lists at commas, and refuse a name that is no task."""
    names = [name for value in values for name in value.split(",")]
    if not set(names) <= set(_TASKS):
        known = {"known": ", ".join(_TASKS)}
        raise PydanticCustomError("tasks", "Each task should be one of {known}", known)
    return names


def _known_objects(values: list[str]) -> list[str]:
    """Split lists at commas, and refuse a name that is no DICOM object."""
    names = [name for value in values for name in value.split(",")]
    if not set(names) <= set(SELECTABLE):
        known = {"known": ", ".join(SELECTABLE)}
        raise PydanticCustomError("objects", "Each object should be one of {known}", known)
    return names


Phrases = Annotated[
    list[str],
    Field(
        default_factory=list,
        description="Phrase to look for; may be repeated, and may be sent in the form instead.",
        examples=[["left lung"], ["right lower lobe opacity", "enlarged heart"]],
    ),
]
Method = Annotated[
    Literal["aligned", "zero_shot"] | None,
    Field(description="Grounding method; the first one of the version by default."),
]
Heatmap = Annotated[
    HeatmapEncoding,
    Field(description="Encoding of heat maps in JSON: PNG, rows of numbers, or none."),
]


Rle = Annotated[
    RleEncoding,
    Field(description="Form of COCO run lengths: numbers, or the text that pycocotools reads."),
]


class ModelParameters(StrictModel):
    """Query parameters of every task: version, size of an overlay, and DICOM objects."""

    model: Annotated[str | None, Field(description="Name of a model.", examples=["g2d-cxr"])] = None
    version: Annotated[
        str | None,
        Field(
            description="Number or alias of a version; `stable` by default.",
            examples=["stable", "1"],
        ),
    ] = None
    overlay_side_px: Annotated[
        int | None,
        Field(
            ge=MIN_OVERLAY_SIDE_PX,
            description="Longest side of an overlay in pixels, at most and by default "
            "`G2D_OVERLAY_SIDE_PX`.",
            examples=[1024],
        ),
    ] = None

    objects: Annotated[
        list[str],
        AfterValidator(_known_objects),
        Field(
            default_factory=list,
            description="DICOM objects, separated by commas or repeated: `seg`, `sr`, `gsps`, "
            "`sc`, `heatmap`. By default the main object of the tasks for `application/dicom`, "
            "and all that they have for `multipart/related`.",
            examples=[["seg,sr"], ["sc"]],
        ),
    ]
    segmentation: Annotated[
        Literal["binary", "labelmap"] | None,
        Field(
            description="Type of the DICOM object `seg`; by default that of "
            "`G2D_DICOM_RESULTS_SEGMENTATION_TYPE`. Masks that overlap are always `binary`."
        ),
    ] = None

    uncertainty: Annotated[
        Literal["tta"] | None,
        Field(
            description="`tta` (test-time augmentation) repeats the analysis for seven harmless "
            "changes of the image, and each result says how far it holds. Eight times the work."
        ),
    ] = None

    def query(self, tasks: tuple[Task, ...]) -> PredictionQuery:
        """Return the query that these parameters ask for."""
        return PredictionQuery(
            tasks=tasks,
            model=self.model,
            version=self.version,
            overlay_side_px=self.overlay_side_px,
            objects=tuple(dict.fromkeys(self.objects)),
            segmentation=self.segmentation,
            uncertainty=self.uncertainty,
        )


class SegmentParameters(ModelParameters):
    """Query parameters of segmentation."""

    rle: Rle = "uncompressed"

    def query(self, tasks: tuple[Task, ...]) -> PredictionQuery:
        """Return the query that these parameters ask for."""
        return replace(super().query(tasks), rle=self.rle)


class GroundParameters(ModelParameters):
    """Query parameters of grounding."""

    phrase: Phrases
    method: Method = None
    heatmap: Heatmap = "png"

    def query(self, tasks: tuple[Task, ...]) -> PredictionQuery:
        """Return the query that these parameters ask for."""
        return replace(
            super().query(tasks),
            phrases=tuple(self.phrase),
            method=self.method,
            heatmap=self.heatmap,
        )


class AnalyzeParameters(GroundParameters, SegmentParameters):
    """Query parameters of several tasks."""

    tasks: Annotated[
        list[str],
        AfterValidator(_known_tasks),
        Field(
            default_factory=list,
            description="Tasks, separated by commas or repeated. By default every task that the "
            "version offers; `ground` only if there is a phrase.",
            examples=[["classify,segment"], ["segment", "ground"]],
        ),
    ]

    def selected_tasks(self) -> tuple[Task, ...]:
        """Return the named tasks, each once; empty means every task that the version offers."""
        return tuple(dict.fromkeys(Task(name) for name in self.tasks))

    @field_serializer("tasks")
    def _as_before(self, tasks: list[str]) -> str | None:
        """Write tasks as the fingerprints of accepted jobs have them."""
        return ",".join(tasks) or None


class ViewerParameters(AnalyzeParameters):
    """Query parameters of several tasks and of the pixels that a viewer shows with them."""

    pixels_side_px: Annotated[
        int | None,
        Field(
            ge=MIN_OVERLAY_SIDE_PX,
            description="Longest side of the pixels in a `multipart/form-data` answer, at most and "
            "by default `G2D_PIXELS_SIDE_PX`.",
            examples=[2048],
        ),
    ] = None

    def query(self, tasks: tuple[Task, ...]) -> PredictionQuery:
        """Return the query that these parameters ask for."""
        return replace(super().query(tasks), pixels_side_px=self.pixels_side_px)


def check_sides(query: PredictionQuery, limits: LimitSettings) -> None:
    """Refuse an overlay, or pixels, that are larger than the settings allow.

    Raises:
        RequestValidationError: as for a value outside the static bounds of the parameter.
    """
    sides = {
        "overlay_side_px": (query.overlay_side_px, limits.overlay_side_px),
        "pixels_side_px": (query.pixels_side_px, limits.pixels_side_px),
    }
    faults = [
        {
            "type": "less_than_equal",
            "loc": ("query", name),
            "msg": f"Input should be less than or equal to {largest_px}",
        }
        for name, (side_px, largest_px) in sides.items()
        if side_px is not None and side_px > largest_px
    ]
    if faults:
        raise RequestValidationError(faults)
