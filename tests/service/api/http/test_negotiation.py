"""Content negotiation: the Accept header chooses the format of a response."""

import pytest
from PIL import features
from starlette.exceptions import HTTPException

from service.api.http.negotiation import negotiate
from service.encoders import picture_formats


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
        ("image/jpeg", "image/jpeg"),
        ("image/webp", "image/webp"),
        ("image/png;q=0.5, image/jpeg;q=0.9, image/webp;q=0.8", "image/jpeg"),
        ("image/webp, image/png", "image/png"),  # equal weights: lossless first
        ("image/avif,image/webp,image/apng,image/*,*/*;q=0.8", "image/png"),
        ("image/*, image/png;q=0", "image/jpeg"),
        ("image/*;q=0.4, image/webp;q=0.5, application/json;q=0.3", "image/webp"),
    ],
)
def test_accept_chooses_the_format(accept: str | None, expected: str) -> None:
    assert negotiate(accept) == expected


def test_a_picture_that_pillow_cannot_write_is_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "webp")
    offered = ("application/json", *picture_formats.available())
    assert negotiate("image/webp, image/jpeg;q=0.1", offered) == "image/jpeg"
    with pytest.raises(HTTPException) as caught:
        negotiate("image/webp", offered)
    assert caught.value.status_code == 406
    assert caught.value.detail == (
        "the response can be one of application/json, image/png, image/jpeg; "
        "this installation of Pillow cannot write image/webp"
    )


@pytest.mark.parametrize(
    "accept",
    ["application/dicom", 'multipart/related; type="application/dicom"', "*/*;q=0", ";;;", ","],
)
def test_an_accept_header_without_a_match_is_406(accept: str) -> None:
    with pytest.raises(HTTPException) as caught:
        negotiate(accept)
    assert caught.value.status_code == 406
