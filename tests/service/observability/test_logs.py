"""A log record is one JSON object on one line, and quotes no library."""

import json
import logging
import re
import sys
from typing import Any

import pytest

from radiograph.errors import MalformedInput
from service.observability import logs
from service.observability.logs import JsonFormatter, TerminalFormatter


def record(name: str, message: str, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord(name, logging.ERROR, "file.py", 7, message, (), info)


def formatted(made: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(JsonFormatter().format(made))
    return found


def test_a_log_line_is_one_object_whatever_it_holds() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        made = logging.LogRecord("g2d", 40, "f", 1, 'forged"\n{"level"', (), sys.exc_info())
    made.fields = {"id": "a\nb\u2028c"}
    line = JsonFormatter().format(made)
    assert len(line.splitlines()) == 1
    assert json.loads(line)["message"] == 'forged"\n{"level"'
    assert json.loads(line)["id"] == "a\nb\u2028c"


def test_a_message_of_a_library_is_withheld_and_its_place_is_named() -> None:
    line = formatted(record("pydicom", "invalid value 'Doe^Jane'"))
    assert "Jane" not in json.dumps(line)
    assert line["where"] == ["file.py:7"]


def test_a_message_of_ours_is_written() -> None:
    assert formatted(record("g2d.request", "request"))["message"] == "request"


def test_an_exception_is_described_by_its_class_and_its_causes() -> None:
    error = MalformedInput("the file is empty")
    error.__cause__ = ValueError("Doe^Jane")
    line = formatted(record("g2d", "failed", error))
    assert line["exception"] == "MalformedInput: the file is empty from ValueError"


def test_a_line_for_a_person_has_time_level_and_message() -> None:
    made = record("g2d.request", "request")
    made.fields = {"status": 200, "id": "a\nb"}
    line = TerminalFormatter().format(made)
    assert re.fullmatch(r'\d\d:\d\d:\d\d error    request status=200 id="a\\nb"', line)


def test_a_line_for_a_person_withholds_the_same_and_escapes_controls() -> None:
    library = TerminalFormatter().format(record("pydicom", "invalid value 'Doe^Jane'"))
    assert "Jane" not in library
    assert library.endswith("\n    file.py:7")
    assert TerminalFormatter().format(record("g2d", "a\x1b[2J\nb")).endswith(r"a\x1b[2J\nb")


@pytest.mark.parametrize(("terminal", "kind"), [(True, TerminalFormatter), (False, JsonFormatter)])
def test_a_terminal_gets_lines_and_a_file_gets_json(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, kind: type[logging.Formatter]
) -> None:
    chosen: list[logging.Handler] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **given: chosen.extend(given["handlers"]))
    monkeypatch.setattr(logging, "captureWarnings", lambda capture: None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    logs.configure("info")
    assert [type(handler.formatter) for handler in chosen] == [kind]


@pytest.mark.parametrize(
    ("name", "level", "kept"),
    [
        ("highdicom.base", logging.INFO, False),
        ("pydicom", logging.WARNING, True),
        ("g2d.request", logging.DEBUG, True),
        ("uvicorn.error", logging.INFO, True),
    ],
)
def test_what_a_library_says_below_a_warning_is_left_out(
    monkeypatch: pytest.MonkeyPatch, name: str, level: int, kept: bool
) -> None:
    chosen: list[logging.Handler] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **given: chosen.extend(given["handlers"]))
    monkeypatch.setattr(logging, "captureWarnings", lambda capture: None)
    logs.configure("debug")
    made = logging.LogRecord(name, level, "file.py", 7, "message", (), None)
    assert bool(chosen[0].filter(made)) is kept
