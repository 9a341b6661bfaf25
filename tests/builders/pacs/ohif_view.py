"""OHIF in headless Chromium: shows a study with results, and checks that they lie in place.

    python -m tests.builders.pacs.ohif_view --ohif DIST --folder FILES [--loads 10]

DIST is the folder `package/dist` of `npm pack @ohif/app@3.12.10`, FILES holds a radiograph with its
segmentation and report of boxes. Everything runs in a network namespace, where there is no other
host. In every load, each mask that the viewer holds must be that of the file, pixel for pixel, over
the radiograph, and each box must have the corners that the report states. The last line is JSON.
"""

import argparse
import contextlib
import json
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright
from playwright.sync_api import TimeoutError as TooLate
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.builders.pacs import namespace
from tests.builders.pacs.restarts import HTTP, ROOT, Program

PORT = 3000
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]
_TIMEOUT_MS = 120_000
_AT_ONCE_MS = 10_000
_RESETS = 12
_SETTLE_MS = 2_000
"""Time for the viewer to draw what it has loaded."""
_CENTRE = 0.51
"""Largest difference: a report counts from the edge of a pixel, the viewer from its centre."""

MASKS = """
() => {
  const {segmentationService} = window.services;
  return segmentationService.getSegmentations().map(segmentation => {
    const labelmap = segmentation.representationData.Labelmap;
    const imageId = labelmap.imageIds[0];
    const image = window.cornerstone.cache.getImage(imageId);
    const values = image.voxelManager.getScalarData();
    return {
      rows: image.rows, columns: image.columns, over: image.referencedImageId,
      values: Array.from(values),
      labels: Object.values(segmentation.segments).filter(Boolean)
        .map(segment => [segment.segmentIndex, segment.label]),
    };
  });
}
"""
BOXES = """
() => window.cornerstoneTools.annotation.state.getAllAnnotations()
  .filter(annotation => annotation.metadata.toolName === 'DICOMSRDisplay')
  .map(annotation => {
    const toImage = window.cornerstone.utilities.worldToImageCoords;
    const imageId = annotation.metadata.referencedImageId;
    return annotation.data.handles.points.map(point => Array.from(toImage(imageId, point)));
  })
"""
POLYLINES = "svg.svg-layer polyline"


@contextlib.contextmanager
def orthanc(folder: Path) -> Iterator[None]:
    """Run an Orthanc with DICOMweb."""
    settings = json.loads((ROOT / "docker/pacs/orthanc.json").read_text())
    settings |= {"StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db")}
    (folder / "orthanc.json").write_text(json.dumps(settings))
    program = Program(["Orthanc", str(folder / "orthanc.json")], folder / "orthanc.log")
    program.start()
    try:
        yield
    finally:
        program.end(signal.SIGTERM)


