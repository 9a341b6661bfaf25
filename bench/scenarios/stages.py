"""One client: start to ready, time by stage and task, memory; and the encoders of overlays."""

import statistics
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from imagecodecs import deflate_encode
from PIL import Image

from bench.reporting.checks import Check, at_most
from bench.scenarios.timed_client import COLUMNS, Client, row
from bench.servers.ours import ALL_TASKS, TASKS, Ours
from bench.servers.process import serving
from radiograph.preprocess import PreprocessSpec
from radiograph.readers.read import UNKNOWN
from service.decoding.decode import DecodeRequest, decode
from service.encoders import picture_formats

PICTURES = {
    "segment (PNG)": (TASKS["segment"], picture_formats.PNG),
    "ground (PNG)": (TASKS["ground"], picture_formats.PNG),
    "ground (JPEG)": (TASKS["ground"], picture_formats.JPEG),
    "ground (WebP)": (TASKS["ground"], picture_formats.WEBP),
}
OVERLAY_MS = 25.0
OVERLAY_PX = 2048
_ONE_PIECE = "PNG, libdeflate, one CPU"


def measure(ours: Ours, file: Path, requests: int) -> dict[str, Any]:
    """Start the service, request every task for one file, and measure its memory.

    Returns:
        A JSON object with `ready_s`, `idle_mib`, `after_mib`, `columns` and a row for each task.
    """
    with serving(ours.start()) as (server, ready_s):
        idle_mib = server.pss_mib()
        client = Client(server.port)
        tasks = {**TASKS, "analyze (all)": ALL_TASKS}
        rows = {
            name: row([client.ask(path, file) for _ in range(requests + 1)][1:])
            for name, path in tasks.items()
        }
        for name, (path, accept) in PICTURES.items():
            samples = [client.ask(path, file, accept) for _ in range(requests + 1)]
            rows[name] = row(samples[1:])
        after_mib = server.pss_mib()
    return {
        "file_mib": file.stat().st_size / 2**20,
        "requests": requests,
        "ready_s": ready_s,
        "idle_mib": idle_mib,
        "after_mib": after_mib,
        "columns": ["median", "p95", *COLUMNS, "rest"],
        "rows": rows,
    }


def overlay_checks(rows: dict[str, list[float]]) -> list[Check]:
    """Check the time for drawing and encoding an overlay, by the rows of `measure`."""
    encode = 2 + list(COLUMNS).index("encode")  # behind median and p95
    return [
        at_most(f"{name}: encode", rows[name][encode], OVERLAY_MS, "ms", f"{OVERLAY_PX} px, median")
        for name, (_, accept) in PICTURES.items()
        if accept == picture_formats.PNG
    ]


def measure_encoders(file: Path, repetitions: int) -> dict[str, Any]:
    """Encode the preview of a file in every format, in turns, in this process.

    Returns:
        A JSON object with `width`, `height`, `columns` and a row for each encoder: milliseconds,
        megabytes, and the milliseconds relative to a PNG that libdeflate writes in one piece.
    """
    request = DecodeRequest(file.read_bytes(), UNKNOWN, PreprocessSpec(), preview_px=OVERLAY_PX)
    gray = Image.fromarray(np.asarray(decode(request).preview))
    image = Image.merge("RGB", (gray, gray, gray))
    encoders: dict[str, Callable[[Image.Image], bytes]] = {_ONE_PIECE: _png_rows_in_one_piece}
    for media_type in picture_formats.available():
        encoders[media_type] = picture_formats.FORMATS[media_type].write
    times: dict[str, list[float]] = {name: [] for name in encoders}
    sizes: dict[str, int] = {}
    for _ in range(repetitions + 1):
        for name, encode in encoders.items():
            started = time.perf_counter()
            sizes[name] = len(encode(image))
            times[name].append((time.perf_counter() - started) * 1e3)
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    return {
        "width": image.width,
        "height": image.height,
        "columns": ["ms", "MB", "ms / libdeflate"],
        "rows": {
            name: [ms, sizes[name] / 1e6, ms / medians[_ONE_PIECE]] for name, ms in medians.items()
        },
    }


def _png_rows_in_one_piece(image: Image.Image) -> bytes:
    """Filter, deflate and sum up the rows of a PNG, without its other chunks."""
    samples = np.asarray(image).reshape(image.height, -1)
    rows = np.full((image.height, 1 + samples.shape[1]), 2, dtype=np.uint8)
    rows[0, 1:] = samples[0]
    np.subtract(samples[1:], samples[:-1], out=rows[1:, 1:])
    data = bytes(deflate_encode(rows.tobytes(), 1))
    zlib.crc32(data)
    return data
