"""Image as notebooks and scripts know it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.api import html
from fctl_napari.api.checked import AnyWindow, Count, checked
from fctl_napari.api.lazy_array import WindowedArray, georeferenced, in_memory, require_small
from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.band_names import Bands
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.geodesy.ground_size import ground_size, length_words
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.validity import Validity
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
    value_range : tuple of 2 float or None, optional
        (low, high) values that become 0 and 255, if they were stated when it was opened.
    bands : tuple of 3 int, sequence of str or None, optional
        Bands, if they were stated when it was opened.

    Attributes
    ----------
    pyramid : Pyramid
        Levels of the image, with all that is known of its file.
    value_range : tuple of 2 float or None
        What was stated of its values; ``pyramid.value_range`` is what holds.
    bands : tuple or None
        What was stated of its bands; ``pyramid.bands`` is what holds.
    """

    def __init__(
        self, pyramid: Pyramid, *, value_range: tuple[float, float] | None = None, bands: Bands | None = None
    ) -> None:
        self.pyramid = pyramid
        self.value_range = value_range
        self.bands = bands

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

    @checked
    def read(self, window: AnyWindow | None = None, *, side: Count | None = None) -> NDArray[np.uint8]:
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
            The window holds no px or too many for one array, bands or range are not known, or the file is damaged.
        """
        y0, x0, y1, x1 = window = window or (0, 0, *self.shape)
        longest = max(y1 - y0, x1 - x0)
        if side is None or side >= longest:
            require_small(self.name, (y1 - y0, x1 - x0))
            return self.pyramid.read(window)
        height, width = (max(1, round(size * side / longest)) for size in (y1 - y0, x1 - x0))
        square = self.pyramid.read_resized((y0, x0, y0 + longest, x0 + longest), side)
        return square[:height, :width]

    @checked
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
            There is no such level, or xarray or rioxarray is not installed.
        """
        pyramid, last = self.pyramid, len(self.pyramid.levels) - 1
        if not 0 <= level <= last:
            raise InputError(f"{self.name}: has no level {level}; give {f'0 to {last}' if last else '0'}.")
        array = WindowedArray(partial(_read_level, self, level), pyramid.levels[level].shape, pyramid.dtype)
        on_ground = pyramid.georeference if level == 0 else None
        return georeferenced(array.lazy(CHUNK), ("y", "x", "band"), self.name, on_ground)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the image as RGB, uint8 [y, x, 3]."""
        return in_memory(self.read, dtype, copy)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what another process opens it by: its file, or the array itself."""
        pyramid, stated = self.pyramid, (self.value_range, self.bands)
        if pyramid.path is not None:
            return _of_file, (pyramid.path if is_url(pyramid.path) else str(Path(pyramid.path).absolute()), *stated)
        validity = pyramid.validity
        first = None if validity is None else Validity(validity.masks[:1], validity.source)
        return _of_array, (pyramid.levels[0], pyramid.name, pyramid.georeference, first, *stated)

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


def _read_level(image: Image, level: int, window: IntWindow) -> NDArray[Any]:
    return image.pyramid.read_native(window, level)


def _of_file(path: str, value_range: tuple[float, float] | None, bands: Bands | None) -> Image:
    """Open an image again as another process had opened it."""
    return Image(open_image(path, value_range=value_range, bands=bands), value_range=value_range, bands=bands)


def _of_array(
    level: Level,
    name: str,
    georeference: Georeference | None,
    validity: Validity | None,
    value_range: tuple[float, float] | None,
    bands: Bands | None,
) -> Image:
    """Make an image of the array of another process."""
    pyramid = pyramid_from_array(level, name=name, georeference=georeference, validity=validity)
    return Image(pyramid.with_display(value_range, bands), value_range=value_range, bands=bands)
