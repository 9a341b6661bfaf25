"""`g2d gateway`: one clear line about a file that cannot be used, status and resend."""

import json
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom")

from radiograph.limits import Limits
from service.gateway.rules.instance import read_instance
from service.gateway.storage.journal import Journal, journal_database
from service.gateway.storage.spool import Spool
from tests.builders.g2d.command_line import failed, g2d
from tests.builders.gateway.radiographs import radiograph

TEXT = """
folder = "{folder}"
[[rules]]
name = "chest"
peers = ["pacs"]
[[peers]]
name = "pacs"
host = "127.0.0.1"
protocol = "dimse"
ae_title = "PACS"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(TEXT.format(folder=tmp_path / "gateway"))
    return path


@pytest.fixture
def dead_letter(tmp_path: Path, file: Path) -> Path:
    """An instance that was given up, as a gateway leaves it."""
    spool = Spool(tmp_path / "gateway", 0)
    spool.prepare()
    database = journal_database(tmp_path / "gateway")
    journal = Journal(database)
    data = radiograph()
    instance = read_instance(data, Limits())
    spool.write("inputs", instance.digest, data)
    journal.add(instance, "chest")
    spool.bury("inputs", instance.digest, "service", 1)
    journal.bury(1, "malformed-input")
    database.close()
    return tmp_path / "gateway/dead-letter/service/1.dcm"


def test_a_valid_file_is_said_to_be_valid(file: Path) -> None:
    assert g2d("gateway", "check", "--file", str(file)).stdout == f"{file} is valid\n"


@pytest.mark.parametrize("command", [[], ["check"], ["status"], ["resend"]])
def test_an_invalid_file_is_one_line(
    file: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log of this process would stay as the command leaves it.
    monkeypatch.setattr("service.observability.logs.configure", lambda level: None)
    file.write_text(file.read_text().replace("PACS", "not\\\\an AE title"))
    failed(g2d("gateway", *command, "--file", str(file)), "peers.0.dimse.ae_title")


def test_a_missing_secret_is_one_line(file: Path) -> None:
    file.write_text(file.read_text() + '\n[service]\ntoken_file = "/nowhere/key"\n')
    failed(g2d("gateway", "check", "--file", str(file)), "/nowhere/key")


def test_a_command_without_a_file_names_the_option() -> None:
    result = g2d("gateway")
    assert result.exit_code == 2
    assert "--file" in result.stderr


def test_a_folder_without_a_journal_is_one_line(file: Path) -> None:
    failed(g2d("gateway", "status", "--file", str(file)), "has no journal", 5)


def test_status_and_resend(file: Path, dead_letter: Path) -> None:
    assert dead_letter.is_file()
    text = g2d("gateway", "status", "--file", str(file)).stdout
    assert "dead letter service/1.dcm: malformed-input" in text
    status = json.loads(g2d("gateway", "status", "--json", "--file", str(file)).stdout)
    assert status["instances"] == {"dead": 1}
    assert [letter["number"] for letter in status["dead_letters"]] == [1]
    none = g2d("gateway", "resend", "--file", str(file), "--place", "pacs")
    assert none.stdout == "there are no such dead letters\n"
    result = g2d("gateway", "resend", "--file", str(file), "--place", "service", "--number", "1")
    assert result.stdout == "queued again: 1\n"
    assert not dead_letter.exists()
    status = json.loads(g2d("gateway", "status", "--json", "--file", str(file)).stdout)
    assert status.pop("instances") == {"queued": 1}
    assert status == {"results": [], "workitems": [], "dead_letters": []}


def test_a_number_needs_a_place(file: Path) -> None:
    result = g2d("gateway", "resend", "--file", str(file), "--number", "1")
    assert result.exit_code == 2
    assert "--place" in result.stderr
