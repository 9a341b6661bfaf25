"""Pictures of a version's answers for the documentation: answers that are right, and failures.

    python -m bench.accuracy.model_pictures --data ../shared/data --out docs/model_cases.jpg

Nothing is chosen by hand. For each finding, the test radiographs with boxes are taken in the order
of the table: the first whose boxes hold the peak of the finding's phrase is shown in the upper row,
the first whose boxes do not, or whose phrase is not found, below it. Boxes of the radiologists are
white; the heat map, its peak and its boxes are those of the service.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from radiograph.errors import InputError
from radiograph.geometry.geometry import Box
from radiograph.manifest import Task
from radiograph.repository.repository import Repository
from service.backends.factory import backend_factory
from service.encoders.overlay_encoder import draw
from service.inference.analysis import Analysis
from service.inference.results import AnalysisResult
from service.inference.types import AnalysisRequest
from service.registry.loading.loader import VersionLoader
from service.settings import Settings
from training.config.run import DataConfig
from training.data.catalog import open_table

SHOWN = {
    "Lung opacity": "lung opacity",
    "Pneumonia": "pneumonia",
    "Effusion": "pleural effusion",
    "Cardiomegaly": "cardiomegaly",
    "Pneumothorax": "pneumothorax",
    "Nodule": "lung nodule",
}
"""Label of a box -> the phrase that is asked for."""
TILE_PX = 320
_WHITE = (255, 255, 255)


def main() -> None:
    """Draw the sheet of both rows."""
    options = _options()
    settings = Settings.of(models_dir=options.models_dir, default_model=options.model, threads=1)
    repository = Repository(settings.models.models_dir)
    number = repository.resolve(options.model, options.version)
    loader = VersionLoader(repository, backend_factory(settings), settings.limits)
    opened = loader.load(options.model, number)
    sheet = Image.new("RGB", (TILE_PX * len(SHOWN), 2 * TILE_PX))
    for column, (label, phrase) in enumerate(SHOWN.items()):
        for row, tile in enumerate(_cases(opened.analysis, options, label, phrase)):
            if tile is not None:
                sheet.paste(tile, (column * TILE_PX, row * TILE_PX))
    opened.close()
    sheet.save(options.out, quality=82)
    print(f"{options.model}/{number}: {options.out}")


def _cases(
    analysis: Analysis, options: argparse.Namespace, label: str, phrase: str
) -> tuple[Image.Image | None, Image.Image | None]:
    """Return the first right and the first wrong answer about a finding, if there are any."""
    right: Image.Image | None = None
    wrong: Image.Image | None = None
    request = AnalysisRequest((Task.GROUND,), (phrase,))
    for picture, boxes in _boxed(options, label):
        try:
            result = analysis.run_here(request, picture, preview_px=2 * TILE_PX)
        except InputError:
            continue
        hit = _hits(result, boxes)
        if hit and right is None:
            right = _tile(result, boxes)
        elif not hit and wrong is None:
            wrong = _tile(result, boxes)
        if right is not None and wrong is not None:
            break
    return right, wrong


def _boxed(options: argparse.Namespace, label: str) -> Iterator[tuple[bytes, list[Box]]]:
    """Yield the test radiographs with boxes of a label, and these boxes in source pixels."""
    table = open_table(DataConfig(root=options.data, tables=(options.table,)), options.table)
    for row in table.rows():
        boxes = [box for name, box in row.boxes if name == label]
        if row.split == "test" and not row.reason_left_out and boxes:
            yield table.read(row.image), boxes


def _hits(result: AnalysisResult, boxes: Sequence[Box]) -> bool:
    peak = result.groundings[0].peak if result.groundings else None
    if peak is None:
        return False
    x, y = peak
    return any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes)


def _tile(result: AnalysisResult, boxes: Sequence[Box]) -> Image.Image:
    """Return the overlay with the true boxes, on a black square."""
    overlay = draw(result)
    scale = TILE_PX / max(overlay.size)
    to_preview = overlay.width / result.image.columns
    drawn = ImageDraw.Draw(overlay)
    for box in boxes:
        drawn.rectangle([edge * to_preview for edge in box], outline=_WHITE, width=3)
    small = overlay.resize(
        (round(overlay.width * scale), round(overlay.height * scale)), Image.Resampling.LANCZOS
    )
    tile = Image.new("RGB", (TILE_PX, TILE_PX))
    tile.paste(small, ((TILE_PX - small.width) // 2, (TILE_PX - small.height) // 2))
    return tile


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--table", default="nih_boxes", help="set with boxes")
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="repository")
    parser.add_argument("--model", default="g2d-cxr", help="name of the model")
    parser.add_argument("--version", default="stable", help="alias or number of the version")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
