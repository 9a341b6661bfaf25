"""Content negotiation: the Accept header chooses the format of a response."""

import pytest
from PIL import features
from starlette.exceptions import HTTPException

from service.api.http.negotiation import negotiate
from service.dataplane.response_encoding import DICOM, RELATED
from service.dicom_results import kinds
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


OFFERED = ("text/plain", "text/csv; header=present", "text/csv; header=absent")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/csv", OFFERED[1]),
        ("text/csv; header=absent", OFFERED[2]),
        ('TEXT/CSV;Header="Absent"', OFFERED[2]),
        ("text/csv; charset=utf-8; header=absent", OFFERED[2]),
        ("text/csv; header=absent; q=0.5, text/csv", OFFERED[1]),
        ("text/csv; header=present; q=0.1, text/csv; q=0.5", OFFERED[2]),
        ("text/plain; header=absent", OFFERED[0]),  # a parameter that this format does not have
    ],
)
def test_a_parameter_of_the_range_chooses_among_formats(accept: str, expected: str) -> None:
    assert negotiate(accept, OFFERED) == expected


def test_a_parameter_that_no_format_has_is_406() -> None:
    with pytest.raises(HTTPException) as caught:
        negotiate("text/csv; header=maybe", OFFERED)
    assert caught.value.status_code == 406


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
    ("accept", "expected"),
    [
        ("application/dicom", DICOM),
        ('multipart/related; type="application/dicom"', RELATED),
        ("multipart/related; TYPE=application/dicom; transfer-syntax=*", RELATED),
        ("multipart/related", RELATED),
        ("application/*", "application/json"),
        ("application/dicom, multipart/related;q=0.9", DICOM),
    ],
)
def test_dicom_objects_are_accepted(accept: str, expected: str) -> None:
    assert negotiate(accept, ("application/json", "image/png", DICOM, RELATED)) == expected


@pytest.mark.parametrize("accept", ["application/dicom", "multipart/related"])
def test_the_missing_extra_is_named(accept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "is_installed", lambda: False)
    with pytest.raises(HTTPException) as caught:
        negotiate(accept, ("application/json",))
    assert caught.value.status_code == 406
    assert "extra `dicom-results`" in caught.value.detail


@pytest.mark.parametrize(
    "accept",
    ["text/html", 'multipart/related; type="application/json"', "*/*;q=0", ";;;", ","],
)
def test_an_accept_header_without_a_match_is_406(accept: str) -> None:
    with pytest.raises(HTTPException) as caught:
        negotiate(accept)
    assert caught.value.status_code == 406


def test_a_header_that_repeats_or_is_too_long_to_be_kept_is_read_alike() -> None:
    padding = ", ".join(["text/html"] * 28)  # below the number of elements that are read
    for _ in range(2):
        assert negotiate("image/webp") == "image/webp"
        assert negotiate(f"{padding}, image/webp") == "image/webp"
        assert negotiate("text/csv", OFFERED) == OFFERED[1]
        for nothing in ("text/html", padding):
            with pytest.raises(HTTPException, match="the response can be one of"):
                negotiate(nothing)
