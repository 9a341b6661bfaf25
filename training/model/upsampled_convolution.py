"""A 3 x 3 convolution of a map of twice the size, computed from the small map.

    small map --repeat each value 2 x 2--> large map --3 x 3--> output

The large map repeats its values, so that 9 products per output become 4, and it is never stored.
There are two ways to the same output:

    wide maps     4 x 4 transposed convolution of stride 2
    deep maps     2 x 2 kernels for each of the 4 places of an output in its square, as products of
                  matrices: a map of few cells and many channels keeps no convolution busy
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

_TAPS = (((0,), (1, 2)), ((0, 1), (2,)))
"""Place of an output in its square -> taps of the 3 x 3 kernel that meet the first and the second
value of the small map, along one side."""
_PLACES = tuple((y, x) for y in (0, 1) for x in (0, 1))


def convolve_upsampled(small: Tensor, skip: Tensor | None, weight: Tensor) -> Tensor:
    """Convolve a map of doubled size, joined with a skip connection, with zeros around it.

    Equals `conv2d(cat([interpolate(small, scale_factor=2), skip], 1), weight, padding=1)`.

    Args:
        small: B x c x h x w.
        skip: B x s x 2h x 2w; None if there is none.
        weight: o x (c + s) x 3 x 3.

    Returns:
        B x o x 2h x 2w.
    """
    channels, cells = small.shape[1], small.shape[2] * small.shape[3]
    own = weight[:, :channels]
    output: Tensor
    if cells < channels // 2:
        output = _DeepConvolution.apply(small, own)
    else:
        output = F.conv_transpose2d(small, _transposed(own), stride=2, padding=1)
    return output if skip is None else output + F.conv2d(skip, weight[:, channels:], padding=1)


def _transposed(weight: Tensor) -> Tensor:
    """Return the c x o x 4 x 4 kernel of the transposed convolution for o x c x 3 x 3 weights.

    Every tap meets the four copies of a value, so that the kernel is the sum of the weights that
    are shifted by 0 or 1 in both directions; it is flipped as a transposed convolution reads it.
    """
    rows = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))  # o x c x 4 x 3
    kernel = F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))
    return kernel.flip(2, 3).transpose(0, 1)


class _DeepConvolution(Function):
    """The convolution of a map of doubled size as four products of matrices, one for each place."""

    @staticmethod
    def forward(ctx: Any, small: Tensor, weight: Tensor) -> Tensor:
        """Return B x o x 2h x 2w for B x c x h x w and o x c x 3 x 3."""
        batch, _, height, width = small.shape
        padded = F.pad(small.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # B x (h + 2) x (w + 2) x c
        kernels = [_kernel(weight, place) for place in _PLACES]
        output = small.new_empty(batch, height, 2, width, 2, len(weight))
        for kernel, (y, x) in zip(kernels, _PLACES, strict=True):
            output[:, :, y, :, x] = F.linear(_patches(padded, y, x), kernel)
        ctx.save_for_backward(padded, *kernels)
        return output.view(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the small map and of the weights."""
        padded, *kernels = ctx.saved_tensors
        batch, height, width = padded.shape[0], padded.shape[1] - 2, padded.shape[2] - 2
        outputs, channels = gradient.shape[1], padded.shape[3]
        places = gradient.permute(0, 2, 3, 1).reshape(batch, height, 2, width, 2, outputs)
        of_small = torch.zeros_like(padded)
        of_weight = padded.new_zeros(outputs, 3, 3, channels)
        for kernel, (y, x) in zip(kernels, _PLACES, strict=True):
            own = places[:, :, y, :, x].reshape(-1, outputs)
            of_patches = (own @ kernel).view(batch, height, width, 4, channels)
            of_kernel = own.T @ _patches(padded, y, x).view(len(own), -1)
            for number, (down, right) in enumerate(_PLACES):
                rows, columns = slice(y + down, y + down + height), slice(x + right, None)
                of_small[:, rows, columns][:, :, :width] += of_patches[:, :, :, number]
                tap = of_kernel.view(outputs, 4, channels)[:, number]
                for i in _TAPS[y][down]:
                    for j in _TAPS[x][right]:
                        of_weight[:, i, j] += tap
        return of_small[:, 1:-1, 1:-1].permute(0, 3, 1, 2), of_weight.permute(0, 3, 1, 2)


def _kernel(weight: Tensor, place: tuple[int, int]) -> Tensor:
    """Return the 2 x 2 kernel of a place, o x 4c, from o x c x 3 x 3 weights.

    A value of the small map meets all taps that its copies meet, and so their sum.
    """
    taps = weight.permute(0, 2, 3, 1)  # o x 3 x 3 x c
    sums = []
    for down, right in _PLACES:
        rows, columns = _TAPS[place[0]][down], _TAPS[place[1]][right]
        first, *others = (taps[:, i, j] for i in rows for j in columns)
        sums.append(sum(others, first))
    return torch.cat(sums, dim=1)


def _patches(padded: Tensor, y: int, x: int) -> Tensor:
    """Return the four values that each output at a place meets, B x h x w x 4c.

    Args:
        padded: B x (h + 2) x (w + 2) x c.
        y, x: place of the outputs in their squares.
    """
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    corners = ((y + down, x + right) for down, right in _PLACES)
    return torch.cat([padded[:, i : i + height, j : j + width] for i, j in corners], dim=3)
