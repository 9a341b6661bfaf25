"""Views of a radiograph that were changed in harmless ways, for the uncertainty of results.

tensor, geometry --View--> another tensor with the geometry that leads back to the same pixels

The changes are those that a correct answer survives: a little smaller, moved, of other contrast and
brightness. Nothing is turned or mirrored.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from radiograph.geometry.geometry import Geometry
from radiograph.preprocess import PreprocessSpec
from service.backends.base import FloatArray


@dataclass(frozen=True)
class View:
    """A harmless change.

    Attributes:
        scale: size of the image in the grid, relative to what it was; at most 1.
        right, down: movement, as a fraction of the side of the grid.
        contrast: factor of the intensities about the middle of their range.
        gamma: exponent of the intensities.
    """

    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0
    contrast: float = 1.0
    gamma: float = 1.0

    def of(
        self, tensor: FloatArray, geometry: Geometry, spec: PreprocessSpec
    ) -> tuple[FloatArray, Geometry]:
        """Return the changed input of the model, and the placement of the image in it.

        Args:
            tensor: 1 x size x size, as the preprocessing gives it.
            geometry: placement of the image.
            spec: the preprocessing.
        """
        rows = slice(geometry.top, geometry.top + geometry.height)
        columns = slice(geometry.left, geometry.left + geometry.width)
        image = tensor[0, rows, columns] * spec.std + spec.mean  # intensities 0 to 1
        image = np.clip(0.5 + self.contrast * (image - 0.5), 0.0, 1.0) ** self.gamma
        placed = self._placed(geometry)
        if (placed.height, placed.width) != image.shape:
            size = (placed.width, placed.height)
            whole = Image.fromarray(image.astype(np.float32))
            image = np.asarray(whole.resize(size, Image.Resampling.BILINEAR))
        changed = np.full_like(tensor, -spec.mean / spec.std)  # black
        changed[
            0, placed.top : placed.top + placed.height, placed.left : placed.left + placed.width
        ] = (image - spec.mean) / spec.std
        return changed, placed

    def _placed(self, geometry: Geometry) -> Geometry:
        """Return the new placement; the image stays whole."""
        height = max(1, round(geometry.height * self.scale))
        width = max(1, round(geometry.width * self.scale))
        top = geometry.top + (geometry.height - height) // 2 + round(self.down * geometry.size)
        left = geometry.left + (geometry.width - width) // 2 + round(self.right * geometry.size)
        return replace(
            geometry,
            height=height,
            width=width,
            top=min(max(top, 0), geometry.size - height),
            left=min(max(left, 0), geometry.size - width),
        )


VIEWS = (
    View(scale=0.93),
    View(scale=0.97, right=0.02, down=-0.02),
    View(scale=0.97, right=-0.02, down=0.02),
    View(contrast=0.85),
    View(contrast=1.15),
    View(gamma=0.8),
    View(gamma=1.25),
)
"""The views of `uncertainty=tta` (test-time augmentation)."""
