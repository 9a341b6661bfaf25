"""A reverse proxy that shows a service below a path, as nginx or Traefik do."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP = {"connection", "transfer-encoding", "keep-alive", "host"}


@contextmanager
def below(address: str, prefix: str) -> Iterator[tuple[str, list[str]]]:
    """Show a service below a path that is stripped and stated in X-Forwarded-Prefix.

    Yields:
        The address below the path, and a list to which every requested path outside of it is added.
    """
    target, strays = urlsplit(address), list[str]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            if self.path != prefix and not self.path.startswith(f"{prefix}/"):
                strays.append(self.path)
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in _HOP
            }
            headers |= {"X-Forwarded-Prefix": prefix, "X-Forwarded-For": self.client_address[0]}
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
            with closing(connection):
                path = self.path.removeprefix(prefix) or "/"
                connection.request(self.command, path, body, headers)
                response = connection.getresponse()
                data = response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _HOP | {"content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            with suppress(ConnectionError):  # a browser that leaves a page hears no more of it
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = forward  # noqa: N815 - as the base class names them

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the same
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}", strays
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
