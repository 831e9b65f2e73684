"""Feature grids, and relative positions (GPE) and resampling (ALE) between them, in image pixels.

For axis-aligned windows everything separates along y and x. So both operations are two small matrices per tile, one
for each axis, applied by ``apply_separable``, and no N x N matrix is ever formed. No other module adds half pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class FeatureGrid:
    """Layout of an encoder's output cells in the network's input.

    Cell i covers ``[offset + i * stride, offset + (i + 1) * stride)`` px of the input, along both axes. The input is
    the window resampled to ``input_size`` px.

    Attributes
    ----------
    size : int
        Cells along each side.
    stride : int
        Side of a cell, px of the network's input.
    offset : float
        Start of cell 0, px of the network's input.
    input_size : int
        Side of the network's input, px.
    """

    size: int
    stride: int
    offset: float
    input_size: int

    def centers(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Locate the centers of the cells in the image.

        Parameters
        ----------
        windows : Tensor of float [B, 4]
            Windows (y0, x0, y1, x1), image px.

        Returns
        -------
        y, x : Tensor of float [B, size]
            Centers along each axis, image px.
        """
        cells = torch.arange(self.size, device=windows.device, dtype=windows.dtype)
        fraction = (self.offset + (cells + 0.5) * self.stride) / self.input_size
        y0, x0, y1, x1 = windows[:, :, None].unbind(1)
        return y0 + fraction * (y1 - y0), x0 + fraction * (x1 - x0)

    def pitch(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the size of one cell in the image.

        Parameters
        ----------
        windows : Tensor of float [B, 4]
            Windows (y0, x0, y1, x1), image px.

        Returns
        -------
        y, x : Tensor of float [B]
            Size along each axis, image px.
        """
        scale = self.stride / self.input_size
        return (windows[:, 2] - windows[:, 0]) * scale, (windows[:, 3] - windows[:, 1]) * scale

    def cells_of_pixels(self) -> Tensor:
        """Find the cell that covers each pixel of the network's input along an axis.

        Pixels beyond the grid belong to the cell at its rim.

        Returns
        -------
        Tensor of int64 [input_size]
            Index of the cell.
        """
        middles = torch.arange(self.input_size, dtype=torch.float64) + 0.5
        cells = ((middles - self.offset) / self.stride).floor()
        return cells.clamp(0, self.size - 1).to(torch.int64)

    def footprint(self, window: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Compute the region of the image that the whole grid covers.

        Parameters
        ----------
        window : tuple of 4 float
            Window of the network's input, (y0, x0, y1, x1) image px.

        Returns
        -------
        tuple of 4 float
            Region (y0, x0, y1, x1), image px.
        """
        y0, x0, y1, x1 = window
        first, last = self.offset / self.input_size, (self.offset + self.size * self.stride) / self.input_size
        return (y0 + first * (y1 - y0), x0 + first * (x1 - x0), y0 + last * (y1 - y0), x0 + last * (x1 - x0))

    def cell(
        self, window: tuple[float, float, float, float], index: tuple[int, int]
    ) -> tuple[float, float, float, float]:
        """Compute the region of the image that one cell covers.

        Parameters
        ----------
        window : tuple of 4 float
            Window of the network's input, (y0, x0, y1, x1) image px.
        index : tuple of 2 int
            Cell (y, x).

        Returns
        -------
        tuple of 4 float
            Region (y0, x0, y1, x1), image px.
        """
        y0, x0, y1, x1 = self.footprint(window)
        pitch_y, pitch_x = (y1 - y0) / self.size, (x1 - x0) / self.size
        y, x = index
        return (y0 + y * pitch_y, x0 + x * pitch_x, y0 + (y + 1) * pitch_y, x0 + (x + 1) * pitch_x)


def relative_positions(
    tile_grid: FeatureGrid,
    tile_windows: Tensor,
    grid: FeatureGrid,
    windows: Tensor,
    unit: Literal["tile", "context"] = "tile",
) -> tuple[Tensor, Tensor]:
    """Compute the offsets d from each cell of the tile to each cell of a context, in cells.

    Parameters
    ----------
    tile_grid : FeatureGrid
        Grid of the tile.
    tile_windows : Tensor of float [B, 4]
        Windows (y0, x0, y1, x1) of the tile, image px.
    grid : FeatureGrid
        Grid of the context.
    windows : Tensor of float [B, 4]
        Windows (y0, x0, y1, x1) of the context, image px.
    unit : {"tile", "context"}, optional
        Cells that are counted: the tile's, or the context's, which are as many times larger as its window is.

    Returns
    -------
    d_y, d_x : Tensor of float [B, n, m]
        Context cell j minus tile cell i, along each axis.
    """
    tile_y, tile_x = tile_grid.centers(tile_windows)
    y, x = grid.centers(windows)
    pitch_y, pitch_x = tile_grid.pitch(tile_windows) if unit == "tile" else grid.pitch(windows)
    d_y = (y[:, None, :] - tile_y[:, :, None]) / pitch_y[:, None, None]
    d_x = (x[:, None, :] - tile_x[:, :, None]) / pitch_x[:, None, None]
    return d_y, d_x


def interpolation_matrices(
    target_grid: FeatureGrid, target_windows: Tensor, grid: FeatureGrid, windows: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute bilinear resampling from one grid to another as one matrix per axis.

    Cells beyond the outermost centers take the border cell's value.

    Parameters
    ----------
    target_grid : FeatureGrid
        Grid to resample onto.
    target_windows : Tensor of float [B, 4]
        Its windows (y0, x0, y1, x1), image px.
    grid : FeatureGrid
        Grid to resample from.
    windows : Tensor of float [B or 1, 4]
        Its windows (y0, x0, y1, x1), image px.

    Returns
    -------
    tuple of 2 Tensor
        Matrices [B, n_target, n] along y and along x, whose rows sum to 1.
    """
    y, x = target_grid.centers(target_windows)
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
    matrix_y : Tensor of float [B, n, h]
        Matrix along y.
    matrix_x : Tensor of float [B, m, w]
        Matrix along x.
    features : Tensor of float [B or 1, C, h, w]
        Feature map.

    Returns
    -------
    Tensor of float [B, C, n, m]
        Transformed map in the features' dtype.
    """
    along_x = features @ matrix_x.to(features.dtype).transpose(1, 2)[:, None]
    return matrix_y.to(features.dtype)[:, None] @ along_x
