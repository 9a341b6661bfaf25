"""Checks on the pixels: what a radiograph may look like that the answers do not allow for.

A head of kind `check` answers them for every image; the service turns them into warnings.
"""

from enum import StrEnum


class Check(StrEnum):
    """A property of the picture, after the header has turned it upright."""

    LATERAL = "lateral"
    """A lateral projection of a chest."""
    MIRRORED = "mirrored"
    """The patient's left is on the left; a heart on the right of the body looks the same."""
    UPSIDE_DOWN = "upside_down"
    """The head points down."""
    TURNED_LEFT = "turned_left"
    """Turned by a quarter, anticlockwise: the head points to the left."""
    TURNED_RIGHT = "turned_right"
    """Turned by a quarter, clockwise: the head points to the right."""
    INVERTED = "inverted"
    """Black and white are exchanged: air is bright."""
    OUT_OF_DOMAIN = "out_of_domain"
    """No radiograph of a chest."""


CHECKS = tuple(Check)
"""All checks, in the order of the outputs of a head."""