@contextlib.contextmanager
def viewer(dist: Path) -> Iterator[None]:
    """Serve OHIF with our configuration, and DICOMweb below the same address, as nginx does."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(dist))

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/dicom-web/"):
                self._pass_on()
            elif path == "/app-config.js":
                self._answer(200, "text/javascript", CONFIG)
            else:
                if not (dist / path.lstrip("/")).is_file():
                    self.path = "/index.html"
                super().do_GET()

        def _pass_on(self) -> None:
            headers = {"Host": f"127.0.0.1:{PORT}", "Accept": self.headers.get("Accept", "*/*")}
            address = f"http://127.0.0.1:{HTTP}{self.path}"
            request = urllib.request.Request(address, None, headers)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                    self._answer(answer.status, answer.headers["Content-Type"], answer.read())
            except urllib.error.HTTPError as error:
                self._answer(error.code, "text/plain", error.read())

        def _answer(self, status: int, media_type: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def end_headers(self) -> None:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


CONFIG = (ROOT / "docker/pacs/app-config.js").read_bytes()


def upload(files: list[Path]) -> None:
    """Store files in Orthanc once it listens."""
    for file in files:
        while True:
            request = urllib.request.Request(
                f"http://127.0.0.1:{HTTP}/instances", file.read_bytes()
            )
            try:
                urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
                break
            except urllib.error.URLError:
                time.sleep(0.2)


@dataclass(frozen=True)
class Seen:
    """State of the viewer after one load.

    Attributes:
        masks: label maps and their labels.
        boxes: corners of the boxes in pixels of the radiograph.
        polylines: number of boxes that are drawn.
        pictures: JPEG files, with the masks and with the boxes.
        redrawn: the boxes were drawn only once the view was reset.
    """

    masks: list[dict[str, Any]]
    boxes: list[list[list[float]]]
    polylines: int
    pictures: list[bytes]
    redrawn: bool


def seen(page: Page, study: str) -> Seen:
    """Load a study and its results, and return the masks and boxes that the viewer holds."""
    page.goto(f"http://127.0.0.1:{PORT}/viewer?StudyInstanceUIDs={study}", timeout=_TIMEOUT_MS)
    page.wait_for_function(
        "() => window.services?.displaySetService.getActiveDisplaySets().length >= 3",
        timeout=_TIMEOUT_MS,
    )
    for button in ("Skip all", "Confirm and hide"):
        page.get_by_text(button).click(timeout=_TIMEOUT_MS)
    page.get_by_text("AI segmentation", exact=True).dblclick(timeout=_TIMEOUT_MS)
    page.wait_for_function(
        "() => window.services.segmentationService.getSegmentations().length > 0",
        timeout=_TIMEOUT_MS,
    )
    page.wait_for_timeout(_SETTLE_MS)
    masks = page.evaluate(MASKS)
    pictures = [_picture(page)]
    page.get_by_text("AI boxes", exact=True).dblclick(timeout=_TIMEOUT_MS)
    redrawn = not _draws_boxes(page)
    page.wait_for_timeout(_SETTLE_MS)
    pictures.append(_picture(page))
    polylines = page.locator(POLYLINES).count()
    return Seen(masks, page.evaluate(BOXES), polylines, pictures, redrawn)


def _draws_boxes(page: Page) -> bool:
    """Return whether boxes are drawn at once; otherwise reset the view, and wait for them.

    OHIF 3.12 draws the boxes of a report with the next change of the view if the report is ready
    after the last one.
    """
    for resets in range(_RESETS):
        with contextlib.suppress(TooLate):
            page.wait_for_selector(POLYLINES, timeout=_AT_ONCE_MS)
            return resets == 0
        page.keyboard.press("Space")  # one that comes before the report is ready has no effect
    page.wait_for_selector(POLYLINES, timeout=_AT_ONCE_MS)
    return False


def _picture(page: Page) -> bytes:
    return page.screenshot(type="jpeg", quality=80, timeout=_TIMEOUT_MS)


def stated(files: list[Dataset]) -> tuple[dict[str, Any], list[list[list[float]]]]:
    """Return the masks by label, and the corners of the boxes, that the files state."""
    masks: dict[str, Any] = {}
    boxes: list[list[list[float]]] = []
    for file in files:
        if file.Modality == "SEG":
            frames = file.pixel_array.reshape(-1, file.Rows, file.Columns)
            labels = [segment.SegmentLabel for segment in file.SegmentSequence]
            masks |= dict(zip(labels, frames.astype(bool), strict=True))
        for item in graphics(file):
            points = np.asarray(item, dtype=float).reshape(-1, 2)
            boxes.append(points.tolist())
    return masks, boxes


def graphics(dataset: Dataset) -> Iterator[list[float]]:
    """Yield the coordinates of every SCOORD of a report."""
    for item in dataset.get("ContentSequence", ()):
        if item.get("ValueType") == "SCOORD":
            yield [float(value) for value in item.GraphicData]
        yield from graphics(item)


def differences(found: Seen, files: list[Dataset]) -> list[str]:
    """Return what the viewer shows otherwise than the files state."""
    masks, boxes = stated(files)
    faults = []
    held: dict[str, Any] = {}
    for one in found.masks:
        values = np.array(one["values"]).reshape(one["rows"], one["columns"])
        held |= {label: values == index for index, label in one["labels"]}
    if set(held) != set(masks):
        faults.append(f"masks {sorted(held)} instead of {sorted(masks)}")
    faults += [
        f"mask {label} differs in {int((held[label] != masks[label]).sum())} pixels"
        for label in sorted(set(held) & set(masks))
        if not np.array_equal(held[label], masks[label])
    ]
    drawn = [_extent(points) for points in found.boxes]
    wanted = [_extent(points) for points in boxes]
    if not len(drawn) == found.polylines == len(wanted):
        faults.append(f"{found.polylines} of {len(drawn)} boxes drawn instead of {len(wanted)}")
    elif not np.allclose(sorted(drawn), sorted(wanted), atol=_CENTRE):
        faults.append(f"boxes {sorted(drawn)} instead of {sorted(wanted)}")
    return faults


def _extent(points: list[list[float]]) -> tuple[float, ...]:
    corners = np.asarray(points, dtype=float)[:, :2]
    return (*corners.min(axis=0), *corners.max(axis=0))


def write_pictures(found: Seen, folder: Path) -> None:
    """Write the pictures of one load."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in zip(("masks", "boxes"), found.pictures, strict=True):
        (folder / f"{name}.jpg").write_bytes(picture)


def run(dist: Path, folder: Path, loads: int, pictures: Path | None) -> dict[str, Any]:
    """Return the faults of each load, and the hosts that the page asked."""
    paths = sorted(folder.glob("*.dcm"))
    files: list[Dataset] = [dcmread(path) for path in paths]
    hosts: set[str] = set()
    faults, redrawn = [], 0
    with (
        TemporaryDirectory() as state,
        orthanc(Path(state)),
        viewer(dist),
        sync_playwright() as play,
    ):
        upload(paths)
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for _ in range(loads):
            page = browser.new_page(viewport={"width": 1200, "height": 800})
            page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
            found = seen(page, files[0].StudyInstanceUID)
            faults.append(differences(found, files))
            redrawn += found.redrawn
            if pictures is not None:
                write_pictures(found, pictures)
            page.close()
        browser.close()
    return {"loads": loads, "faults": faults, "redrawn": redrawn, "hosts": sorted(hosts)}


def main() -> None:
    """Print what was found."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--ohif", type=Path, required=True, help="folder of the viewer")
    line.add_argument("--folder", type=Path, required=True, help="folder of DICOM files")
    line.add_argument("--loads", type=int, default=1)
    line.add_argument("--pictures", type=Path, help="folder for pictures of the last load")
    options = line.parse_args()
    namespace.enter("tests.builders.pacs.ohif_view")
    result = run(options.ohif.resolve(), options.folder, options.loads, options.pictures)
    print(json.dumps(result))  # noqa: T201


if __name__ == "__main__":
    main()
