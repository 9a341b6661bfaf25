"""JSON holds every task that was asked for, heat maps as asked, and no number that JSON lacks."""

import base64
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radiograph.postprocess.grounding import Grounding, PhraseBox, Presence
from radiograph.postprocess.heads import Detection, Finding, Mask
from radiograph.postprocess.measurements import Measurement
from radiograph.terminology.codes import Code
from service.encoders.json_encoder import HeatmapEncoding, encode
from service.inference.results import Notice, OutOfDistributionScore
from tests.builders.service.results.results import result

HEATMAP = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)


def decoded(heatmap: HeatmapEncoding = "png", **answers: object) -> dict[str, Any]:
    text = encode(result(**answers), "id", heatmap)
    answer: dict[str, Any] = json.loads(text, parse_constant=pytest.fail)
    return answer


def test_the_model_and_the_request_are_named() -> None:
    answer = decoded()
    assert answer["request_id"] == "id"
    identity = {"name": "tiny", "version": 1, "digest": "0" * 64}
    assert answer["model"] == {**identity, "variant": "float32"}


def test_a_task_that_was_not_asked_for_is_absent_and_one_without_results_is_empty() -> None:
    answer = decoded(findings=(), detections=())
    assert (answer["findings"], answer["boxes"]) == ([], [])
    assert not {"masks", "phrases"} & set(answer)


def test_a_finding_has_its_code_and_threshold() -> None:
    code = Code(scheme="SCT", value="60046008", meaning="Pleural effusion")
    finding = Finding("Effusion", code, 0.75, 0.5, positive=True)
    (found,) = decoded(findings=(finding,))["findings"]
    assert found == {
        "name": "Effusion",
        "code": {"scheme": "SCT", "value": "60046008", "meaning": "Pleural effusion"},
        "probability": 0.75,
        "threshold": 0.5,
        "positive": True,
    }


def test_a_subtype_names_its_finding() -> None:
    finding = Finding("Viral pneumonia", None, 0.75, 0.5, positive=False, subtype_of="Pneumonia")
    (found,) = decoded(findings=(finding,))["findings"]
    assert (found["positive"], found["subtype_of"]) == (False, "Pneumonia")


def test_a_mask_is_run_lengths_of_the_source_size() -> None:
    pixels = np.array([[0, 1], [1, 1], [0, 1]], bool)
    mask = Mask("Left lung", None, pixels, 4, 2.5, (0.0, 0.0, 2.0, 3.0))
    (found,) = decoded(masks=(mask,))["masks"]
    assert found["rle"] == {
        "encoding": "coco_uncompressed",
        "size": [3, 2],
        "counts": [1, 1, 1, 3],
    }
    assert (found["area_px"], found["area_mm2"], found["box"]) == (4, 2.5, [0, 0, 2, 3])


def test_a_measurement_has_its_unit_and_its_own_warnings() -> None:
    ratio = Measurement("Ratio", None, 0.5, "1", ("cut_off: a lung reaches the edge",))
    assert decoded(masks=(), measurements=(ratio,))["measurements"] == [
        {
            "name": "Ratio",
            "code": None,
            "value": 0.5,
            "unit": "1",
            "warnings": [{"code": "cut_off", "message": "a lung reaches the edge"}],
        }
    ]
    assert "measurements" not in decoded(findings=())


def test_a_detection_has_its_score_and_box() -> None:
    (found,) = decoded(detections=(Detection("Nodule", None, 0.5, (1, 2, 3, 4)),))["boxes"]
    assert found.pop("laterality") is None
    assert found == {"name": "Nodule", "code": None, "score": 0.5, "box": [1, 2, 3, 4]}


def phrase_answer(
    presence: Presence | None, *boxes: PhraseBox, heatmap: HeatmapEncoding = "none"
) -> dict[str, Any]:
    phrase = Grounding("left", "aligned", 0.9, HEATMAP, (1.5, 1.5), boxes, presence)
    (found,) = decoded(heatmap, groundings=(phrase,))["phrases"]
    answer: dict[str, Any] = found
    return answer


def test_a_phrase_has_its_decision_and_its_boxes() -> None:
    boxes = PhraseBox((1, 2, 3, 4), 0.8), PhraseBox((0, 0, 1, 1), 0.5)
    answer = phrase_answer(Presence(0.75, 0.5), *boxes)
    assert (answer["similarity"], answer["presence"], answer["threshold"]) == (0.9, 0.75, 0.5)
    assert answer["found"] is True
    assert answer["box"] == [1, 2, 3, 4]
    assert answer["boxes"] == [
        {"box": [1, 2, 3, 4], "score": 0.8},
        {"box": [0, 0, 1, 1], "score": 0.5},
    ]


def test_a_phrase_below_the_threshold_is_not_found_and_without_one_nothing_is_said() -> None:
    assert phrase_answer(Presence(0.25, 0.5))["found"] is False
    undecided = phrase_answer(None)
    assert (undecided["presence"], undecided["threshold"], undecided["found"]) == (None,) * 3
    assert (undecided["box"], undecided["boxes"]) == (None, [])


def grounding(heatmap: HeatmapEncoding) -> dict[str, Any]:
    found = phrase_answer(None, heatmap=heatmap)
    answer: dict[str, Any] = found["heatmap"]
    return answer


def test_a_heat_map_is_a_gray_png_of_its_own_size() -> None:
    answer = grounding("png")
    assert (answer["encoding"], answer["rows"], answer["columns"]) == ("png_gray8_base64", 2, 2)
    with Image.open(io.BytesIO(base64.b64decode(answer["data"]))) as image:
        assert np.asarray(image).tolist() == [[0, 64], [128, 255]]


def test_a_heat_map_is_rows_of_numbers_or_nothing_if_asked() -> None:
    assert grounding("float")["data"] == HEATMAP.tolist()
    assert (grounding("none")["encoding"], grounding("none")["data"]) == ("none", None)


def test_the_distance_from_the_training_images_and_the_warnings_are_told() -> None:
    assert decoded()["out_of_domain"] is None
    unusual = replace(
        result(),
        out_of_domain=OutOfDistributionScore(2.0, 1.5),
        warnings=(Notice("image", "A warning."),),
    )
    answer = json.loads(encode(unusual, "id"))
    assert answer["out_of_domain"] == {"score": 2.0, "threshold": 1.5, "outside": True}
    assert answer["warnings"] == [{"code": "image", "message": "A warning."}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_becomes_null(value: float) -> None:
    finding = Finding("Effusion", None, value, 0.5, positive=False)
    assert decoded(findings=(finding,))["findings"][0]["probability"] is None


def test_times_are_rounded_to_microseconds() -> None:
    timed = replace(result(), timings_ms={"read": 1.23456})
    assert json.loads(encode(timed, "id"))["timings_ms"] == {"read": 1.235}
