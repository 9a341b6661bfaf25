r"""Orientation of the patient in the stored pixels, and the evidence for left and right.

    Patient Orientation (0020,0020) --> steps that turn the pixels upright, laterality, warnings

`L\F` is usual: rows run to the patient's left and columns to the feet (PS3.3 section
C.7.6.1.1.1). Every other frontal orientation is turned upright for the model, and the results are
turned back to stored pixels. Field of View Rotation (0018,7032) and Horizontal Flip (0018,7034)
are not used: they relate the pixels to the detector and not to the patient, so an image that a
device turned upright itself has them too, and undoing them would swap its sides.

    orientation_mirrored   rows run towards the patient's right
    orientation_unusual    rotated or upside down
    orientation_unknown    the directions contradict each other or are no frontal projection's
"""

from collections.abc import Iterator, Sequence

from radiograph.geometry.orientation import UPRIGHT, Orientation
from radiograph.image import Laterality
from radiograph.readers.header.attributes import Attributes

_TURNED = "the image was turned upright for the model and the results back to stored pixels"


def patient_orientation(
    header: Attributes, *, lateral: bool
) -> tuple[Orientation, Laterality, tuple[str, ...]]:
    """Read the orientation of the patient in the stored pixels.

    Args:
        header: the data set.
        lateral: True if the projection is lateral, so that the image shows no sides.

    Returns:
        orientation: steps that turn the stored pixels upright; nothing is turned without evidence.
        laterality: evidence for the sides of the upright image.
        warnings: each as `code: message`.
    """
    directions = header.texts("PatientOrientation")
    if len(directions) > 2 and not any(directions[2:]):
        directions = directions[:2]  # written with a delimiter at its end
    if not any(directions):
        return UPRIGHT, "unknown" if lateral else "assumed", ()
    orientation = Orientation.from_directions(directions)
    if orientation is None:
        warning = "orientation_unknown: Patient Orientation is no frontal projection's"
        return UPRIGHT, "unknown", () if lateral else (warning,)
    if lateral:
        warning = "orientation_unknown: a lateral view with the orientation of a frontal one"
        return UPRIGHT, "unknown", (warning,)
    return orientation, "asserted", tuple(_turned_warnings(directions))


def _turned_warnings(directions: Sequence[str]) -> Iterator[str]:
    """Yield warnings about an orientation other than the usual, of two valid directions."""
    row, column = (direction[0] for direction in directions)
    if row == "R":
        yield f"orientation_mirrored: image right is the patient's right; {_TURNED}"
    if row in ("H", "F") or column != "F":
        yield f"orientation_unusual: the image is rotated or upside down; {_TURNED}"
