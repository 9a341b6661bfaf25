"""A server of S3 in this process, with one bucket, as the environment of a client describes it."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto.server import ThreadedMotoServer

ADDRESS = "s3://bucket/some/set"
SECRETS = {"AWS_ACCESS_KEY_ID": "AKIAVERYPRIVATE", "AWS_SECRET_ACCESS_KEY": "unspeakable"}


class S3Server:
    """The server, which a test may stop and start again with all that it holds."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        _, self.port = self._server.get_host_and_port()

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start a server of S3, to which the environment points while the context is open."""
    server = S3Server()
    try:
        with pytest.MonkeyPatch.context() as patch:
            environment = SECRETS | {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_MAX_ATTEMPTS": "1",
                "NO_PROXY": "127.0.0.1",
            }
            for name, value in environment.items():
                patch.setenv(name, value)
            boto3.client("s3").create_bucket(Bucket="bucket")
            yield server
    finally:
        server.stop()
