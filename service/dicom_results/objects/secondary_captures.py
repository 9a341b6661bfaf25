"""Secondary Capture: the overlay as a picture, for viewers that show nothing else.

The picture is JPEG of baseline, quality 90, with colours at half the horizontal resolution. It has
no pixel spacing, so that nobody measures on it.

Source: DICOM PS3.3 section A.8.1; PS3.5 section 8.2.1.
"""

import numpy as np
import simplejpeg
from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from service.dicom_results.kinds import EncodedObject
from service.dicom_results.objects.composition import Composition, item_of, put, put_all, put_chest
from service.encoders import overlay_encoder

_QUALITY = 90
_METHOD = "ISO_10918_1"


def secondary_capture(composition: Composition) -> EncodedObject:
    """Return the overlay; the result has a preview to draw it on."""
    picture = np.asarray(overlay_encoder.draw(composition.result))
    data = simplejpeg.encode_jpeg(
        picture, quality=_QUALITY, colorspace="RGB", colorsubsampling="422", fastdct=False
    )
    made = _described(composition)
    rows, columns = picture.shape[:2]
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    put_all(
        made,
        {
            "Rows": rows,
            "Columns": columns,
            "PhotometricInterpretation": "YBR_FULL_422",
            "PlanarConfiguration": 0,
            "LossyImageCompression": "01",
            "LossyImageCompressionRatio": round(picture.size / len(data), 2),
            "LossyImageCompressionMethod": _METHOD,
            "BurnedInAnnotation": "YES",
            "DerivationDescription": "Radiograph with the answers of a model drawn over it",
            "ImageType": ["DERIVED", "SECONDARY"],
            "PixelData": encapsulate([data]),
        },
    )
    made["PixelData"].is_undefined_length = True
    _refer(made, composition)
    put(made, "PatientOrientation", list(composition.source.patient_orientation))
    put_chest(made)
    return composition.encode(made)


def _described(composition: Composition) -> Dataset:
    """Return a Secondary Capture whose pixels are still those of a blank image."""
    reference = composition.reference(blank=True)
    blank = np.zeros((reference.Rows, reference.Columns, 3), dtype=np.uint8)
    return SCImage(
        pixel_array=blank,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=reference.StudyInstanceUID,
        patient_orientation=("L", "F"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **composition.identifying,
    )


def _refer(dataset: Dataset, composition: Composition) -> None:
    """Refer to the radiograph that the picture was derived from."""
    source = composition.source
    item = item_of(
        ReferencedSOPClassUID=source.sop_class_uid,
        ReferencedSOPInstanceUID=source.sop_instance_uid,
    )
    dataset.SourceImageSequence = [item]
