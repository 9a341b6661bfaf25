"""Open-i: the chest X-rays of Indiana University (IU X-ray), in either of two releases.

From Open-i itself                         <root>/open_i/   or <root>/
    ecgen-radiology/1.xml ...                  also in reports/ or NLMCXR_reports/
        <AbstractText Label="FINDINGS">, Label="IMPRESSION", <parentImage id="CXR1_1_IM-0001-3001">
    NLMCXR_png/CXR1_1_IM-0001-3001.png ...     also in images/, or here
    indiana_projections.csv                    uid, filename, projection: the XML names no view

From Kaggle (raddar/chest-xrays-indiana-university)
    indiana_reports.csv                        uid, MeSH, Problems, image, indication, comparison,
                                               findings, impression
    indiana_projections.csv                    1,1_IM-0001-4001.dcm.png,Frontal
    images/images_normalized/1_IM-0001-4001.dcm.png

The name of an image ends in the same `IM-0001-4001` in both, preceded by the number of the study.
The releases name no patients, so each study counts as a patient of its own. There is no official
split; studies are split by a hash, as for `pairs`. De-identification left `XXXX` in the reports,
which cleaning removes.

Source: openi.nlm.nih.gov/faq#collection, kaggle.com/datasets/raddar/chest-xrays-indiana-university.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.rows.splits import split_of
from training.data.text.report_cleaning import clean, join, reason_too_short

LICENCE = "CC BY-NC-ND 4.0"
_SOURCE = "Open-i (openi.nlm.nih.gov/faq#collection) or Kaggle (chest-xrays-indiana-university)"
_XML_PLACES = ("ecgen-radiology", "NLMCXR_reports/ecgen-radiology", "reports/ecgen-radiology")
_PNG_PLACES = ("images/images_normalized", "images", "NLMCXR_png", "NLMCXR_png/images", ".")
_INSTANCE = re.compile(r"IM-.*?(?=\.|$)")
_MAX_XML_BYTES = 2**20
_NAME = re.compile(r"CXR(\d+)_")


class OpenI:
    """Reader of both releases."""

    name = "open_i"

    def __init__(self, root: Path) -> None:
        """Open the data set in `<root>/open_i`, or in `root`.

        Raises:
            MissingData: the projections or the reports are missing.
        """
        self.folder = dataset_files.locate(root, self.name)
        self.projections = dataset_files.table(
            self.folder, "indiana_projections.csv", f"{_SOURCE}: Kaggle"
        )
        found = [self.folder / place for place in _XML_PLACES if (self.folder / place).is_dir()]
        self.xml = found[0] if found else None
        if self.xml is None:
            self.csv = dataset_files.table(
                self.folder, "indiana_reports.csv", f"{_SOURCE}: or the XML files"
            )

    def rows(self) -> Iterator[Row]:
        """Yield one row for each image, by study."""
        return self._from_xml(self.xml) if self.xml is not None else self._from_csv()

    def _from_csv(self) -> Iterator[Row]:
        needed = ("uid", "findings", "impression")
        texts = {
            line["uid"]: join(clean(line["impression"]), clean(line["findings"]))
            for line in dataset_files.records(self.csv, needed)
        }
        for line in self._projections():
            text = texts.get(line["uid"])
            reason = "report missing" if text is None else reason_too_short(text)
            yield self._row(line["uid"], line["filename"], line["projection"], text or "", reason)

    def _from_xml(self, folder: Path) -> Iterator[Row]:
        views = {
            (line["uid"], instance[0]): line["projection"]
            for line in self._projections()
            if (instance := _INSTANCE.search(line["filename"]))
        }
        for path in sorted(folder.glob("*.xml"), key=lambda p: (len(p.name), p.name)):
            try:
                tree = _parse(path.read_bytes())
            except (ElementTree.ParseError, ValueError, OSError):
                yield self._row(path.stem, path.name, "Frontal", "", "report unreadable")
                continue
            text = _text_of(tree)
            for image in tree.iter("parentImage"):
                name = image.get("id", "")
                uid, instance = _NAME.match(name), _INSTANCE.search(name)
                key = (uid[1], instance[0]) if uid and instance else ("", "")
                view, reason = views.get(key, ""), reason_too_short(text)
                yield self._row(path.stem, f"{name}.png", view, text, reason)

    def _projections(self) -> Iterator[dict[str, str]]:
        return dataset_files.records(self.projections, ("uid", "filename", "projection"))

    def _row(self, study: str, image: str, view: str, text: str, reason: str) -> Row:
        frontal = view == "Frontal"
        return Row(
            table=self.name,
            image=image,
            patient_id=study,
            split=split_of(study),
            text=text,
            labels=(),
            view=view.upper(),
            sex="",
            age="",
            licence=LICENCE,
            licence_class="noncommercial",
            left_out=reason if frontal else f"{view.lower()} view" if view else "view not stated",
        )

    def read(self, path: str) -> bytes:
        """Return the bytes of one image."""
        for place in _PNG_PLACES:
            if (found := dataset_files.inside(self.folder / place, path)).is_file():
                return found.read_bytes()
        raise FileNotFoundError(path)

    def fingerprint(self) -> bytes:
        """Return the digests of the tables, or the names of the XML files."""
        if self.xml is None:
            return dataset_files.digest(self.projections) + dataset_files.digest(self.csv)
        names = "\n".join(sorted(path.name for path in self.xml.glob("*.xml")))
        return dataset_files.digest(self.projections) + names.encode()


def _parse(data: bytes) -> ElementTree.Element:
    """Parse the XML of a report.

    Raises:
        ValueError: the file declares entities, which can grow without bound, or is too large.
        ParseError: the file is not well formed.
    """
    if len(data) > _MAX_XML_BYTES or b"<!ENTITY" in data:
        raise ValueError("too large, or with entities")
    return ElementTree.fromstring(data)  # noqa: S314 - checked above; expat limits growth as well


def _text_of(tree: ElementTree.Element) -> str:
    sections = {
        part.get("Label", "").upper(): clean("".join(part.itertext()))
        for part in tree.iter("AbstractText")
    }
    return join(sections.get("IMPRESSION", ""), sections.get("FINDINGS", ""))
