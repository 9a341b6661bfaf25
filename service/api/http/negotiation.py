"""Content negotiation: the Accept header -> the format of a response (RFC 9110 12.5.1)."""

import re

from starlette.exceptions import HTTPException

from service.dataplane.predictor import RESPONSE_FORMATS
from service.encoders import picture_formats

_MAX_RANGES = 32
_QVALUE = re.compile(r"[01](\.[0-9]{0,3})?")


def negotiate(accept: str | None, offered: tuple[str, ...] = RESPONSE_FORMATS) -> str:
    """Return the media type of a response.

    Args:
        accept: Accept header of the request, or None.
        offered: media types to choose from; of those that a client weighs equally, such as all
            pictures for `image/*`, the first one.

    Raises:
        HTTPException: 406, the client accepts none of the media types.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_parse(item) for item in accept.split(",")[:_MAX_RANGES]]
    quality = {offer: _quality(offer, ranges) for offer in offered}
    best = max(offered, key=lambda offer: quality[offer])  # the first one of equal quality
    if not quality[best]:
        raise HTTPException(406, _reason(ranges, offered))
    return best


def _reason(ranges: list[tuple[str, float]], offered: tuple[str, ...]) -> str:
    """Return why none of the media types is accepted."""
    reason = f"the response can be one of {', '.join(offered)}"
    missing = [name for name in picture_formats.missing() if _quality(name, ranges)]
    if missing:
        reason += f"; this installation of Pillow cannot write {', '.join(missing)}"
    return reason


def _parse(item: str) -> tuple[str, float]:
    """Return a media range and its weight; a weight that is not a number counts as 0."""
    media_range, *parameters = (part.strip().lower() for part in item.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return media_range, _weight(value.strip())
    return media_range, 1.0


def _weight(text: str) -> float:
    return min(float(text), 1.0) if _QVALUE.fullmatch(text) else 0.0


def _quality(offer: str, ranges: list[tuple[str, float]]) -> float:
    """Return the weight of the most specific range that an offer matches."""
    main = offer.partition("/")[0]
    for specific in (offer, f"{main}/*", "*/*"):
        weights = [weight for media_range, weight in ranges if media_range == specific]
        if weights:
            return max(weights)
    return 0.0
