"""Viewer: how soon results are on the screen, and how smoothly a window is dragged.

    python -m bench.costs.viewer                      one radiograph of 5 MP, Markdown on stdout
    python -m bench.costs.viewer --rows 4280 --columns 3520

Chromium opens a synthetic radiograph in the page at `/`. The first overlay is timed from the last
byte of the answer to the frame that shows it. A drag of the window draws a frame for each movement.
Both are compared with looking up and showing every pixel of the image, which the viewer avoids.
"""

import argparse
import io
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import FilePayload, Page, sync_playwright

from bench.servers.ours import Ours
from bench.servers.process import serving

_FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_FRAMES = 60
_OVERLAY = """
async () => {
  const stage = document.getElementById("stage");
  const layers = document.getElementById("layers");
  return new Promise((resolve) => {
    new MutationObserver((_, observer) => {
      const all = performance.getEntriesByType("resource");
      const answer = all.find(({ name }) => name.includes("v1/analyze"));
      if (!answer || layers.hidden) return;
      observer.disconnect();
      resolve(performance.now() - answer.responseEnd);
    }).observe(stage, { attributeFilter: ["data-drawn"] });
  });
}
"""
_DRAG = """
async (frames) => {
  const stage = document.getElementById("stage");
  const area = stage.getBoundingClientRect();
  stage.setPointerCapture = () => {};
  const fire = (type, step) => stage.dispatchEvent(new PointerEvent(type, {
    pointerId: 9, bubbles: true, pointerType: "mouse", buttons: 1,
    clientX: area.left + 300 + step, clientY: area.top + 200 + (step % 7) }));
  const frame = () => new Promise(requestAnimationFrame);
  const drawn = () => Number(stage.dataset.drawn);
  const { Stage } = await import("./assets/stage.js");
  const { draw } = Stage.prototype;
  const spent = [];
  Stage.prototype.draw = function timed() {
    const started = performance.now();
    draw.call(this);
    spent.push(performance.now() - started);
  };
  fire("pointerdown", 0);
  await frame();
  const [before, started] = [drawn(), performance.now()];
  for (let step = 1; step <= frames; step += 1) {
    fire("pointermove", step % 40);
    await frame();
  }
  const found = { frames: drawn() - before, ms: performance.now() - started };
  Stage.prototype.draw = draw;
  found.draw_ms = spent.sort((a, b) => a - b)[spent.length >> 1];
  fire("pointerup", 0);
  return found;
}
"""
_WHOLE = """
async ([rows, columns, rounds]) => {
  const { FULL, table, paint } = await import("./assets/windowing.js");
  const pixels = new Uint16Array(rows * columns).map((_, i) => i & 65535);
  const level = { pixels, rows, columns };
  const context = new OffscreenCanvas(columns, rows).getContext("2d");
  const image = new ImageData(columns, rows);
  const started = performance.now();
  for (let round = 0; round < rounds; round += 1) {
    const colours = table({ ...FULL, centre: 30000 + round }, false);
    const target = new Uint32Array(image.data.buffer);
    paint(level, { left: 0, top: 0, width: columns, height: rows }, colours, target);
    context.putImageData(image, 0, 0);
  }
  return (performance.now() - started) / rounds;
}
"""


def main(arguments: list[str] | None = None) -> int:
    """Print the figures as Markdown."""
    line = argparse.ArgumentParser(description="Time the viewer in Chromium.")
    line.add_argument("--rows", type=int, default=2500, help="rows of the radiograph")
    line.add_argument("--columns", type=int, default=2048, help="columns of the radiograph")
    line.add_argument("--repeats", type=int, default=5, help="number of times it is opened")
    line.add_argument("--models-dir", type=Path, default=Path("models"), help="model repository")
    line.add_argument("--model", default="g2d-cxr", help="name of the model")
    options = line.parse_args(arguments)
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("chromium is not installed\n")
        return 2
    ours = Ours(options.models_dir, options.model, threads=2, settings={"G2D_LOG_LEVEL": "error"})
    file = radiograph(options.rows, options.columns)
    with serving(ours.start()) as (server, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS))
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        found = measure(page, f"http://127.0.0.1:{server.port}/", file, options)
        browser.close()
    sys.stdout.write(report(found, options.rows, options.columns))
    return 0


def radiograph(rows: int, columns: int) -> FilePayload:
    """Return a synthetic radiograph with two dark lungs and noise, 16 bits, as a PNG file."""
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    x, y = x / columns, y / rows
    lungs = sum(
        np.clip(1.2 - (((x - c) / 0.16) ** 2 + ((y - 0.5) / 0.34) ** 2), 0, 1) for c in (0.3, 0.7)
    )
    noise = np.random.default_rng(0).normal(0, 900, (rows, columns))
    pixels = np.clip(46000 - 34000 * lungs + noise, 0, 65535).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return {"name": "radiograph.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def measure(
    page: Page, address: str, file: FilePayload, options: argparse.Namespace
) -> dict[str, Any]:
    """Open the file several times, then drag the window, fitted and at the size of the pixels."""
    overlays = []
    for _ in range(options.repeats):
        page.goto(address)
        page.evaluate(f"() => {{ window.overlay = ({_OVERLAY})(); }}")
        page.set_input_files("#file", [file])
        page.wait_for_selector("#files li[data-state=done]", timeout=120_000)
        overlays.append(page.evaluate("() => window.overlay"))
    fitted = page.evaluate(_DRAG, _FRAMES)
    page.click("#actual")
    actual = page.evaluate(_DRAG, _FRAMES)
    whole = page.evaluate(_WHOLE, [options.rows, options.columns, 10])
    return {"overlays": overlays, "fitted": fitted, "actual": actual, "whole": whole}


def report(found: dict[str, Any], rows: int, columns: int) -> str:
    """Return the figures as a Markdown table."""
    overlay = float(np.median(found["overlays"]))
    lines = [
        f"{rows} x {columns} px ({rows * columns / 1e6:.1f} MP), stage of 1600 x 1000 px",
        "",
        "| measured | figure |",
        "| --- | --- |",
        f"| first overlay after the last byte of the answer, median | {overlay:.0f} ms |",
        f"| the same, times looking up and showing every pixel | {overlay / found['whole']:.1f} |",
    ]
    for name, drag in (("fitted", found["fitted"]), ("at the size of its pixels", found["actual"])):
        rate, draw_ms = 1000 * drag["frames"] / drag["ms"], drag["draw_ms"]
        faster = found["whole"] / draw_ms
        lines += [
            f"| frames of a dragged window, image {name} | {rate:.0f} a second |",
            f"| drawing one of them, median | {draw_ms:.1f} ms ({faster:.0f} times as fast) |",
        ]
    lines.append(f"| looking up and showing every pixel | {found['whole']:.0f} ms |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
