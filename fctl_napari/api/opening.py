"""Opening of images, maps and corrections, from paths and arrays."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fctl_napari.api.image import Image
from fctl_napari.api.maps import Map
from fctl_napari.correcting.correction_store import is_corrections
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.band_names import band_names_in, rgb_in
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import write_sample
from fctl_napari.segmentation.store.store import Segmentation

if TYPE_CHECKING:
    from fctl_napari.imagery.band_names import Bands

ImageLike = Image | str | Path | Any
"""An image, its path or address, or an array: of NumPy, dask or xarray, [y, x] or [y, x, band]."""


def open(
    source: ImageLike,
    *,
    value_range: tuple[float, float] | None = None,
    bands: Bands | None = None,
    name: str | None = None,
) -> Image | Map | Corrections:
    """Open an image, a map or corrections, lazily.

    Parameters
    ----------
    source : str, Path or array
        A file, a folder or an address in any format that is read (see ``docs/formats.md``), a segmentation's or
        corrections' folder, or an array [y, x] or [y, x, band] of NumPy, dask or xarray. Of an array of xarray the CRS
        and the transform are taken that rioxarray knows, and its axes may have any order.
    value_range : tuple of 2 float or None, optional
        (low, high) values that become 0 and 255. It is needed for data that is not uint8.
    bands : sequence or None, optional
        Indices of the red, green and blue bands, from 0; or the names of all bands in their order.
    name : str or None, optional
        Name of an array.

    Returns
    -------
    Image, Map or Corrections
        What it is.

    Raises
    ------
    InputError
        It is missing, damaged, or nothing of these.

    Examples
    --------
    >>> import numpy as np
    >>> import fctl_napari as fctl
    >>> image = fctl.open(np.zeros((600, 800, 3), np.uint8), name="night")
    >>> image.shape
    (600, 800)
    """
    if isinstance(source, Image):
        return source
    if isinstance(source, str | Path):
        folder = Path(source)
        if folder.is_dir() and is_corrections(folder):
            return Corrections.open(folder)
        if folder.is_dir():
            with suppress(InputError):  # then it is an image
                Segmentation.open(folder)
                return Map(folder)
        return Image(open_image(source, value_range=value_range, bands=bands))
    values, georeference = _plain(source)
    named = name or str(getattr(source, "name", None) or "image")
    names, colors = band_names_in(bands), rgb_in(bands)
    pyramid = pyramid_from_array(values, name=named, value_range=value_range, bands=colors, georeference=georeference)
    return Image(pyramid if names is None else pyramid.with_band_names(names))


def sample(folder: Path | str) -> Image:
    """Write the sample scene into a folder, unless it is there, and open it.

    It is the Earth at 15 px per degree, 5400 x 1770 px, with land cover as its ground truth: the label ``truth``.

    Parameters
    ----------
    folder : Path or str
        The folder.

    Returns
    -------
    Image
        The scene, ``earth.ome.zarr`` in the folder.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.

    Examples
    --------
    >>> import fctl_napari as fctl
    >>> fctl.sample("data")
    <Image earth: 5,400 x 1,770 px (width x height), 3 x uint8, 4 levels, data/earth.ome.zarr>
    """
    path = Path(folder) / "earth.ome.zarr"
    return Image(open_image(path if path.is_dir() else write_sample(path)))


def as_image(source: ImageLike, **how: Any) -> Image:
    """Return an image for what a function was given.

    Parameters
    ----------
    source : Image, str, Path or array
        An image, or what ``open`` makes one of.
    **how : object
        Further arguments of ``open``.

    Returns
    -------
    Image
        The image.

    Raises
    ------
    InputError
        It is missing, damaged, or no image.
    """
    found = open(source, **how)
    if not isinstance(found, Image):
        raise InputError(f"{found.path}: is no image; give the image that it is of.")
    return found


def _plain(source: Any) -> tuple[Any, Georeference | None]:
    """Return an array [y, x] or [y, x, band], and its place on the ground if it knows one."""
    dims = getattr(source, "dims", None)
    if dims is None or not hasattr(source, "coords"):
        return (source if hasattr(source, "dtype") else np.asarray(source)), None
    names = [name for name in dims if name in ("y", "x")]
    others = [name for name in dims if name not in ("y", "x")]
    if len(names) != 2 or len(others) > 1:
        raise InputError(
            f"{source.name or 'array'}: has the axes {', '.join(map(str, dims))}; name them y, x and band."
        )
    georeference = None
    spatial = getattr(source, "rio", None)
    if spatial is not None and spatial.crs is not None:
        a, b, c, d, e, f = tuple(spatial.transform())[:6]
        code = spatial.crs.to_epsg()
        georeference = Georeference(spatial.crs.to_wkt() if code is None else f"EPSG:{code}", (a, b, c, d, e, f))
    return source.transpose("y", "x", *others).data, georeference
