"""Results by STOW-RS: only what the answer lists as stored counts as sent."""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydicom.dataset import Dataset

from service.gateway.configuration import StowPeer
from service.gateway.gateway import Gateway
from service.gateway.sending.delivery import PeerUnreachable
from service.gateway.sending.stow_transport import StowTransport
from service.gateway.storage.records import Delivery
from service.gateway.storage.spool import Spool
from tests.builders.gateway import running
from tests.builders.gateway.fake_service import FakeService
from tests.builders.gateway.radiographs import ROOT, radiograph
from tests.builders.gateway.results import result_uid
from tests.builders.gateway.running import send
from tests.builders.gateway.stow_server import Answer, StowServer, references, stow_server

SEG, SR = (result_uid(f"{ROOT}.1.1", kind) for kind in ("seg", "sr"))


@pytest.fixture
def web() -> Iterator[StowServer]:
    with stow_server() as state:
        yield state


def delivered(tmp_path: Path, service: FakeService, web: StowServer, **peer: Any) -> Gateway:
    """Have one radiograph analysed and its results sent until nothing is queued."""
    given = {"name": "web", "protocol": "stow", "url": web.url, "retry": running.QUICK}
    configured = running.configuration(
        tmp_path,
        service.url,
        104,
        rules=[{"name": "chest", "peers": ["web"]}],
        peers=[given | {"objects": ["seg", "sr"]} | peer],
    )
    with running.running(configured) as gateway:
        send(configured.listen.port, radiograph())
        running.wait_until(lambda: not running.is_busy(gateway))
        return gateway


def test_results_are_sent_in_one_request_with_the_token(
    tmp_path: Path, service: FakeService, web: StowServer
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    delivered(tmp_path / "gateway", service, web, token_file=token)
    assert web.stored == {SEG: 1, SR: 1}
    assert web.authorizations == ["Bearer s3cret"]


def empty(_: list[Dataset]) -> Answer:
    return 200, {}


def first_only(files: list[Dataset]) -> Answer:
    return 202, references(files[:1])


def failed(files: list[Dataset]) -> Answer:
    return 409, references(files, tag="00081198")


def unavailable(_: list[Dataset]) -> Answer:
    return 503, {}


def refused(_: list[Dataset]) -> Answer:
    return 400, {}


def no_data_set(_: list[Dataset]) -> Answer:
    return 200, {"00081199": "everything"}


@pytest.mark.parametrize(
    ("answer", "again"),
    [(empty, {SEG, SR}), (first_only, {SR}), (failed, {SEG, SR}), (unavailable, {SEG, SR}),
     (refused, {SEG, SR}), (no_data_set, {SEG, SR})],
)  # fmt: skip
def test_what_the_answer_does_not_list_is_sent_again(
    tmp_path: Path,
    service: FakeService,
    web: StowServer,
    answer: Callable[[list[Dataset]], Answer],
    again: set[str],
) -> None:
    web.answers = [answer]
    delivered(tmp_path, service, web)
    assert web.stored == dict.fromkeys(again, 1)


def post(content: Iterable[bytes], timeout_s: float = 60) -> Mapping[str, object]:
    """Return what is read of an answer that an archive sends piece by piece."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):  # the connection was closed
                for piece in content:
                    self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    spool = cast(Spool, SimpleNamespace(read=lambda *_: b"a result"))
    delivery = cast(Delivery, SimpleNamespace(result=SimpleNamespace(digest="0")))
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        peer = StowPeer(name="web", protocol="stow", url=url, timeout_s=timeout_s)
        transport = StowTransport(peer, spool)
        try:
            return transport._post([delivery])
        finally:
            transport._client.close()
            thread.join()


@pytest.mark.parametrize(
    "content", [b"", b"[" * 100_000, b"9" * 10_000, b"\xff", b"\x1f\x8b", b"[]", b'{"a":' * 99_999]
)
def test_an_answer_that_is_none_lists_nothing(content: bytes) -> None:
    assert post([content]) == {}


def test_an_endless_answer_is_cut() -> None:
    with pytest.raises(PeerUnreachable, match="answer_too_large"):
        post(itertools.repeat(b" " * 65_536))


def test_an_answer_that_trickles_ends_in_time() -> None:
    def trickle() -> Iterator[bytes]:
        while True:
            yield b" "
            time.sleep(0.01)

    with pytest.raises(PeerUnreachable, match="in_time"):
        post(trickle(), timeout_s=0.5)


def test_an_archive_that_never_lists_a_result_gets_a_dead_letter(
    tmp_path: Path, service: FakeService, web: StowServer
) -> None:
    web.answers = [empty] * 100
    delivered(tmp_path, service, web, objects=["seg"])
    assert len(web.authorizations) == 3
    assert len(list((tmp_path / "dead-letter/web").iterdir())) == 1


def unsupported(files: list[Dataset]) -> Answer:
    content = references(files, tag="00081198")
    for item in content["00081198"]["Value"]:
        item["00081197"] = {"vr": "US", "Value": [0x0122]}
    return 409, content


def test_a_class_that_the_archive_does_not_know_is_replaced(
    tmp_path: Path, service: FakeService, web: StowServer
) -> None:
    web.answers = [unsupported]
    delivered(tmp_path, service, web, objects=["seg"], labelmap=True)
    assert web.stored == {SEG: 1}
