"""Image as notebooks and scripts know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.api import html
from fctl_napari.api.lazy_array import WindowedArray, georeferenced, require_small
from fctl_napari.exceptions import FctlError
from fctl_napari.imagery.ground_size import ground_size, length_words
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.words import count_of

if TYPE_CHECKING:
    import xarray

    from fctl_napari.windows import IntWindow

CHUNK = 1024
"""Side of a chunk of lazy arrays, px."""


class Image:
    """A large image, of which only what is asked for is read.

    ``fctl.open`` makes it.

    Parameters
    ----------
    pyramid : Pyramid
        Levels of the image.

    Attributes
    ----------
    pyramid : Pyramid
        Levels of the image, with all that is known of its file.
    """

    def __init__(self, pyramid: Pyramid) -> None:
        self.pyramid = pyramid

    @property
    def name(self) -> str:
        """Name of the image."""
        return self.pyramid.name

    @property
    def path(self) -> str | None:
        """File, folder or address. None for an array."""
        return self.pyramid.path

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.pyramid.shape

    @property
    def crs(self) -> str | None:
        """Coordinate reference system, as ``"EPSG:n"`` or WKT. None if the image has no place on the ground."""
        found = self.pyramid.georeference
        return None if found is None else found.crs

    def read(self, window: IntWindow | None = None, *, side: int | None = None) -> NDArray[np.uint8]:
        """Read a part as RGB, as networks see it.

        Parameters
        ----------
        window : tuple of 4 int or None, optional
            (y0, x0, y1, x1) px of full resolution, half open. None is the whole image.
        side : int or None, optional
            Longest side of what is returned, px: the part is made smaller, never larger. None is full resolution.

        Returns
        -------
        ndarray of uint8 [y, x, 3]
            The part. Px outside the image, and those without data, are filled.

        Raises
        ------
        InputError
            There are too many px for one array, bands or range are not known, or the file is damaged.
        """
        y0, x0, y1, x1 = window = window or (0, 0, *self.shape)
        longest = max(y1 - y0, x1 - x0)
        if side is None or side >= longest:
            require_small(self.name, (y1 - y0, x1 - x0))
            return self.pyramid.read(window)
        height, width = (max(1, round(size * side / longest)) for size in (y1 - y0, x1 - x0))
        square = self.pyramid.read_resized((y0, x0, y0 + longest, x0 + longest), side)
        return square[:height, :width]

    def to_xarray(self, level: int = 0) -> xarray.DataArray:
        """Return the image as an array of xarray that is read where it is computed.

        Parameters
        ----------
        level : int, optional
            Level: 0 is full resolution. Only that one has a place on the ground.

        Returns
        -------
        xarray.DataArray [y, x, band]
            The values of the file, with ``.rio.crs`` and ``.rio.transform()`` where the image is georeferenced.

        Raises
        ------
        InputError
            xarray or rioxarray is not installed.
        """
        pyramid, stored = self.pyramid, self.pyramid.levels[level]
        array = WindowedArray(lambda window: pyramid.read_native(window, level), stored.shape, pyramid.dtype)
        on_ground = pyramid.georeference if level == 0 else None
        return georeferenced(array.lazy(CHUNK), ("y", "x", "band"), self.name, on_ground)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the image as RGB, uint8 [y, x, 3]."""
        return np.asarray(self.read(), dtype=dtype)

    def _facts(self) -> dict[str, str]:
        """Return what is known of the image, by name."""
        pyramid, (height, width) = self.pyramid, self.shape
        size = ground_size(pyramid)
        return {
            "size": f"{width:,} x {height:,} px (width x height)",
            "bands": f"{pyramid.channels} x {pyramid.dtype}",
            "levels": count_of(len(pyramid.levels), "level"),
            **({} if size is None else {"px": length_words(size)}),
            **({} if self.crs is None else {"CRS": self.crs[:60]}),
            **({} if self.path is None else {"file": self.path}),
        }

    def __repr__(self) -> str:
        """Return name and facts in a line."""
        return f"<Image {self.name}: {', '.join(self._facts().values())}>"

    def _repr_html_(self) -> str:
        """Return thumbnail and facts for a notebook."""
        try:
            seen = html.picture(self.read(side=html.SIDE))
        except FctlError as error:  # bands or range are to be stated
            seen = html.sentence(str(error))
        return html.block(self.name, html.facts(self._facts()), seen)
