"""Logs: one JSON object per line on standard error.

    {"time": ..., "level": "info", "logger": "g2d.request", "message": "request", "id": ...}

No record contains patient data, a phrase or a URL with its query: callers pass `fields` that they
compose themselves, and every value is escaped, so that no input can forge a line. Libraries may
quote their input (pydicom warns with the value of an element). Of their records, only the source
location is written, and of their exceptions only the class and the stack.
"""

import json
import logging
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
        trusted = record.name.partition(".")[0] in _TRUSTED
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
        return json.dumps(members, ensure_ascii=True, default=str)


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
    """Send every record and every warning of the process to standard error as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
