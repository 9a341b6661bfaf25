"""Exit 0 when the service on this host is ready to answer, 1 when it is not.

The HEALTHCHECK of the image runs it. It uses only the standard library and ignores proxy settings.
"""

import os
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection


def is_ready(port: int, timeout_s: float = 2.0, *, tls: bool = False) -> bool:
    """Return whether `/health/ready` on 127.0.0.1 answers 200 in time."""
    if tls:  # the certificate names the service, not this address
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection: HTTPConnection = HTTPSConnection(
            "127.0.0.1", port, timeout=timeout_s, context=context
        )
    else:
        connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    encrypted = bool(os.environ.get("G2D_TLS_CERTIFICATE_FILE"))
    sys.exit(0 if is_ready(int(os.environ.get("G2D_PORT", "8000")), tls=encrypted) else 1)
