"""MIMIC-CXR-JPG: 377,110 JPEG images with the reports of MIMIC-CXR.

    <root>/mimic_cxr_jpg/   or <root>/
        files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg
        mimic-cxr-2.0.0-metadata.csv[.gz]
        mimic-cxr-2.0.0-split.csv[.gz]
        mimic-cxr-reports.zip             from MIMIC-CXR; also in <root>/, or unpacked

Source: physionet.org/content/mimic-cxr-jpg/2.1.0, section Data Description.
"""

from training.data.pretraining_sets.mimic_cxr import JPG_SOURCE, MimicCxr


class MimicCxrJpg(MimicCxr):
    """The reader of MIMIC-CXR-JPG."""

    name = "mimic_cxr_jpg"
    source = JPG_SOURCE

    def image_path(self, line: dict[str, str]) -> str:
        """`files/p10/p10000032/s50414267/<dicom_id>.jpg`."""
        subject, study = line["subject_id"], line["study_id"]
        return f"files/p{subject[:2]}/p{subject}/s{study}/{line['dicom_id']}.jpg"
