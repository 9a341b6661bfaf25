"""Service over HTTP that answers radiographs with DICOM objects, and fails on request."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

from pydicom import dcmread

from tests.builders.gateway.results import result

_BOUNDARY = "5b7fbe0b3b1d"


@dataclass
class FakeService:
    """State of one fake service, which a test may change at any time.

    Attributes:
        url: address.
        problems: statuses to answer with, instead of results, one for each request.
        warnings: codes in the header of every answer.
        requests: number of answered requests by SOP Instance UID.
        queries: query of each request.
    """

    url: str = ""
    problems: list[int] = field(default_factory=list)
    warnings: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    queries: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)


@contextmanager
def fake_service(port: int = 0) -> Iterator[FakeService]:
    """Run a service that makes every kind of object it is asked for."""
    state = FakeService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            query = {
                name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()
            }
            state.queries.append(query)
            state.authorizations.append(self.headers["Authorization"])
            if state.problems:
                self._answer(state.problems.pop(0), "application/problem+json", _PROBLEM)
                return
            state.requests[dcmread(BytesIO(body), stop_before_pixels=True).SOPInstanceUID] += 1
            kinds = query["objects"].split(",")
            labelmap = query.get("segmentation") == "labelmap"
            files = [
                result(body, "labelmap" if kind == "seg" and labelmap else kind) for kind in kinds
            ]
            kind = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
            self._answer(200, kind, _multipart(files))

        def do_GET(self) -> None:
            self._answer(200, "application/json", b"{}")

        def _answer(self, status: int, media_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            if state.warnings:
                self.send_header("G2D-Warnings", state.warnings)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_PROBLEM = b'{"type": "https://example.org/problems/model-not-found"}'


def _multipart(files: list[bytes]) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(piece for file in files for piece in (head, file, b"\r\n"))
    return body + f"--{_BOUNDARY}--\r\n".encode()
