"""Rules: instances that are taken, the query about each, and the peers of its results."""

from pydantic import Field, field_validator

from radiograph.strict_model import StrictModel
from service.gateway.configuration.values import AeTitle, Name, invalid

RADIOGRAPH_CLASSES = (
    "ComputedRadiographyImageStorage",
    "DigitalXRayImageStorageForPresentation",
    "SecondaryCaptureImageStorage",
)
_ACCEPTABLE_CLASSES = {*RADIOGRAPH_CLASSES, "DigitalXRayImageStorageForProcessing"}


class Rule(StrictModel):
    """One kind of instance that is taken; an instance belongs to the first rule that it matches."""

    name: Name
    """Name of the rule in metrics."""
    calling_ae_titles: tuple[AeTitle, ...] = ()
    """AE titles of the callers; empty matches every caller, STOW-RS included."""
    sop_classes: tuple[str, ...] = RADIOGRAPH_CLASSES
    """Keywords of SOP classes, as pydicom has them."""
    modalities: tuple[str, ...] = ("CR", "DX")
    """Values of Modality (0008,0060)."""
    views: tuple[str, ...] = ()
    """Values of View Position (0018,5101) or their equivalents in View Code Sequence, such as `PA`;
    an empty text stands for none. Empty matches every view."""
    body_parts: tuple[str, ...] = ()
    """Values of Body Part Examined (0018,0015); an empty text stands for none. Empty matches every
    body part."""
    query: dict[str, str] = Field(default_factory=lambda: {"tasks": "classify,segment,detect"})
    """Parameters of `POST /v1/analyze`."""
    peers: tuple[Name, ...] = Field(min_length=1)
    """Names of the peers that get the results."""

    @field_validator("sop_classes")
    @classmethod
    def _known_classes(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(values) - _ACCEPTABLE_CLASSES):
            known = ", ".join(sorted(_ACCEPTABLE_CLASSES))
            raise invalid(f"{', '.join(unknown)}: each should be one of {known}")
        return values

    @field_validator("query")
    @classmethod
    def _reserved(cls, values: dict[str, str]) -> dict[str, str]:
        if {"objects", "segmentation"} & values.keys():
            raise invalid("`objects` and `labelmap` are settings of the peers")
        return values
