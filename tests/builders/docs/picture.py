"""Picture of the page at / for the README: the shipped model about a radiograph.

    python -m tests.builders.docs.picture nih_boxes/images/00000661_000.jpg cardiomegaly

writes docs/page.png; needs chromium (Debian package). The radiograph of the README is one of the
test split of NIH ChestX-ray14, whose use is not restricted. Without arguments, it is the sample.
"""

import argparse
import io
import mimetypes
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from tests.builders.service.pages import served_page
from tests.builders.service.pages.viewer import PNG, open_files, payload, settle

ROOT = Path(__file__).parents[3]
PICTURE = ROOT / "docs/page.png"
SAMPLE = ROOT / "service/api/pages/assets/phantom.png"
PHRASE = "left lung"
_TIMEOUT_MS = 120_000
_SIZE: ViewportSize = {"width": 1280, "height": 800}
_COLOURS = 128
"""Colours of the picture, which keep it small."""


def take(page: Page, address: str, radiograph: Path, phrase: str) -> Image.Image:
    """Open a radiograph in the viewer, look for a phrase, and photograph the page."""
    page.set_default_timeout(_TIMEOUT_MS)
    media_type = mimetypes.guess_type(radiograph.name)[0] or PNG
    open_files(page, address, payload(radiograph.name, radiograph.read_bytes(), media_type))
    page.locator("#phrase").fill(phrase)
    page.locator("#phrase").press("Enter")
    expect(page.locator("#asked")).to_contain_text(phrase)
    settle(page)
    page.evaluate("scrollTo(0, 0)")
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        return shot.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("radiograph", type=Path, nargs="?", default=SAMPLE, help="file to show")
    parser.add_argument("phrase", nargs="?", default=PHRASE, help="phrase to look for")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    with (
        TemporaryDirectory() as state,
        served_page.serving(ROOT / "models", Path(state), default_model="g2d-cxr") as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=_SIZE)
        take(page, address, options.radiograph, options.phrase).save(PICTURE, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
