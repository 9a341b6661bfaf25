"""Settings that bound one request."""

from pydantic import Field

from radiograph.limits import Limits as ImageLimits
from service.settings.group import MIB, Group

MIN_OVERLAY_SIDE_PX = 64


class LimitSettings(Group):
    """Bounds on one request."""

    max_body_bytes: int = Field(default=64 * MIB, ge=1024)
    """Largest request body. An image of 43 x 43 cm with pixels of 0.1 mm takes 37 MB."""
    max_buffered_bytes: int = Field(default=512 * MIB, ge=1024)
    """Memory for the bodies of all requests together; one largest body always fits."""
    max_pixels: int = Field(default=64_000_000, ge=1024)
    """Most pixels, rows x columns, of one image."""
    max_phrases: int = Field(default=8, ge=1, le=64)
    """Most phrases in one request."""
    max_phrase_chars: int = Field(default=512, ge=1, le=4096)
    """Most characters in one phrase."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds within which a request body must arrive."""
    request_timeout_s: float = Field(default=30.0, gt=0)
    """Deadline in seconds of a request that does not ask for another one."""
    max_request_timeout_s: float = Field(default=300.0, gt=0)
    """Longest deadline in seconds that a request may ask for."""
    overlay_side_px: int = Field(default=2048, ge=MIN_OVERLAY_SIDE_PX)
    """Longest side of an overlay; larger images are scaled down."""
    pixels_side_px: int = Field(default=4096, ge=MIN_OVERLAY_SIDE_PX)
    """Longest side of the displayed pixels that a viewer gets; larger images are scaled down."""
    phrase_cache: int = Field(default=1024, ge=0)
    """Phrases whose features are cached, for each version."""

    @property
    def image(self) -> ImageLimits:
        """Bounds on one file, as the readers take them."""
        return ImageLimits(max_bytes=self.max_body_bytes, max_pixels=self.max_pixels)

    @property
    def body_memory_bytes(self) -> int:
        """Memory for the bodies of all requests, with room for one largest body."""
        return max(self.max_buffered_bytes, self.max_body_bytes)

    @property
    def max_phrase_bytes(self) -> int:
        """Largest size of one phrase in UTF-8, which has up to four bytes for a character."""
        return 4 * self.max_phrase_chars
