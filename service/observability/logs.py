"""Logs on standard error: one JSON object per line, or lines for people on a terminal.

    {"time": ..., "level": "info", "logger": "g2d.request", "message": "request", "id": ...}
    12:00:01 info     request  id=... status=200

No record contains patient data, a phrase or a URL with its query: callers pass `fields` that they
compose themselves, and every value is escaped, so that no input can forge a line. Libraries may
quote their input (pydicom warns with the value of an element). Of their records, only the source
location is written, and of their exceptions only the class and the stack; records below a warning
would say nothing, and are left out.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from radiograph.errors import RadiographError

_TRUSTED = ("g2d", "opentelemetry", "uvicorn")
"""Loggers whose messages never quote a request."""
_WITHHELD = "withheld: the message of a library may quote a request"


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; `extra={"fields": {...}}` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, which contains no line break."""
        return json.dumps(_members(record), ensure_ascii=True, default=str)


class TerminalFormatter(logging.Formatter):
    """Formats a record for a person: local time, level, message and the members beside it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and one more for each stack frame; control characters are escaped."""
        members = _members(record)
        frames = [f"    {place}" for place in members.pop("where", ())]
        shown = {k: v for k, v in members.items() if k not in _IN_THE_LINE}
        beside = [f"{name}={json.dumps(value, default=str)}" for name, value in shown.items()]
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = f"{time} {members['level']:8} {members['message']}"
        return "\n".join(map(_printable, [" ".join([line, *beside]), *frames]))


def _says_something(record: logging.LogRecord) -> bool:
    """Return whether a record is of ours, or a warning; the other messages are withheld anyway."""
    return _is_trusted(record) or record.levelno >= logging.WARNING


def _is_trusted(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in _TRUSTED


_IN_THE_LINE = {"time", "level", "logger", "message"}


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _members(record: logging.LogRecord) -> dict[str, Any]:
    """Return the members of a record, without what a library may have quoted from a request."""
    trusted = _is_trusted(record)
    members: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage() if trusted else _WITHHELD,
        **({} if trusted else {"where": [f"{record.pathname}:{record.lineno}"]}),
        **getattr(record, "fields", {}),
    }
    if record.exc_info and record.exc_info[1] is not None:
        members["exception"] = _description(record.exc_info[1])
        members["where"] = where(record.exc_info[1])
    return members


def where(error: BaseException) -> list[str]:
    """Return the stack frames of an error, outermost first, without any value."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _description(error: BaseException) -> str:
    """Return the classes of an error and its causes, with the messages of our own errors."""
    own = f"{type(error).__name__}: {error}"
    text = own if isinstance(error, RadiographError) else type(error).__name__
    return text if error.__cause__ is None else f"{text} from {_description(error.__cause__)}"


def configure(level: str) -> None:
    """Send every record and every warning of the process to standard error.

    They are JSON for programs that collect logs, and lines for people on a terminal.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(TerminalFormatter() if sys.stderr.isatty() else JsonFormatter())
    handler.addFilter(_says_something)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
