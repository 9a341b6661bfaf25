"""Connected components of a mask, and the removal of islands and holes from it, in NumPy.

    mask, h x w --rows--> N runs of true cells --overlaps of adjacent rows--> graph of runs
                --`_connect`--> component of each run --> areas, masks of components

Cells are connected by their edges, in the mask and in its background; cells that touch by a corner
only are not. Anatomy is known here by parameters alone (`radiograph.manifest.MaskCleaning`).

The time is O(N log N) for N runs, whatever the mask looks like: there is no loop over cells, runs
or components, and no recursion.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Geometry
from radiograph.manifest import MaskCleaning

Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Components:
    """The connected components of an h x w mask, numbered by their first cell, row by row.

    Attributes:
        shape: h, w.
        starts, ends: N, the cells of each run, as a half-open range of the flattened mask.
        numbers: N, the component of each run.
        areas: the number of cells of each component.
    """

    shape: tuple[int, int]
    starts: Indices
    ends: Indices
    numbers: Indices
    areas: Indices

    def members(self) -> tuple[Indices, Indices]:
        """Return all true cells, as indices of the flattened mask, and the component of each."""
        cells = self.cells(np.ones(self.areas.size, dtype=np.bool_))
        return cells, np.repeat(self.numbers, self.ends - self.starts)

    def cells(self, chosen: Bools) -> Indices:
        """Return the cells of the chosen components, as indices of the flattened mask.

        Args:
            chosen: one value for each component.
        """
        runs = chosen[self.numbers]
        lengths = self.ends[runs] - self.starts[runs]
        before = np.cumsum(lengths) - lengths  # cells of the runs before each run
        cells: Indices = np.arange(lengths.sum()) + np.repeat(self.starts[runs] - before, lengths)
        return cells


def find_components(mask: Bools) -> Components:
    """Return the connected components of a mask.

    Args:
        mask: h x w, bool, h and w at least 1.
    """
    height, width = mask.shape
    # Every row is followed by a false cell, so that no run goes on in the next row.
    stride = width + 1
    flat = np.zeros(height * stride + 1, dtype=np.bool_)
    flat[1:].reshape(height, stride)[:, :width] = mask
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    starts, ends = changes[::2], changes[1::2]
    # Runs of the next row that overlap a run are consecutive: first <= number < last.
    first = np.searchsorted(ends, starts + stride, side="right")
    last = np.searchsorted(starts, ends + stride, side="left")
    overlaps = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(starts.size), overlaps)
    lower = np.arange(upper.size) + np.repeat(first - np.cumsum(overlaps) + overlaps, overlaps)
    numbers = _connect(starts.size, upper, lower)
    areas = np.bincount(numbers, weights=ends - starts).astype(np.intp)
    skipped = starts // stride  # false cells that were added before each run
    return Components((height, width), starts - skipped, ends - skipped, numbers, areas)


def clean_mask(mask: Bools, cleaning: MaskCleaning) -> Bools:
    """Return a mask without holes and islands, as far as the parameters ask for it.

    Holes are filled before islands are dropped, so that an island inside of a hole counts as a
    part of what surrounds it. Cleaning a second time changes nothing.

    Args:
        mask: h x w, bool.
        cleaning: the parameters.
    """
    filled = _fill_holes(mask) if cleaning.fill_holes else mask
    return _drop_islands(filled, cleaning)


def clean_map(
    grid: NDArray[np.float32], threshold: float, cleaning: MaskCleaning | None, geometry: Geometry
) -> NDArray[np.float32]:
    """Return a map of probabilities that has no islands and no holes at a threshold.

    The cells of islands become 0 and those of holes 1; every other cell keeps its value, so the
    sub-pixel position of an edge is that of the model. Where source pixels are smaller than cells,
    an edge that stays moves at one kind of place only, by less than a cell: where an island or a
    hole touches what stays by a corner. Padding is left as it is, apart from the cells from which
    pixels at the edge of the image are interpolated.

    Args:
        grid: h x w, float32, 0 to 1, over the whole square.
        threshold: compared in single precision.
        cleaning: the parameters; None returns the map as it is.
        geometry: the position of the image in the square.
    """
    if cleaning is None:
        return grid
    window = _cells_read(grid.shape, geometry)
    before = grid[window] >= np.float32(threshold)
    after = clean_mask(before, cleaning)
    changed = before != after
    if not changed.any():
        return grid
    cleaned = grid.copy()
    cleaned[window] = np.where(changed, after, grid[window])
    return cleaned


def _cells_read(shape: tuple[int, ...], geometry: Geometry) -> tuple[slice, slice]:
    """Return the rows and columns of cells from which source pixels are interpolated."""
    rows, columns = geometry.cells(shape[0], shape[1])
    per_y = geometry.scale_y * shape[0] / geometry.size  # cells per source pixel
    per_x = geometry.scale_x * shape[1] / geometry.size
    return _widened(rows, per_y, shape[0]), _widened(columns, per_x, shape[1])


def _widened(cells: slice, per_pixel: float, count: int) -> slice:
    """Return a range of cells with what bilinear interpolation reads on either side of it."""
    margin = max(1, ceil(per_pixel))
    return slice(max(cells.start - margin, 0), min(cells.stop + margin, count))


def _fill_holes(mask: Bools) -> Bools:
    """Return a mask with every part of the background that does not reach the border."""
    filled = np.pad(mask, 1)
    background = find_components(~filled)
    if background.areas.size < 2:
        return mask
    # The frame connects all parts that reach the border; it holds the first cell, so it is 0.
    filled.flat[background.cells(np.arange(background.areas.size) > 0)] = True
    return filled[1:-1, 1:-1]


def _drop_islands(mask: Bools, cleaning: MaskCleaning) -> Bools:
    """Return a mask with the components that the parameters keep; of equals, the first ones."""
    components = find_components(mask)
    areas = components.areas
    if areas.size < 2:
        return mask
    dropped = areas < cleaning.min_share * areas.max()
    if cleaning.largest is not None:
        dropped[np.argsort(-areas, kind="stable")[cleaning.largest :]] = True
    kept = mask.copy()
    kept.flat[components.cells(dropped)] = False
    return kept


def _connect(count: int, one: Indices, other: Indices) -> Indices:
    """Return the component of each node of a graph, numbered by their first nodes.

    Each round joins every component with a neighbour along the first of its edges (Borůvka), which
    at least halves the number of components that still have an edge.

    Args:
        count: number of nodes, n.
        one, other: E, the two ends of each edge.
    """
    nodes = np.arange(count)
    component = nodes  # of each node: the node that represents it
    while one.size:
        ends = np.stack((one, other), axis=1)[::-1]  # E x 2, the first edge last
        parent = nodes.copy()
        # Of several assignments to one element the last one holds: that of its first edge.
        parent[ends.ravel()] = ends[:, ::-1].ravel()
        # Two components that chose each other are the only cycle there can be.
        parent = np.where((parent[parent] == nodes) & (nodes < parent), nodes, parent)
        parent = _roots(parent)
        component = parent[component]
        one, other = parent[one], parent[other]
        apart = one != other
        one, other = one[apart], other[apart]
    first = np.empty(count, dtype=np.intp)
    first[component[::-1]] = nodes[::-1]
    first = first[component]  # of each node: the first node of its component
    return (np.cumsum(first == nodes) - 1)[first]


def _roots(parent: Indices) -> Indices:
    """Return the root of each node of a forest, in as many steps as the depth has bits."""
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return parent
        parent = above
