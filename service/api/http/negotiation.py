"""Content negotiation: the Accept header -> the format of a response (RFC 9110 12.5.1).

A format may have parameters, as in `application/fhir+json; fhirVersion=4.3`. A media range that
gives one of them matches the formats that agree with it; other parameters of a range are ignored.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from service.dataplane.response_encoding import DICOM, RELATED, RESPONSE_FORMATS
from service.dicom_results import kinds
from service.encoders import picture_formats

_MAX_RANGES = 32
_KEPT_CHARACTERS = 256
_QVALUE = re.compile(r"[01](\.[0-9]{0,3})?")


@dataclass(frozen=True)
class _MediaRange:
    """One element of an Accept header, or a format that is offered; all in lower case.

    Attributes:
        media_type: `type/subtype`, either of which may be `*`.
        parameters: its parameters without the weight.
        weight: 0 to 1; a weight that is not a number counts as 0.
    """

    media_type: str
    parameters: Mapping[str, str]
    weight: float = 1.0

    @classmethod
    def parse(cls, item: str) -> "_MediaRange":
        """Read one element of an Accept header."""
        media_type, *others = (part.strip() for part in item.lower().split(";"))
        pairs = (other.partition("=") for other in others)
        parameters = {name.strip(): value.strip().strip('"') for name, _, value in pairs}
        weight = _weight(parameters.pop("q", "1"))
        return cls(media_type, parameters, weight)

    def specificity(self, offer: "_MediaRange") -> int:
        """Return how exactly the range names an offer, 0 if it does not match."""
        main = offer.media_type.partition("/")[0]
        if self.media_type != offer.media_type:
            return {f"{main}/*": 2, "*/*": 1}.get(self.media_type, 0)
        shared = self.parameters.keys() & offer.parameters.keys()
        if any(self.parameters[name] != offer.parameters[name] for name in shared):
            return 0
        return 3 + len(shared)


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
    # Most requests repeat a header, so the choice is kept; a long header is no key of a cache.
    choose = _choose if len(accept) > _KEPT_CHARACTERS else _kept_choice
    return choose(accept, offered)


def _choose(accept: str, offered: tuple[str, ...]) -> str:
    """Return the media type of a response for an Accept header that is not empty."""
    ranges = [_MediaRange.parse(item) for item in accept.split(",")[:_MAX_RANGES]]
    quality = {offer: _quality(offer, ranges) for offer in offered}
    best = max(offered, key=lambda offer: quality[offer])  # the first one of equal quality
    if not quality[best]:
        raise HTTPException(406, _reason(ranges, offered))
    return best


_kept_choice = functools.lru_cache(maxsize=128)(_choose)


def _reason(ranges: list[_MediaRange], offered: tuple[str, ...]) -> str:
    """Return why none of the media types is accepted."""
    reason = f"the response can be one of {', '.join(offered)}"
    missing = [name for name in picture_formats.missing() if _quality(name, ranges)]
    if missing:
        reason += f"; this installation of Pillow cannot write {', '.join(missing)}"
    if not kinds.is_installed() and any(_quality(name, ranges) for name in (DICOM, RELATED)):
        reason += f"; DICOM objects need the extra `{kinds.EXTRA}`"
    return reason


def _weight(text: str) -> float:
    return min(float(text), 1.0) if _QVALUE.fullmatch(text) else 0.0


@functools.cache
def _offer(media_type: str) -> _MediaRange:
    """Read a media type that is offered; there are few, and every request is compared with them."""
    return _MediaRange.parse(media_type)


def _quality(offer: str, ranges: list[_MediaRange]) -> float:
    """Return the weight of the most specific range that an offer matches."""
    offered = _offer(offer)
    matches = [(item.specificity(offered), item.weight) for item in ranges]
    specificity, weight = max(matches)
    return weight if specificity else 0.0
