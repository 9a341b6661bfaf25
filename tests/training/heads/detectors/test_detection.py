"""Detection heads learn to find boxes, and all of their weights take part."""

import pytest
import torch

from tests.builders.heads.drawn_boxes import CHANNELS, Drawn, draw, precision, train
from training.heads.detectors.detector import EncoderDetector
from training.heads.detectors.fcos import FcosHead
from training.heads.detectors.yolo import YoloHead


@pytest.fixture(scope="module")
def seen() -> Drawn:
    """64 images to train on."""
    return draw(64, seed=0)


@pytest.fixture(scope="module")
def unseen() -> Drawn:
    """32 others."""
    return draw(32, seed=1)


def heads() -> list[EncoderDetector]:
    torch.manual_seed(0)
    return [YoloHead(CHANNELS, 1, widths=(16, 32, 64)), FcosHead(CHANNELS, 1, width=32)]


@pytest.mark.parametrize(
    ("number", "steps", "least"), [(0, 80, 0.4), (1, 40, 0.7)], ids=["yolov3", "fcos"]
)
def test_a_few_steps_find_rectangles_in_images_never_seen(
    seen: Drawn, unseen: Drawn, number: int, steps: int, least: float
) -> None:
    head = heads()[number].eval()
    assert precision(head, unseen) < 0.1
    train(head, seen, steps)
    assert precision(head, unseen) > least


@pytest.mark.parametrize("head", heads(), ids=["yolov3", "fcos"])
def test_every_part_of_a_head_gets_a_gradient(seen: Drawn, head: EncoderDetector) -> None:
    features, batch = seen.batch(head, list(range(8)))
    losses = head.train().losses(features, batch)
    sum(losses.values(), torch.zeros(())).backward()
    for name, weight in head.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.abs().max() > 0, name


@pytest.mark.parametrize("head", heads(), ids=["yolov3", "fcos"])
def test_what_a_head_answers_does_not_depend_on_its_mode(
    seen: Drawn, head: EncoderDetector
) -> None:
    features, _ = seen.batch(head, [0, 1])
    answers = [head.train(mode)(*features.values()) for mode in (True, False)]
    for answer in answers:
        assert answer["logits"].shape[:2] == (2, 1)
        assert answer["boxes"].shape == (2, answer["logits"].shape[2], 4)
