"""Results by STOW-RS: only what the answer lists as stored counts as sent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from service.gateway.gateway import Gateway
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
