"""DICOMweb archive of a test: takes results by STOW-RS, and answers oddly on request."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from service.api.uploads.header_options import parse_options
from service.api.uploads.multipart import parts

Answer = tuple[int, dict[str, Any]]


def references(files: list[Dataset], tag: str = "00081199") -> dict[str, Any]:
    """Return the sequence of an answer that names these instances."""
    items = [{"00081155": {"vr": "UI", "Value": [file.SOPInstanceUID]}} for file in files]
    return {tag: {"vr": "SQ", "Value": items}}


@dataclass
class StowServer:
    """State of one archive, which a test may change at any time.

    Attributes:
        url: address.
        answers: what to answer with, one for each request; afterwards everything is stored.
        stored: how often each instance was listed as stored.
        authorizations: header Authorization of each request.
    """

    url: str = ""
    answers: list[Callable[[list[Dataset]], Answer]] = field(default_factory=list)
    stored: Counter[str] = field(default_factory=Counter)
    classes: dict[str, str] = field(default_factory=dict)
    authorizations: list[str | None] = field(default_factory=list)

    def answer(self, files: list[Dataset]) -> Answer:
        """Return the answer to one request."""
        if self.answers:
            return self.answers.pop(0)(files)
        for file in files:
            self.stored[str(file.SOPInstanceUID)] += 1
            self.classes[str(file.SOPInstanceUID)] = str(file.SOPClassUID)
        return 200, references(files)


@contextmanager
def stow_server() -> Iterator[StowServer]:
    """Run an archive."""
    state = StowServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            _, options = parse_options(self.headers["Content-Type"])
            files: list[Dataset] = [
                dcmread(BytesIO(part.data)) for part in parts(body, options[b"boundary"])
            ]
            state.authorizations.append(self.headers["Authorization"])
            status, content = state.answer(files)
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
