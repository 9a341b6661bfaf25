"""Miniature downstream data sets in the format of each release, built on the spot."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.builders.datasets.tiny_sets import jpeg, write, write_csv
from tests.builders.files.sample_files import bright_rectangle, dicom_file
from tests.builders.training.runs.tiny_runs import SIZE_PX, picture
from training.data.pretraining_sets.chexpert import LABELS

RSNA_LABELS = ("patientId", "x", "y", "width", "height", "Target")
CXR14 = (
    *("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age"),
    *("Patient Sex", "View Position", "OriginalImage[Width", "Height]"),
    *("OriginalImagePixelSpacing[x", "y]"),
)
SQUARE = dicom_file(bright_rectangle(64, 64, (8, 8, 40, 40)))


def large_dicom() -> bytes:
    """An image of the size that RSNA and SIIM have, 1024 x 1024."""
    return dicom_file(np.tile(np.arange(1024, dtype=np.uint16), (1024, 1)))


def write_rsna(
    folder: Path,
    boxes: Mapping[str, Sequence[Sequence[object]]],
    classes: Mapping[str, str] | None = None,
    image: bytes = SQUARE,
) -> None:
    """Patients and their boxes; one without any has Target 0."""
    lines = [
        dict(zip(RSNA_LABELS, (patient, *box, 1), strict=True))
        for patient, found in boxes.items()
        for box in found
    ]
    lines += [{"patientId": p, "Target": 0} for p, found in boxes.items() if not found]
    write_csv(folder / "stage_2_train_labels.csv", RSNA_LABELS, lines)
    kinds = [
        {"patientId": p, "class": (classes or {}).get(p, "Lung Opacity" if f else "Normal")}
        for p, f in boxes.items()
    ]
    write_csv(folder / "stage_2_detailed_class_info.csv", ("patientId", "class"), kinds)
    (folder / "stage_2_train_images").mkdir(parents=True, exist_ok=True)
    for patient in boxes:
        if "/" not in patient:
            write(folder / f"stage_2_train_images/{patient}.dcm", image)


def write_siim(folder: Path, codes: Sequence[tuple[str, str]], image: bytes = SQUARE) -> None:
    """`train-rle.csv` with the space that its second column's name has, and images in a tree."""
    text = "ImageId, EncodedPixels\n" + "".join(f"{name},{code}\n" for name, code in codes)
    write(folder / "train-rle.csv", text.encode())
    for name, _ in codes:
        if "/" not in name:
            write(folder / f"dicom-images-train/1.2.{name}/1.3.{name}/{name}.dcm", image)


def write_covidx(folder: Path, train: Sequence[str], test: Sequence[str]) -> None:
    """Both lists and the images that they name."""
    for part, lines in (("train", train), ("test", test)):
        write(folder / f"{part}_COVIDx9A.txt", ("\n".join(lines) + "\n").encode())
        (folder / part).mkdir(exist_ok=True)
        for number, line in enumerate(lines):
            fields = line.split(" ")
            if len(fields) == 4 and "/" not in fields[1]:
                write(folder / part / fields[1], picture(number))


def write_cxr14(
    folder: Path, images: Sequence[tuple[str, str, str]], test: Sequence[str] = ()
) -> None:
    """(image, patient, labels); images alternate between two of the twelve folders."""
    lines = [
        dict(zip(CXR14[:7], (image, labels, 0, patient, 58, "M", "PA"), strict=True))
        for image, patient, labels in images
    ]
    write_csv(folder / "Data_Entry_2017_v2020.csv", CXR14, lines)
    train = [image for image, _, _ in images if image not in test]
    write(folder / "train_val_list.txt", ("\n".join(train) + "\n").encode())
    write(folder / "test_list.txt", ("\n".join(test) + "\n").encode())
    for number in range(1, 13):
        (folder / f"images_{number:03d}/images").mkdir(parents=True, exist_ok=True)
    for number, (image, _, _) in enumerate(images):
        if "/" not in image:
            write(folder / f"images_{number % 2 + 1:03d}/images/{image}", picture(number))


def write_object_cxr(
    folder: Path, train: Mapping[str, str], dev: Mapping[str, str] | None = None
) -> None:
    """image_name -> annotation."""
    for part, found in (("train", train), ("dev", dev or {})):
        lines = [{"image_name": image, "annotation": given} for image, given in found.items()]
        write_csv(folder / f"{part}.csv", ("image_name", "annotation"), lines)
        (folder / part).mkdir(exist_ok=True)
        for number, image in enumerate(found):
            if "/" not in image:
                write(folder / part / image, jpeg(number))


def write_chexpert(
    folder: Path, train: Sequence[Mapping[str, object]], valid: Sequence[Mapping[str, object]]
) -> None:
    """Lines of both tables: path from `train/` or `valid/` on, labels, and `side` if lateral."""
    columns = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
    for part, given in (("train", train), ("valid", valid)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        lines = [
            {
                "Path": f"CheXpert-v1.0/{line['path']}",
                "Frontal/Lateral": line.get("side", "Frontal"),
            }
            | {"AP/PA": "AP", "Sex": "Female", "Age": 61}
            | {name: line[name] for name in LABELS if name in line}
            for line in given
        ]
        write_csv(folder / f"{part}.csv", columns, lines)
        for number, line in enumerate(given):
            write(folder / str(line["path"]), jpeg(number))


def frontal(part: str, patient: int, view: int = 1, **labels: object) -> dict[str, object]:
    """A line of CheXpert with some labels."""
    path = f"{part}/patient{patient:05d}/study1/view{view}_frontal.jpg"
    return {"path": path} | labels


assert SIZE_PX == 64  # of the JPEG and PNG images; annotations in the tests count on it
