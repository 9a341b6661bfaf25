"""Files come from the configured server, within limits, or not at all."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Response
from pydantic import ValidationError

from radiograph.errors import InputTooLarge
from service.dicomweb.archives import _ROWS, Archives
from service.dicomweb.references import Reference
from service.dicomweb.servers import Server, Servers
from service.errors import ArchiveUnavailable, InstanceNotFound, InvalidSettings
from tests.builders.dicomweb.server import DicomwebServer, related

ONE = Reference(server="pacs", study="1", series="2", instance="3")
FILE = b"the \r\n file\x00"


def archives(server: DicomwebServer, timeout_s: float = 30, **fields: object) -> Archives:
    by_name = {"pacs": Server.model_validate({"url": server.url, **fields})}
    return Archives(Servers(by_name), timeout_s, max_bytes=1000, max_instances=4, own="own")


def moved(location: str) -> Response:
    return Response(status=302, headers={"Location": location})


async def test_a_file_is_retrieved_letter_for_letter(pacs: DicomwebServer) -> None:
    pacs.instances["1", "2", "3"] = FILE
    assert await archives(pacs).retrieve(ONE) == FILE


async def test_no_identifier_is_logged(
    pacs: DicomwebServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pacs.instances["1", "2", "3"] = FILE
    await archives(pacs).retrieve(ONE)
    assert [record.name for record in caplog.records if record.name != "werkzeug"] == []


async def test_credentials_are_sent_to_their_server(pacs: DicomwebServer, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("t")
    pacs.instances["1", "2", "3"] = FILE
    await archives(pacs, token_file=secret).retrieve(ONE)
    await archives(pacs, user="u", password_file=secret).retrieve(ONE)
    assert pacs.authorizations == ["Bearer t", "Basic dTp0"]


async def test_what_the_server_does_not_have_is_not_found(pacs: DicomwebServer) -> None:
    with pytest.raises(InstanceNotFound):
        await archives(pacs).retrieve(ONE)
    with pytest.raises(InstanceNotFound):
        await archives(pacs).instances(Reference(server="pacs", study="1"))


def endless() -> Iterator[bytes]:
    while True:
        yield b"0" * 65536


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda: moved("http://127.0.0.1:9/elsewhere"), "status 302"),
        (lambda: Response(status=401), "status 401"),
        (lambda: Response(status=503), "status 503"),
        (lambda: related(FILE, declared="another"), "boundary"),
        (lambda: related(), "0 instances"),
        (lambda: related(FILE, FILE), "2 instances"),
        (lambda: Response("<html>", content_type="text/html"), "media type"),
        (lambda: Response("", content_type="multipart/related"), "media type"),
        (lambda: Response(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}), "compressed"),
    ],
)
async def test_a_wrong_answer_is_a_failure_of_the_server(
    pacs: DicomwebServer, answer: Callable[[], Response], reason: str
) -> None:
    pacs.answer = lambda _: answer()
    with pytest.raises(ArchiveUnavailable, match=reason):
        await archives(pacs).retrieve(ONE)
    assert len(pacs.requests) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"7",
        b"{}",
        b"[" * 100_000,
        b"[" + b"{}," * 200_000 + b"{}]",
        b"[7, 7]",
        b"[{}, []]",
        b"9" * 100_000,
        b'["\xff"]',
        b"[{}",
    ],
)
async def test_a_list_that_no_parser_reads_is_a_failure_of_the_server(
    pacs: DicomwebServer, content: bytes
) -> None:
    pacs.answer = lambda _: Response(content, content_type="application/dicom+json")
    with pytest.raises(ArchiveUnavailable, match="not valid"):
        await archives(pacs).instances(Reference(server="pacs", study="1"))


async def test_of_a_list_with_many_faults_the_first_is_enough() -> None:
    with pytest.raises(ValidationError) as refused:
        _ROWS.validate_json(b"[" + b"7," * 100_000 + b"7]")
    assert refused.value.error_count() == 1


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"9" * 100_000, b"\xff", b"[]"])
async def test_an_answer_that_names_no_stored_file_is_a_failure(
    pacs: DicomwebServer, content: bytes
) -> None:
    pacs.answer = lambda _: Response(content, content_type="application/dicom+json")
    with pytest.raises(ArchiveUnavailable, match="1 of 1 results were not stored"):
        await archives(pacs, store=True).store(ONE, {"3": FILE})


async def test_a_redirect_leads_nowhere(pacs: DicomwebServer) -> None:
    pacs.answer = lambda path: moved("/dicom-web/studies/9") if "studies/1" in path else None
    with pytest.raises(ArchiveUnavailable):
        await archives(pacs).retrieve(ONE)
    assert pacs.requests == ["/dicom-web/studies/1/series/2/instances/3"]


async def test_an_endless_answer_is_cut(pacs: DicomwebServer) -> None:
    pacs.answer = lambda _: Response(endless(), content_type="application/dicom")
    with pytest.raises(InputTooLarge):
        await archives(pacs).retrieve(ONE)


async def test_an_answer_that_trickles_ends_in_time(pacs: DicomwebServer) -> None:
    def trickle() -> Iterator[bytes]:
        yield b"0"
        pacs.released.wait(30)

    pacs.answer = lambda _: Response(trickle(), content_type="application/dicom")
    with pytest.raises(ArchiveUnavailable, match=r"within 0\.2 s"):
        await archives(pacs, timeout_s=0.2).retrieve(ONE)
    pacs.released.set()


async def test_a_server_that_is_gone_is_unavailable(pacs: DicomwebServer) -> None:
    pacs.url = "http://127.0.0.1:9"
    with pytest.raises(ArchiveUnavailable, match="ConnectError"):
        await archives(pacs).retrieve(ONE)


async def test_the_environment_names_no_proxy(
    pacs: DicomwebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    pacs.instances["1", "2", "3"] = FILE
    assert await archives(pacs).retrieve(ONE) == FILE


async def test_a_study_has_its_radiographs_and_skips_other_objects(pacs: DicomwebServer) -> None:
    pacs.instances |= {("1", "2", "3"): FILE, ("1", "2", "4"): FILE, ("1", "5", "6"): FILE}
    pacs.modalities["6"] = "SR"
    pacs.instances["1", "7", "8"] = FILE
    pacs.modalities["8"], pacs.manufacturers["8"] = "OT", "own"
    found = await archives(pacs).instances(Reference(server="pacs", study="1"))
    expected = [ONE, ONE.model_copy(update={"instance": "4"})]
    assert found == (expected, 2)
    series = await archives(pacs).instances(Reference(server="pacs", study="1", series="2"))
    assert series == (expected, 0)


async def test_an_instance_is_not_looked_up(pacs: DicomwebServer) -> None:
    assert await archives(pacs).instances(ONE) == ([ONE], 0)
    assert pacs.requests == []


async def test_more_instances_than_the_limit_are_refused(pacs: DicomwebServer) -> None:
    pacs.instances |= {("1", "2", str(number)): FILE for number in range(5)}
    with pytest.raises(InputTooLarge, match="4 files"):
        await archives(pacs).instances(Reference(server="pacs", study="1"))


async def test_a_list_in_pages_is_read_to_its_end(pacs: DicomwebServer) -> None:
    row = '[{"0020000E":{"Value":["2"]},"00080018":{"Value":["%s"]}}]'
    pages = iter([("3", {"Warning": "299 - more"}), ("4", {})])

    def page(_: str) -> Response:
        uid, headers = next(pages)
        return Response(row % uid, headers=headers)

    pacs.answer = page
    found, _ = await archives(pacs).instances(Reference(server="pacs", study="1"))
    assert [item.instance for item in found] == ["3", "4"]
    assert [query.rpartition("offset=")[2] for query in pacs.requests] == ["0", "1"]


@pytest.mark.parametrize(
    "text",
    [
        "<html>",
        "{}",
        "[1]",
        "[{}]",
        '[{"0020000E":{"Value":["2"]},"00080018":{"Value":["../../admin"]}}]',
        '[{"0020000E":{"Value":[{}]},"00080018":{"Value":"3"}}]',
        '[{"0020000E":7,"00080018":null}]',
    ],
)
async def test_a_list_that_is_none_is_a_failure_of_the_server(
    pacs: DicomwebServer, text: str
) -> None:
    pacs.answer = lambda _: Response(text, content_type="application/dicom+json")
    with pytest.raises(ArchiveUnavailable, match="not valid"):
        await archives(pacs).instances(Reference(server="pacs", study="1"))


def test_authorities_that_cannot_be_read_are_named(pacs: DicomwebServer) -> None:
    with pytest.raises(InvalidSettings, match=r"servers\.pacs\.ca_file"):
        archives(pacs, ca_file="/nowhere/ca.pem")


def stored(*uids: object) -> Response:
    rows = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in uids]
    return Response(json.dumps({"00081199": {"vr": "SQ", "Value": rows}}))


async def test_results_are_stored_in_the_study_if_the_server_lists_them(
    pacs: DicomwebServer,
) -> None:
    pacs.answer = lambda _: stored("7", "8", "9")
    await archives(pacs).store(ONE, {"7": FILE, "8": FILE})
    assert pacs.requests == ["/dicom-web/studies/1"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response(), "2 of 2 results"),
        (Response(status=202), "2 of 2 results"),
        (Response("<html>"), "2 of 2 results"),
        (Response("7"), "2 of 2 results"),
        (Response('{"00081199": {"Value": [7, {"00081155": 7}]}}'), "2 of 2 results"),
        (stored("7"), "1 of 2 results"),
        (stored(7, 8), "2 of 2 results"),
        (Response(stored("7", "8").get_data(), status=409), "status 409"),
        (moved("http://127.0.0.1:9/studies"), "status 302"),
    ],
)
async def test_results_that_the_server_does_not_list_are_not_stored(
    pacs: DicomwebServer, answer: Response, reason: str
) -> None:
    pacs.answer = lambda _: answer
    with pytest.raises(ArchiveUnavailable, match=reason):
        await archives(pacs).store(ONE, {"7": FILE, "8": FILE})
