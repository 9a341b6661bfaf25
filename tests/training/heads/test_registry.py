"""The registry: heads are found by their files, and built in the order of their tasks."""

from typing import cast

import pytest
from torch import nn

from radiograph.manifest import CHECK, MaskCleaning, Task
from training.config.finetune import Detector, FinetuneConfig
from training.config.run import DataConfig
from training.heads.checks import ChecksHead
from training.heads.classification import ClassifyHead
from training.heads.detectors.centre import CentreHead
from training.heads.detectors.fcos import FcosHead
from training.heads.detectors.yolo import YoloHead
from training.heads.grounding import RegionsHead
from training.heads.head import RunHead, TrainableHead
from training.heads.registry import HEADS, build_heads
from training.heads.segmentation import SegmentHead
from training.model.g2d import G2D

EVERY_HEAD = {ClassifyHead, SegmentHead, CentreHead, FcosHead, YoloHead, RegionsHead, ChecksHead}


def config_of(**changes: object) -> FinetuneConfig:
    """A fine-tuning without any head but those that are requested."""
    data = DataConfig.model_validate({"root": "nowhere", "tables": ("none",)})
    keys = {"kind": "finetune", "epochs": 1, "batch_size": 2, "data": data, "regions": False}
    return FinetuneConfig.model_validate(keys | changes)


def requested(config: FinetuneConfig) -> list[type[RunHead]]:
    return [head for head in HEADS if head.requested(config)]


class _Channels:
    """Stands for the model, of which the heads read numbers of channels."""

    def channels(self, output: str) -> int:
        return {"global_features": 8}.get(output, 32)


def test_every_head_of_the_package_is_found_once() -> None:
    assert set(HEADS) == EVERY_HEAD
    assert len(HEADS) == len(EVERY_HEAD)


def test_heads_are_in_the_order_of_their_tasks() -> None:
    order = [[*Task, CHECK].index(head.kind) for head in HEADS]
    assert order == sorted(order)


def test_a_run_has_the_heads_that_its_keys_request() -> None:
    assert requested(config_of()) == []
    assert requested(config_of(findings=("Pneumonia",))) == [ClassifyHead]
    assert requested(config_of(masks=("Left lung",), regions=True)) == [SegmentHead, RegionsHead]


@pytest.mark.parametrize(
    ("detector", "head"), [("centre", CentreHead), ("yolov3", YoloHead), ("fcos", FcosHead)]
)
def test_a_run_has_the_one_detector_that_it_names(
    detector: Detector, head: type[TrainableHead]
) -> None:
    config = config_of(boxes=("Lung opacity",), detector=detector)
    assert requested(config) == [head]
    assert head.labels(config) == ("Lung opacity",)


def test_heads_are_built_under_their_published_names() -> None:
    config = config_of(findings=("Pneumonia", "Cardiomegaly"), boxes=("Lung opacity",))
    heads = build_heads(config, cast(G2D, _Channels()))
    assert list(heads) == ["findings", "boxes"]
    linear = cast(nn.Sequential, heads["findings"].linear)[1]
    assert linear.weight.shape == (2, 8)


def test_the_manifest_entry_of_a_head_names_its_labels_and_features() -> None:
    config = config_of(boxes=("Lung opacity",), detector="fcos")
    head = cast(TrainableHead, build_heads(config, cast(G2D, _Channels()))["boxes"])
    spec = head.spec(config)
    assert (spec.kind, spec.form, spec.file) == (Task.DETECT, "candidates", "heads/boxes.onnx")
    assert spec.inputs == ("encoder_8", "encoder_16", "encoder_32")
    assert [label.name for label in spec.labels] == ["Lung opacity"]


def test_the_manifest_entry_of_masks_names_their_cleaning() -> None:
    masks, clean = ("Left lung", "Lung opacity"), {"Left lung": {"largest": 1}}
    config = config_of(masks=masks, clean=clean)
    head = cast(TrainableHead, build_heads(config, cast(G2D, _Channels()))["anatomy"])
    assert [label.clean for label in head.spec(config).labels] == [MaskCleaning(largest=1), None]


def test_the_cleaning_of_a_mask_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="clean: no such masks: Heart"):
        config_of(masks=("Left lung",), clean={"Heart": {"largest": 1}})


def test_the_manifest_entry_of_findings_names_their_subtypes() -> None:
    findings = ("Pneumonia", "Viral pneumonia")
    config = config_of(findings=findings, subtype_of={"Viral pneumonia": "Pneumonia"})
    head = cast(TrainableHead, build_heads(config, cast(G2D, _Channels()))["findings"])
    assert [label.subtype_of for label in head.spec(config).labels] == [None, "Pneumonia"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"subtype_of": {"a": "c"}}, "no such findings: c"),
        ({"subtype_of": {"c": "a"}}, "no such findings: c"),
        ({"subtype_of": {"a": "a"}}, "a, of which a is one, is one too"),
        ({"subtype_of": {"a": "b", "b": "a"}}, "is one too"),
        ({"subtype_of": {"a": "b"}, "exclusive": True}, "never present together"),
    ],
)
def test_subtypes_that_cannot_be_are_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        config_of(findings=("a", "b"), **changes)
