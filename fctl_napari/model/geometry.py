"""Feature grids and what crosses them: relative positions (GPE) and resampling (ALE), in image pixels.

Everything along y and x separates for axis-aligned windows, so both operations are two small matrices per tile,
one for each axis, applied by ``apply_separable``: no N x N matrix is ever formed. Nobody else adds half pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FeatureGrid:
    """Where an encoder's output cells lie in the network's input.

    Cell i covers ``[offset + i * stride, offset + (i + 1) * stride)`` px of the input, along both axes; the input
    is the window resampled to ``input_size`` px.

    Attributes
    ----------
    size
        Cells along each side.
    stride, offset
        px of the network's input.
    input_size
        Side of the network's input, px.
    """

    size: int
    stride: int
    offset: float
    input_size: int

    def centres(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Locate the centres of the cells in image px.

        Parameters
        ----------
        windows
            [B, 4], ``(y0, x0, y1, x1)`` px.

        Returns
        -------
        tuple of Tensor
            y [B, size] and x [B, size].
        """
        cells = torch.arange(self.size, device=windows.device, dtype=windows.dtype)
        fraction = (self.offset + (cells + 0.5) * self.stride) / self.input_size
        y0, x0, y1, x1 = windows[:, :, None].unbind(1)
        return y0 + fraction * (y1 - y0), x0 + fraction * (x1 - x0)

    def pitch(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Size of one cell in image px, along y [B] and x [B]."""
        scale = self.stride / self.input_size
        return (windows[:, 2] - windows[:, 0]) * scale, (windows[:, 3] - windows[:, 1]) * scale

    def cells_of_pixels(self) -> Tensor:
        """Find the cell that covers each px of the network's input along an axis, int64 [input_size].

        Px beyond the grid belong to the cell at its rim.
        """
        middles = torch.arange(self.input_size, dtype=torch.float64) + 0.5
        cells = ((middles - self.offset) / self.stride).floor()
        return cells.clamp(0, self.size - 1).to(torch.int64)

    def footprint(self, window: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Outline the region of the image that the whole grid covers, ``(y0, x0, y1, x1)`` px."""
        y0, x0, y1, x1 = window
        first, last = self.offset / self.input_size, (self.offset + self.size * self.stride) / self.input_size
        return (y0 + first * (y1 - y0), x0 + first * (x1 - x0), y0 + last * (y1 - y0), x0 + last * (x1 - x0))


def relative_positions(
    tile_grid: FeatureGrid, tile_windows: Tensor, grid: FeatureGrid, windows: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute offsets d from each cell of the tile to each cell of a context, in units of the tile's feature pitch.

    Parameters
    ----------
    tile_grid, tile_windows
        The tile's grid and windows [B, 4].
    grid, windows
        The context's grid and windows [B, 4].

    Returns
    -------
    tuple of Tensor
        d_y [B, n, m] and d_x [B, n, m]: context cell j minus tile cell i, along each axis.
    """
    tile_y, tile_x = tile_grid.centres(tile_windows)
    y, x = grid.centres(windows)
    pitch_y, pitch_x = tile_grid.pitch(tile_windows)
    d_y = (y[:, None, :] - tile_y[:, :, None]) / pitch_y[:, None, None]
    d_x = (x[:, None, :] - tile_x[:, :, None]) / pitch_x[:, None, None]
    return d_y, d_x


def interpolation_matrices(
    target_grid: FeatureGrid, target_windows: Tensor, grid: FeatureGrid, windows: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute bilinear resampling from a grid on ``windows`` to a grid on ``target_windows``, as one matrix per axis.

    Cells beyond the outermost centres take the border cell's value.

    Parameters
    ----------
    target_grid, target_windows
        The grid to resample onto and its windows [B, 4].
    grid, windows
        The grid to resample from and its windows [B or 1, 4].

    Returns
    -------
    tuple of Tensor
        [B, n_target, n] for y and for x; rows sum to 1.
    """
    y, x = target_grid.centres(target_windows)
    matrices = []
    for position, low, high in ((y, windows[:, 0], windows[:, 2]), (x, windows[:, 1], windows[:, 3])):
        in_input = (position - low[:, None]) / (high - low)[:, None] * grid.input_size
        cell = ((in_input - grid.offset) / grid.stride - 0.5).clamp(0, grid.size - 1)
        cells = torch.arange(grid.size, device=cell.device, dtype=cell.dtype)
        matrices.append((1 - (cell[:, :, None] - cells).abs()).clamp(min=0))
    return matrices[0], matrices[1]


def apply_separable(matrix_y: Tensor, matrix_x: Tensor, features: Tensor) -> Tensor:
    """Apply one matrix along y and one along x.

    Parameters
    ----------
    matrix_y, matrix_x
        [B, n, h] and [B, m, w].
    features
        [B or 1, C, h, w].

    Returns
    -------
    Tensor
        [B, C, n, m].
    """
    along_x = features @ matrix_x.to(features.dtype).transpose(1, 2)[:, None]
    return matrix_y.to(features.dtype)[:, None] @ along_x
