"""A cache of images and ground truths for data sets of many files.

They are opened when they are read, and those used last are kept open.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from fctl_napari.imagery.band_names import Bands, band_names_in, rgb_in
from fctl_napari.imagery.chunk_cache import LastUsed
from fctl_napari.imagery.formats import ngff_writing
from fctl_napari.imagery.formats.aux_xml import may_be_marked
from fctl_napari.imagery.formats.png_jpeg import JPEG_MAGIC, PNG_MAGIC, raster_header, read_magic
from fctl_napari.imagery.formats.tiff_validity import mask_beside
from fctl_napari.imagery.georeference import picture_placement
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.imagery.labels.raster_alignment import aligned_ground_truth
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.validity import NodataMask, Validity
from fctl_napari.windows import IntWindow

OPEN_BYTES = 2**24
"""Bytes that an open file counts at least, so that not too many are open."""

LEAST_BYTES, MOST_BYTES = 2**29, 2**32
"""Bounds of the default limit, bytes: a quarter of the memory that is free when the data set is opened."""


class Shelf:
    """A cache of the images and ground truths used last.

    It is safe to use from several threads.

    Parameters
    ----------
    limit : int or None, optional
        Bytes of decoded pixels that are kept. The default is a quarter of the memory that is free, 512 MiB to 4 GiB.
    """

    def __init__(self, limit: int | None = None) -> None:
        if limit is None:
            limit = min(max(psutil.virtual_memory().available // 4, LEAST_BYTES), MOST_BYTES)
        self._kept = LastUsed[Any](limit)

    @property
    def held(self) -> int:
        """Bytes of what is kept, as far as it is known."""
        return self._kept.held

    def image(
        self,
        path: Path,
        value_range: tuple[float, float] | None = None,
        bands: Bands | None = None,
    ) -> Pyramid:
        """Open an image whose pixels are read, and PNG and JPEG decoded, when its levels are indexed.

        Its levels are those that ``open_image`` gives. Only their shapes are kept with it.

        Parameters
        ----------
        path : Path
            See ``open_image``.
        value_range : tuple of 2 float or None, optional
            See ``open_image``.
        bands : Bands or None, optional
            See ``open_image``.

        Returns
        -------
        Pyramid
            Image that reads its pixels through the cache.

        Raises
        ------
        InputError
            See ``open_image``. Damaged pixels are found when they are read.
        """
        if path.is_dir() or not read_magic(path).startswith((PNG_MAGIC, JPEG_MAGIC)):
            opened = open_image(path, value_range=value_range, bands=bands)
            nbytes = OPEN_BYTES
            if opened.native_levels < len(opened.levels):
                nbytes += sum(level.nbytes for level in opened.levels[opened.native_levels :])
            return self._put_away(opened, path, nbytes, value_range, bands)
        (height, width, channels), dtype, transparency = raster_header(path)
        shapes = [(*shape, channels) for shape in ngff_writing.level_shapes((height, width))]
        marked = transparency or mask_beside(path) is not None or may_be_marked(path)
        header = Pyramid(
            path.stem,
            [Level(np.broadcast_to(np.zeros((), dtype), shape)) for shape in shapes],
            path=str(path),
            validity=Validity((NodataMask(()),) * len(shapes), "alpha") if marked else None,
            factors=[(float(2**k), float(2**k)) for k in range(len(shapes))],
            native_levels=1,
            value_range=value_range,
            bands=rgb_in(bands),
            georeference=picture_placement(path).georeference,
        )
        names = band_names_in(bands)
        header = header if names is None else header.with_band_names(names)
        return self._put_away(header, path, sum(level.nbytes for level in header.levels), value_range, bands)

    def _put_away(
        self,
        opened: Pyramid,
        path: Path,
        nbytes: int,
        value_range: tuple[float, float] | None,
        bands: Bands | None,
    ) -> Pyramid:
        """Return an image that holds no pixels and no file, so that each read takes it from the cache."""

        def get() -> Pyramid:
            def decode() -> Pyramid:
                return open_image(path, value_range=value_range, bands=bands)

            image: Pyramid = self._kept.get(("image", path, value_range, bands), nbytes, decode)
            return image

        shown = copy.copy(opened)
        shown.levels = [
            Level(_Part(level, lambda index=index: get().levels[index]), chunks=level.chunks)  # type: ignore[misc]
            for index, level in enumerate(opened.levels)
        ]
        if opened.validity is not None:
            masks = tuple(_PartMask(mask.by_value, index, get) for index, mask in enumerate(opened.validity.masks))
            shown.validity = Validity(masks, opened.validity.source)
        return shown

    def ground_truth(
        self,
        path: Path,
        colors: Sequence[tuple[int, int, int]] | None = None,
        *,
        by_value: bool = False,
        image: Pyramid | None = None,
    ) -> tuple[tuple[int, int], Callable[[], LabelSource]]:
        """Return a ground truth that is opened when it is needed.

        Parameters
        ----------
        path : Path
            See ``open_ground_truth``.
        colors : sequence of tuple of 3 int, optional
            See ``open_ground_truth``.
        by_value : bool, optional
            See ``open_ground_truth``.
        image : Pyramid or None, optional
            Image over which it lies by the georeferences of both, see ``aligned_ground_truth``.

        Returns
        -------
        shape : tuple of 2 int
            (height, width), px.
        get : callable
            Function that opens it, or takes it from the cache.

        Raises
        ------
        InputError
            See ``open_ground_truth`` and ``aligned_ground_truth``. The values of a PNG are checked when they are read.
        """
        over = None if image is None else image.georeference

        def opened() -> LabelSource:
            source = open_ground_truth(path, colors, by_value=by_value)
            return source if image is None else aligned_ground_truth(source, path, over, image.shape)

        if path.is_dir() or not read_magic(path).startswith(PNG_MAGIC):
            shape, nbytes = opened().shape, OPEN_BYTES
        else:
            shape = raster_header(path)[0][:2]
            nbytes = shape[0] * shape[1]

        def get() -> LabelSource:
            source: LabelSource = self._kept.get(("truth", path, over, None if over is None else shape), nbytes, opened)
            return source

        return shape, get


class _Part:
    """A level that is opened for each read."""

    def __init__(self, level: Level, get: Callable[[], Level]) -> None:
        self.shape: tuple[int, ...] = level.shape
        self.dtype: np.dtype[Any] = level.dtype
        self.chunks: tuple[int, ...] | None = level.chunks if level.stored_in_chunks else None
        self._get = get

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        return self._get()[key]


@dataclass(frozen=True)
class _PartMask:
    """The validity of a level that is opened for each read."""

    by_value: bool
    index: int
    get: Callable[[], Pyramid]

    def valid(self, window: IntWindow, values: NDArray[Any] | None, channels: Sequence[int]) -> NDArray[np.bool_]:
        validity = self.get().validity
        if validity is None:  # what stands beside the file marks nothing
            return np.ones((window[2] - window[0], window[3] - window[1], 1), bool)
        return validity.masks[self.index].valid(window, values, channels)
