"""A header value with parameters, such as `multipart/form-data; boundary=b` (RFC 9110 5.6.6)."""

import re

from python_multipart.multipart import parse_options_header

from radiograph.errors import MalformedForm

_MAX_CHARS = 4096
"""Longest value: parsing takes time with the square of the length, on the event loop."""
_PARAMETER = re.compile(r""";\s*([^\s=;"]+)\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^;]*)""")


def parse_options(value: str | bytes | None) -> tuple[str, dict[bytes, bytes]]:
    """Return the value in lower case, and its parameters.

    Raises:
        MalformedForm: a parameter stands there twice, and no one knows which is meant, or the value
            is too long.
    """
    text = value.decode("latin-1") if isinstance(value, bytes) else value or ""
    if len(text) > _MAX_CHARS:
        raise MalformedForm(f"a header of the body has more than {_MAX_CHARS} characters")
    names = [name.lower() for name in _PARAMETER.findall(text)]
    if len(set(names)) < len(names):
        raise MalformedForm("a header of the body repeats a parameter")
    kind, options = parse_options_header(text)
    return kind.decode("latin-1").strip().lower(), options
