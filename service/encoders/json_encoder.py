"""JSON encoder: an analysis result as the JSON of the interface.

Masks are COCO run lengths at the size of the source; heat maps are a gray PNG in
base64 or plain numbers. JSON has no NaN or infinity: postprocessing refuses them, and a value that
is not finite all the same becomes null.
"""

import base64
import io
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic_core import to_json

from radiograph.manifest import Task
from radiograph.postprocess.grounding import Grounding, Presence
from radiograph.postprocess.heads import Detection, Finding, Mask
from radiograph.postprocess.measurements import Measurement
from radiograph.postprocess.uncertainty import Uncertainty
from radiograph.terminology.codes import Code, has_side
from service.decoding.decode import ImageFacts
from service.encoders import coco_rle
from service.inference.results import AnalysisResult, Notice, OutOfDistributionScore

MEDIA_TYPE = "application/json"

HeatmapEncoding = Literal["png", "float", "none"]
RleEncoding = Literal["uncompressed", "compressed"]
Json = dict[str, Any]

_MEMBERS = {
    Task.CLASSIFY: "findings",
    Task.SEGMENT: "masks",
    Task.DETECT: "boxes",
    Task.GROUND: "phrases",
}


def encode(
    result: AnalysisResult,
    request_id: str,
    heatmap: HeatmapEncoding = "png",
    rle: RleEncoding = "uncompressed",
) -> bytes:
    """Encode a result as UTF-8 JSON.

    Args:
        result: the result.
        request_id: identifies the request.
        heatmap: `png` (8 bits, base64), `float` (rows of numbers) or `none`.
        rle: form of the run lengths of masks, numbers or text.
    """
    image, model = result.image, result.model
    answer: Json = {
        "request_id": request_id,
        "model": {
            "name": model.name,
            "version": model.version,
            "digest": model.digest,
            "variant": model.variant,
        },
        "preprocessing": result.preprocess.model_dump(),
        "image": {
            "rows": image.rows,
            "columns": image.columns,
            "pixel_spacing_mm": image.spacing_mm,
            "photometric_interpretation": image.photometric_interpretation,
            "view_position": image.view_position,
            "sop_instance_uid": image.sop_instance_uid,
            "turned": image.orientation.name,
            "laterality": image.laterality,
        },
        "out_of_domain": _out_of_domain(result.out_of_domain),
        "warnings": [_notice(item) for item in result.warnings],
        "timings_ms": {stage: round(ms, 3) for stage, ms in result.timings_ms.items()},
        **_tasks(result, heatmap, rle),
    }
    return to_json(answer, inf_nan_mode="null")


def _tasks(result: AnalysisResult, heatmap: HeatmapEncoding, rle: RleEncoding) -> Json:
    """Return the tasks that were asked for; a task without results is an empty list."""
    answers: Json = {}
    if result.findings is not None:
        answers["findings"] = [_finding(item) for item in result.findings]
    if result.masks is not None:
        answers["masks"] = [_mask(item, result.image, rle) for item in result.masks]
    if result.measurements is not None:
        answers["measurements"] = [_measurement(item) for item in result.measurements]
    if result.detections is not None:
        answers["boxes"] = [_detection(item, result.image) for item in result.detections]
    if result.groundings is not None:
        answers["phrases"] = [_grounding(item, result.image, heatmap) for item in result.groundings]
    for task, uncertainties in (result.uncertainty or {}).items():
        for item, uncertainty in zip(answers[_MEMBERS[task]], uncertainties, strict=True):
            item["uncertainty"] = _uncertainty(uncertainty)
    return answers


def _uncertainty(uncertainty: Uncertainty) -> Json:
    return {
        "method": "tta",
        "views": uncertainty.views,
        "agreement": round(uncertainty.agreement, 4),
        "low": uncertainty.low,
        "high": uncertainty.high,
    }


def _out_of_domain(score: OutOfDistributionScore | None) -> Json | None:
    if score is None:
        return None
    return {"score": score.score, "threshold": score.threshold, "outside": score.outside}


def _notice(notice: Notice) -> Json:
    return {"code": notice.code, "message": notice.message}


def _code(code: Code | None) -> Json | None:
    if code is None:
        return None
    return {"scheme": code.scheme, "value": code.value, "meaning": code.meaning}


def _finding(finding: Finding) -> Json:
    subtype = {} if finding.subtype_of is None else {"subtype_of": finding.subtype_of}
    return {
        "name": finding.name,
        "code": _code(finding.code),
        "probability": finding.probability,
        "threshold": finding.threshold,
        "positive": finding.positive,
        **subtype,
    }


def _mask(mask: Mask, image: ImageFacts, rle: RleEncoding) -> Json:
    counts = coco_rle.encode(mask.mask, mask.box)
    return {
        "name": mask.name,
        "code": _code(mask.code),
        "laterality": image.laterality if has_side(mask.name) else None,
        "rle": {
            "encoding": f"coco_{rle}",
            "size": mask.mask.shape,
            "counts": coco_rle.compress(counts) if rle == "compressed" else counts,
        },
        "area_px": mask.area_px,
        "area_mm2": mask.area_mm2,
        "box": mask.box,
    }


def _measurement(measurement: Measurement) -> Json:
    return {
        "name": measurement.name,
        "code": _code(measurement.code),
        "value": measurement.value,
        "unit": measurement.unit,
        "warnings": [_notice(Notice.of(text)) for text in measurement.warnings],
    }


def _detection(detection: Detection, image: ImageFacts) -> Json:
    return {
        "name": detection.name,
        "code": _code(detection.code),
        "laterality": image.laterality if has_side(detection.name) else None,
        "score": detection.score,
        "box": detection.box,
    }


def _grounding(grounding: Grounding, image: ImageFacts, heatmap: HeatmapEncoding) -> Json:
    rows, columns = grounding.heatmap.shape
    encoding, write = _HEATMAPS[heatmap]
    return {
        "phrase": grounding.phrase,
        "laterality": image.laterality if has_side(grounding.phrase) else None,
        "method": grounding.method,
        "similarity": grounding.similarity,
        **_presence(grounding.presence),
        "heatmap": {
            "encoding": encoding,
            "rows": rows,
            "columns": columns,
            "range": (0.0, 1.0),
            "data": write(grounding.heatmap),
        },
        "peak": grounding.peak,
        "box": grounding.box,
        "boxes": [{"box": item.box, "score": item.score} for item in grounding.boxes],
    }


def _presence(presence: Presence | None) -> Json:
    """Return the decision on a phrase, null throughout if the version makes none."""
    if presence is None:
        return {"presence": None, "threshold": None, "found": None}
    return {
        "presence": presence.probability,
        "threshold": presence.threshold,
        "found": presence.found,
    }


def _png(heatmap: NDArray[np.float32]) -> str:
    gray = np.rint(heatmap * 255.0).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(gray).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _numbers(heatmap: NDArray[np.float32]) -> list[list[float]]:
    rows: list[list[float]] = heatmap.astype(np.float64).round(5).tolist()
    return rows


def _nothing(_: NDArray[np.float32]) -> None:
    return None


_HEATMAPS: dict[str, tuple[str, Callable[[NDArray[np.float32]], object]]] = {
    "png": ("png_gray8_base64", _png),
    "float": ("float_rows", _numbers),
    "none": ("none", _nothing),
}
