"""An identity provider: its keys, the tokens that it signs, and a server of its public keys."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ISSUER = "https://id.example.org/realms/clinic"
AUDIENCE = "g2d"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk(kid: str = "1", key: ec.EllipticCurvePrivateKey = KEY, **members: str) -> dict[str, Any]:
    """Return a public key as the issuer publishes it."""
    public: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(key.public_key()))
    return {**public, "kid": kid, "use": "sig", **members}


def jwks(*keys: dict[str, Any]) -> str:
    """Return a JWK set; by default with the one key of the issuer."""
    return json.dumps({"keys": list(keys) or [jwk()]})


def claims(**changes: object) -> dict[str, Any]:
    """Return the claims of a good token; a change to None removes a claim."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "f3a1",
        "exp": now + 300,
        "iat": now,
        "scope": "openid infer jobs",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(
    key: Any = KEY, kid: str | None = "1", algorithm: str = "ES256", **changes: object
) -> str:
    """Return a signed token; its claims may be changed by name."""
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


class JwksServer:
    """Answers of a server of public keys, which a test may change.

    Attributes:
        status: status of the answers.
        body: body of the answers.
        asked: number of requests so far.
    """

    def __init__(self) -> None:
        self.status = 200
        self.body = jwks()
        self.asked = 0
        self.url = ""


@contextmanager
def serving() -> Iterator[JwksServer]:
    """Run a server of public keys on this host."""
    state = JwksServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked += 1
            self.send_response(state.status)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()
            self.wfile.write(state.body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/jwks"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
