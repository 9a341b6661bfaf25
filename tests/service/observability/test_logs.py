"""A log record is one JSON object on one line, and quotes no library."""

import json
import logging
import sys
from typing import Any

from radiograph.errors import MalformedInput
from service.observability.logs import JsonFormatter


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
