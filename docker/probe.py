"""Send a service on this host a radiograph, and check the answer.

    synthetic chest -> PNG -> POST /v1/analyze -> JSON
    --job: -> zip -> POST /v1/jobs -> 202 -> ... -> results -> the same JSON

It uses only the standard library, so that it runs where nothing is installed. Exit code 0 means
that every requested task was answered in the geometry of the image that was sent.
"""

import argparse
import io
import json
import math
import struct
import sys
import time
import zipfile
import zlib
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

ROWS, COLUMNS = 480, 512
JOB_TIMEOUT_S, POLL_INTERVAL_S = 60, 0.1
RESULTS = {"classify": "findings", "segment": "masks", "detect": "boxes", "ground": "phrases"}


def brightness(row: int, column: int) -> int:
    """Return the gray value, 0 to 255, of a body with two dark lungs and a bright middle."""
    x, y = column / COLUMNS - 0.5, row / ROWS - 0.5
    lungs = min(math.hypot((x - side) / 0.15, (y + 0.02) / 0.32) for side in (-0.2, 0.2))
    if lungs < 1:
        return 50 + round(40 * lungs)
    return 190 if math.hypot(x / 0.47, y / 0.6) < 1 else 5


def png(rows: int, columns: int) -> bytes:
    """Encode the synthetic chest as an 8-bit grayscale PNG (ISO/IEC 15948)."""
    scanlines = b"".join(
        b"\0" + bytes(brightness(row, column) for column in range(columns)) for row in range(rows)
    )
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(scanlines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def send(port: int, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes]:
    """Send one request to 127.0.0.1 and return status and body of the answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body or None, {"Content-Type": kind} if kind else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def answer_of(port: int, query: str, picture: bytes) -> dict[str, Any]:
    """Return the answer of a single request."""
    return _read(200, *send(port, "POST", f"/v1/analyze?{query}", picture, "image/png"))


def answer_of_job(port: int, query: str, picture: bytes) -> dict[str, Any]:
    """Return the answer of a job with one radiograph once it is finished, and remove the job."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("1.png", picture)
    job = _read(202, *send(port, "POST", f"/v1/jobs?{query}", buffer.getvalue(), "application/zip"))
    address, end = f"/v1/jobs/{job['id']}", time.monotonic() + JOB_TIMEOUT_S
    while job["state"] != "finished":
        if time.monotonic() > end:
            sys.exit(f"the job is not finished after {JOB_TIMEOUT_S} s")
        time.sleep(POLL_INTERVAL_S)
        job = _read(200, *send(port, "GET", address))
    answer = _read(200, *send(port, "GET", f"{address}/results/1"))
    status, body = send(port, "DELETE", address)
    if status != 204:
        sys.exit(f"{status}: {body[:2000].decode(errors='replace')}")
    return answer


def _read(expected: int, status: int, body: bytes) -> dict[str, Any]:
    """Return the JSON of an answer, or exit if it does not have the expected status."""
    if status != expected:
        sys.exit(f"{status}: {body[:2000].decode(errors='replace')}")
    answer: dict[str, Any] = json.loads(body)
    return answer


def mistakes(answer: dict[str, Any], tasks: list[str]) -> list[str]:
    """Describe the faults of an answer, one string each."""
    wrong = [f"no {RESULTS[task]}" for task in tasks if answer.get(RESULTS[task]) is None]
    wrong += [
        f"{mask['name']} does not cover the picture"
        for mask in answer.get("masks") or []
        if sum(mask["rle"]["counts"]) != ROWS * COLUMNS
    ]
    image = answer.get("image")
    if not isinstance(image, dict) or (image.get("rows"), image.get("columns")) != (ROWS, COLUMNS):
        wrong.append(f"image is {image}, sent {ROWS} x {COLUMNS}")
    model = answer.get("model")
    if not isinstance(model, dict) or not model.get("digest"):
        wrong.append(f"model is {model}")
    return wrong


def main() -> None:
    """Run the probe with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, required=True, help="Port of the service.")
    parser.add_argument(
        "--tasks",
        default="classify,segment,detect,ground",
        help="Tasks to request, separated by commas.",
    )
    parser.add_argument("--phrase", default="left lung", help="Phrase to ground.")
    parser.add_argument("--job", action="store_true", help="Send the radiograph as a job.")
    options = parser.parse_args()
    query = urlencode({"tasks": options.tasks, "phrase": options.phrase})
    start = time.monotonic()
    ask = answer_of_job if options.job else answer_of
    answer = ask(options.port, query, png(ROWS, COLUMNS))
    if wrong := mistakes(answer, options.tasks.split(",")):
        sys.exit("; ".join(wrong) + f"\n{json.dumps(answer)[:2000]}")
    print(f"answered in {time.monotonic() - start:.2f} s by {answer['model']}")


if __name__ == "__main__":
    main()
