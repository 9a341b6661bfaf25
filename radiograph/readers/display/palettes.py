"""Gray palettes of a DICOM header: stored indices -> gray values.

    PALETTE COLOR   Red, Green and Blue Palette Color Lookup Table Descriptor (0028,1101 to 1103)
                    and Data (0028,1201 to 1203)

A palette is gray if its three tables are equal, as in a PNG file with a palette of grays. The gray
values are displayed as they are; windows do not apply. Segmented palettes (0028,1221 to 1223) are
not read.

Source: DICOM PS3.3 sections C.7.6.3.1.5 and C.7.6.3.1.6.
"""

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import ColourImage
from radiograph.readers.display.voi import table_entries
from radiograph.readers.header.attributes import Attributes

_COLOURS = ("Red", "Green", "Blue")


def gray_palette(header: Attributes) -> NDArray[np.uint16]:
    """Return the gray value of every possible index.

    Returns:
        65,536 gray values, uint16.

    Raises:
        ColourImage: the palette is in colour, segmented or missing.
    """
    red, green, blue = (
        table_entries(
            header,
            f"{colour}PaletteColorLookupTableDescriptor",
            f"{colour}PaletteColorLookupTableData",
        )
        for colour in _COLOURS
    )
    if red is None or green is None or blue is None:
        raise ColourImage("the palette of the image is segmented or unusable")
    first, entries = red
    for other_first, other_entries in (green, blue):
        if other_first != first or not np.array_equal(other_entries, entries):
            raise ColourImage("the palette of the image is in colour")
    # Indices below the first mapped one give the first entry, those above the last the last.
    place = np.arange(2**16) - first
    return np.asarray(entries[place.clip(0, entries.size - 1)])
