"""Draw a phantom: a synthetic image with the layout of a frontal chest radiograph.

    .venv/serve/bin/python docs/example.py phantom.png

The examples of the documentation use it in place of the radiograph of a patient.
"""

import sys

try:
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter
except ModuleNotFoundError as error:
    sys.exit(
        f"{error.name} is not installed for {sys.executable}. After `make serve`, run:\n"
        "    .venv/serve/bin/python docs/example.py phantom.png"
    )


def phantom(rows: int = 640, columns: int = 600) -> Image.Image:
    """Draw body, lungs, heart, spine and ribs as an 8-bit grayscale image."""
    image = Image.new("L", (columns, rows), 8)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((30, 40, 570, 700), 130, fill=150)
    draw.ellipse((215, -60, 385, 120), fill=150)
    draw.ellipse((85, 100, 275, 640), fill=52)
    draw.ellipse((325, 100, 515, 640), fill=52)
    draw.ellipse((30, 470, 300, 900), fill=170)
    draw.ellipse((300, 490, 570, 900), fill=165)
    draw.ellipse((245, 300, 440, 545), fill=175)
    draw.rectangle((275, 60, 325, 640), fill=190)
    for row in range(120, 520, 48):
        for left, right in ((70, 280), (320, 530)):
            draw.arc((left, row, right, row + 130), 190, 350, fill=105, width=9)
    smooth = np.asarray(image.filter(ImageFilter.GaussianBlur(7)), dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 3, smooth.shape)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("name the file to write, such as phantom.png")
    phantom().save(sys.argv[1])
