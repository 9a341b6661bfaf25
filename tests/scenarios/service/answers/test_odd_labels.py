"""Labels in any script, with quotes and markup, are complete in every output format."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families as parse
from pydantic import ValidationError

from radiograph.geometry.geometry import Geometry
from radiograph.manifest import HeadSpec, Label, Task
from radiograph.postprocess import heads
from radiograph.preprocess import PreprocessSpec
from service.decoding.decode import ImageFacts
from service.encoders import json_encoder as json_answer
from service.encoders import overlay_encoder
from service.inference.results import AnalysisResult, ModelIdentity
from service.observability.metrics.service_metrics import Metrics

ODD = (
    'quote " and \\ backslash',
    "<script>alert(1)</script>",
    "a | b `c` *d* {e} %s",
    "胸水 😀 é",
    "انصباب جنبي",
    "x" * 100,
    "ends with \\",
)
BROKEN = (
    "",
    "   ",
    "two\nlines",
    "a\x00b",
    "\x1b[31mred",
    "turned \u202e round",
    "a\u2028b",
    "x" * 101,
)


def _head(kind: Task) -> HeadSpec:
    labels = tuple(Label(name=name, threshold=0.25) for name in ODD)
    return HeadSpec(kind=kind, file="heads/odd.onnx", inputs=("maps",), labels=labels)


@pytest.fixture
def result() -> AnalysisResult:
    """A finding, a mask and a box of every odd label."""
    geometry = Geometry.fit(rows=48, columns=64, size=64)
    logits = np.zeros((len(ODD), 8, 8), np.float32)
    raw = {"logits": logits, "distances": np.full((len(ODD), 4, 8, 8), 0.1, np.float32)}
    return AnalysisResult(
        ModelIdentity("tiny", 1, "sha"), PreprocessSpec(), ImageFacts(48, 64), (), None, {},
        np.zeros((48, 64), np.uint8),
        findings=heads.classify(_head(Task.CLASSIFY), {"logits": logits[:, 0, 0]}),
        masks=heads.segment(_head(Task.SEGMENT), {"logits": logits}, geometry, None),
        detections=heads.detect(_head(Task.DETECT), raw, geometry),
    )  # fmt: skip


def test_json_holds_every_label_unchanged(result: AnalysisResult) -> None:
    answer = json.loads(json_answer.encode(result, "id"))
    assert tuple(item["name"] for item in answer["findings"]) == ODD
    assert tuple(item["name"] for item in answer["masks"]) == ODD
    assert {item["name"] for item in answer["boxes"]} == set(ODD)


def test_an_overlay_is_drawn_with_every_label(result: AnalysisResult) -> None:
    with Image.open(io.BytesIO(overlay_encoder.encode(result))) as picture:
        assert picture.size == (64, 48)
        assert picture.info == {}


def test_metrics_are_read_back_with_every_label() -> None:
    metrics = Metrics()
    metrics.scores("tiny/1", dict.fromkeys(ODD, 0.5))
    text, _ = metrics.render("")
    samples = [s for family in parse(text.decode()) for s in family.samples]
    counted = {s.labels["label"] for s in samples if s.name == "g2d_score_count"}
    assert counted == set(ODD)


@pytest.mark.parametrize("name", BROKEN)
def test_a_label_that_is_not_one_line_of_text_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="a label"):
        Label(name=name)
