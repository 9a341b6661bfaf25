"""Actions of a person in the viewer, and the screen that follows."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

DICOM, PNG = "application/dicom", "image/png"


def payload(name: str, data: bytes, media_type: str = DICOM) -> FilePayload:
    """Return a file as the browser picks it."""
    return {"name": name, "mimeType": media_type, "buffer": data}


def open_files(page: Page, address: str, *files: FilePayload) -> None:
    """Open the viewer and some files in it, and wait until all of them are analysed."""
    page.goto(f"{address}/")
    page.set_input_files("#file", list(files))
    expect(page.locator("#files li[data-state=done]")).to_have_count(len(files))
    expect(page.locator("#facts")).to_be_visible()


def script(page: Page, body: str, argument: Any = None) -> Any:
    """Run the body of an asynchronous function in the page; `argument` is its parameter `given`."""
    return page.evaluate(f"async (given) => {{ {body} }}", argument)


def settle(page: Page) -> None:
    """Wait until everything that was asked for is drawn."""
    script(page, "await new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)));")


@dataclass(frozen=True, eq=False)
class Screen:
    """The stage as it is on the screen.

    Attributes:
        pixels: height x width x 3, uint8.
        scale, x, y: placement of the image, screen = shown * scale + offset.
        turn: how stored pixels are shown; `none` for as they are stored.
    """

    pixels: NDArray[np.uint8]
    scale: float
    x: float
    y: float
    turn: str

    @classmethod
    def of(cls, page: Page) -> "Screen":
        """Photograph the stage."""
        settle(page)
        shot = page.locator("#overlay").screenshot()
        with Image.open(io.BytesIO(shot)) as image:
            pixels = np.asarray(image.convert("RGB"))
        data = page.locator("#stage").evaluate("(stage) => ({...stage.dataset})")
        x, y, scale = (float(data[name]) for name in ("x", "y", "scale"))
        return cls(pixels, scale, x, y, data["turn"])

    def at(self, columns: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the colours at the centres of shown pixels, upright if the image is turned."""
        x = np.floor((columns + 0.5) * self.scale + self.x).astype(int)
        y = np.floor((rows + 0.5) * self.scale + self.y).astype(int)
        found: NDArray[np.uint8] = self.pixels[y, x]
        return found

    def shown(self, rows: int, columns: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return columns and rows of the shown pixels whose centre is on the screen."""
        ys, xs = np.mgrid[:rows, :columns]
        x, y = (xs + 0.5) * self.scale + self.x, (ys + 0.5) * self.scale + self.y
        height, width, _ = self.pixels.shape
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        return xs[inside], ys[inside]


def only(page: Page, layer: str) -> None:
    """Show one layer alone, opaque."""
    for row in page.locator("#layers li[data-layer], #asked li[data-layer]").all():
        chosen = row.get_attribute("data-layer") == layer
        row.locator("input[type=checkbox]").set_checked(chosen)
        if chosen:
            row.locator("input[type=range]").fill("100")
