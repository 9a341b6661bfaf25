"""Content negotiation: the Accept header chooses the format of a response."""

import pytest
from starlette.exceptions import HTTPException

from service.api.http.negotiation import negotiate


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("text/html, application/xhtml+xml, image/avif, */*;q=0.8", "application/json"),
        ("application/json;q=0.5, image/png", "image/png"),
        ("image/png;q=0.1, */*;q=0.5", "application/json"),
        ("application/json;q=0, */*", "image/png"),
        ("image/png;q=nan, application/json;q=0.1", "application/json"),
    ],
)
def test_accept_chooses_the_format(accept: str | None, expected: str) -> None:
    assert negotiate(accept) == expected


@pytest.mark.parametrize(
    "accept",
    ["application/dicom", 'multipart/related; type="application/dicom"', "*/*;q=0", ";;;", ","],
)
def test_an_accept_header_without_a_match_is_406(accept: str) -> None:
    with pytest.raises(HTTPException) as caught:
        negotiate(accept)
    assert caught.value.status_code == 406
