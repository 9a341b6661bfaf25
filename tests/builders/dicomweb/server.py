"""A small DICOMweb server on the loopback interface, which a test fills and can make misbehave."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

from flask import Flask, Response, jsonify, request
from pydicom import Dataset, dcmread
from werkzeug.serving import make_server
from werkzeug.wrappers import Response as BaseResponse

from service.dicomweb.multipart_related import parts

BOUNDARY = "part-of-a-study"
Instances = dict[tuple[str, str, str], bytes]
"""Files by the UIDs of study, series and instance."""
Answer = Callable[[str], BaseResponse | None]
"""Returns an answer in place of the usual one for a path, or None."""


@dataclass
class DicomwebServer:
    """The server as a test sees it.

    Attributes:
        instances: files that it has.
        stored: headers of the files that were sent to it.
        modalities: modality of single instances; CR otherwise.
        manufacturers: manufacturer of single instances.
        requests: paths of the requests, with their queries.
        authorizations: the header `Authorization` of each request.
        answer: answers in place of the server where it returns something.
        url: address of its services.
        released: event for an answer that is to wait for the test.
    """

    instances: Instances = field(default_factory=dict)
    stored: list[Dataset] = field(default_factory=list)
    modalities: dict[str, str] = field(default_factory=dict)
    manufacturers: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    answer: Answer = lambda _: None
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)


def related(*files: bytes, boundary: str = BOUNDARY, declared: str = BOUNDARY) -> Response:
    """Return instances as WADO-RS does."""
    body = b"".join(
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + file + b"\r\n"
        for file in files
    )
    content_type = f'multipart/related; type="application/dicom"; boundary={declared}'
    return Response(body + f"--{boundary}--\r\n".encode(), content_type=content_type)


def _application(server: DicomwebServer) -> Flask:
    app = Flask("dicomweb")

    @app.before_request
    def intercept() -> BaseResponse | None:
        server.requests.append(request.full_path.rstrip("?"))
        server.authorizations.append(request.headers.get("authorization"))
        return server.answer(request.path)

    @app.get("/dicom-web/studies/<study>/instances")
    @app.get("/dicom-web/studies/<study>/series/<series>/instances")
    def search(study: str, series: str | None = None) -> Response:
        rows = [
            {
                "0020000E": {"vr": "UI", "Value": [key[1]]},
                "00080018": {"vr": "UI", "Value": [key[2]]},
                "00080060": {"vr": "CS", "Value": [server.modalities.get(key[2], "CR")]},
                "00080070": {"vr": "LO", "Value": [server.manufacturers.get(key[2], "Maker")]},
            }
            for key in server.instances
            if key[0] == study and series in (None, key[1])
        ]
        if not rows:
            return Response(status=204)
        return jsonify(rows)

    @app.post("/dicom-web/studies/<study>")
    def store(study: str) -> Response:
        files = parts(request.headers["content-type"], request.get_data())
        headers = [dcmread(BytesIO(file), stop_before_pixels=True) for file in files]
        server.stored += headers
        rows = [
            {"00081155": {"vr": "UI", "Value": [item.SOPInstanceUID]}}
            for item in headers
            if item.StudyInstanceUID == study
        ]
        return jsonify({"00081199": {"vr": "SQ", "Value": rows}})

    @app.get("/dicom-web/studies/<study>/series/<series>/instances/<instance>")
    def retrieve(study: str, series: str, instance: str) -> Response:
        file = server.instances.get((study, series, instance))
        return Response(status=404) if file is None else related(file)

    return app


@contextmanager
def running() -> Iterator[DicomwebServer]:
    """Run a server until the end of the context."""
    server = DicomwebServer()
    wsgi = make_server("127.0.0.1", 0, _application(server), threaded=True)
    server.url = f"http://127.0.0.1:{wsgi.server_port}/dicom-web"
    thread = threading.Thread(target=wsgi.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        wsgi.shutdown()
        thread.join()
        wsgi.server_close()
