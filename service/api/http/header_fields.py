"""Header fields that may stand on several lines, and those that may not (RFC 9110 5.2, 5.3)."""

from starlette.requests import Request

from radiograph.errors import MalformedInput


def listed(request: Request, name: str) -> str | None:
    """Return a field whose value is a list, its lines joined; None without any line."""
    return ", ".join(request.headers.getlist(name)) if name in request.headers else None


def single(request: Request, name: str) -> str | None:
    """Return a field that has one value; None without any line.

    Raises:
        MalformedInput: there are several lines, of which no one knows which is meant.
    """
    lines = request.headers.getlist(name)
    if len(lines) > 1:
        raise MalformedInput(f"the header {name} may be sent once")
    return lines[0] if lines else None
