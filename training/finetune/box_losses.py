"""What each detection head is trained on.

features -> the head's raw maps -> targets on their grids -> losses, those of `Finetuning`
"""

from collections.abc import Mapping

from torch import Tensor, nn

from training.data.batches.collate import Batch
from training.losses.centre_detection import detection_loss, make_targets
from training.losses.yolo import yolo_loss, yolo_targets
from training.model.fcos_head import FcosHead
from training.model.yolo_head import YoloHead

WEIGHT = 0.5
"""Of the boxes beside the other heads' losses."""


def box_losses(head: nn.Module, features: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Losses of one batch, by name.

    Args:
        head: called `boxes`; its raw maps are asked for where it answers candidates.
        features: the trunk's outputs.
        batch: what is known of the images.
    """
    names: tuple[str, ...] = head.inputs  # type: ignore[assignment]
    given = [features[name] for name in names]
    if isinstance(head, YoloHead):
        losses = _yolo(head, given, batch)
    elif isinstance(head, FcosHead):
        losses = head.losses(head.maps(*given), batch.boxes, batch.boxes_known)
    else:
        losses = _centre(head(*given), batch)
    return {name: WEIGHT * value for name, value in losses.items()}


def _yolo(head: YoloHead, given: list[Tensor], batch: Batch) -> dict[str, Tensor]:
    maps = head.maps(*given)
    shapes = [(level.shape[3], level.shape[4]) for level in maps]
    targets = yolo_targets(batch.boxes, batch.boxes_known, shapes)
    return yolo_loss(maps, targets, batch.boxes_known)


def _centre(answer: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    height, width = answer["logits"].shape[-2:]
    targets = make_targets(batch.boxes, batch.boxes_known, height, width)
    return detection_loss(answer["logits"], answer["distances"], targets)
