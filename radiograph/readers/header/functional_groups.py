"""Functional groups of an object with one frame: attributes that are not in the data set itself.

    Shared Functional Groups Sequence (5200,9229)     --> macros --> attributes
    Per-frame Functional Groups Sequence (5200,9230)  --first item, that of the only frame--'

Enhanced objects describe their frames here, and some writers keep this form for one frame. Without
it, the orientation of the patient, spacing, rescale and window of such a file would be taken for
absent. An attribute of the data set itself goes first, then one of the frame, then a shared one.

Source: DICOM PS3.3 section C.7.6.16 (Multi-frame Functional Groups).
"""

from radiograph.readers.header.attributes import Attributes

_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
_MACROS = (
    "PatientOrientationInFrameSequence",
    "FrameAnatomySequence",
    "PixelMeasuresSequence",
    "FramePixelDataPropertiesSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "FrameDisplayShutterSequence",
)
"""Macros with attributes that the readers use: Patient Orientation, Anatomic Region Sequence, Pixel
Spacing, Imager Pixel Spacing, Rescale Slope and Intercept, window or VOI LUT, and shutters."""

_MAX_BYTES = 2**18
"""Length of the longest sequence that is looked into; one frame with a LUT takes half of it."""


def with_functional_groups(header: Attributes) -> Attributes:
    """Return the attributes of a data set and, if it has one frame, of its functional groups.

    Private attributes are left out where there are functional groups.
    """
    if header.text("NumberOfFrames").lstrip("0") not in ("", "1"):
        return header
    found = []
    for group in _GROUPS:
        if len(header.raw(group)) > _MAX_BYTES:
            continue
        for item in header.items(group)[:1]:
            found += [macro for name in _MACROS for macro in item.items(name)[:1]]
    return header.merged(found) if found else header
