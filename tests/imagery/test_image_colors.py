"""Colors of images: a bounded number of px is read, whatever the size and the storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.imagery import image_colors
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.image_colors import SIDES, color_cells, joined_cells, sample_colors, unseen_share
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid


class Counted:
    """An array without end that counts the px of the chunks that are read of it."""

    def __init__(self, shape: tuple[int, int, int], chunks: tuple[int, int, int]) -> None:
        self.shape, self.chunks, self.dtype, self.decoded = shape, chunks, np.dtype(np.uint8), 0

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, columns = (range(n)[part] for n, part in zip(self.shape[:2], key, strict=False))
        counts = [r[-1] // c - r[0] // c + 1 for r, c in zip((rows, columns), self.chunks, strict=False)]
        self.decoded += counts[0] * counts[1] * self.chunks[0] * self.chunks[1]
        return np.full((len(rows), len(columns), 3), 7, np.uint8)


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((500_000, 400_000), (512, 512)),
        ((500_000, 400_000), (1024, 1024)),
        ((60_000, 100_000), (1, 100_000)),
        ((60_000, 100_000), (64, 100_000)),
        ((90_000, 90_000), (8192, 8192)),
    ],
)
@pytest.mark.parametrize("levels", [5, 1])
def test_few_px_are_decoded_of_an_image_of_any_size(
    shape: tuple[int, int], chunks: tuple[int, int], levels: int
) -> None:
    arrays = [Counted((shape[0] >> k, shape[1] >> k, 3), (*chunks, 3)) for k in range(0, 2 * levels, 2)]
    if chunks[1] == shape[1]:
        arrays = [Counted((*array.shape[:2], 3), (chunks[0], array.shape[1], 3)) for array in arrays]
    image = Pyramid("large", [Level(array) for array in arrays])
    colors = sample_colors(image)
    assert (colors == 7).all()
    assert 1000 < len(colors) <= image_colors.MOST_PX
    assert sum(array.decoded for array in arrays) <= 2 * image_colors.DECODED_PX


def test_a_remote_image_is_read_at_its_coarsest_level() -> None:
    arrays = [Counted((4096 >> k, 4096 >> k, 3), (256, 256, 3)) for k in range(4)]
    image = Pyramid("there", [Level(array) for array in arrays], path="https://example.org/a.zarr")
    sample_colors(image)
    assert [array.decoded > 0 for array in arrays] == [False, False, False, True]


@pytest.mark.parametrize(
    "options", [{"tile": (64, 64)}, {"rowsperstrip": 7}, {"compression": "zlib", "rowsperstrip": 500}]
)
def test_storage_does_not_matter(tmp_path: Path, make_rgb: Callable, options: dict) -> None:
    pixels = make_rgb(500, 700)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **options)
    stored = color_cells(sample_colors(open_image(tmp_path / "a.tif")), 32)
    plain = color_cells(sample_colors(pyramid_from_array(pixels)), 32)
    assert unseen_share(stored, plain, 32) < 0.06
    assert unseen_share(plain, stored, 32) < 0.06


@given(st.integers(1, 9), st.sampled_from(SIDES), st.integers(0, 2**32))
def test_colors_are_near_themselves_and_far_from_others(channels: int, side: int, seed: int) -> None:
    colors = np.random.default_rng(seed).integers(0, 90, (2000, channels), np.uint8)
    cells, few, others = (color_cells(one, side) for one in (colors, colors[:9], colors + np.uint8(160)))
    assert cells[:, -1].sum() <= 1 + 1e-9
    assert unseen_share(cells, cells, side) == 0
    assert unseen_share(cells, others, side) == 1
    assert unseen_share(few, joined_cells([cells, few], side), side) == 0
    assert unseen_share(cells, np.empty((0, channels + 1)), side) == 1


def test_joined_cells_keep_the_largest_share() -> None:
    pair = np.repeat([[9] * 3, [200] * 3], 50, 0).astype(np.uint8)
    one, other = color_cells(np.full((100, 3), 9, np.uint8), 8), color_cells(pair, 8)
    assert joined_cells([one, other], 8).tolist() == [[9, 9, 9, 1.0], [200, 200, 200, 0.5]]
    assert len(color_cells(np.empty((0, 3), np.uint8), 8)) == 0
