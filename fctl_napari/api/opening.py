"""Opening of images, maps and corrections, from paths and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import SkipValidation

from fctl_napari.api.arrays import pyramid_of
from fctl_napari.api.checked import checked
from fctl_napari.api.forms import AnyBands, OutPath, Text, ValueRange
from fctl_napari.api.image import Image
from fctl_napari.api.maps import Map
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import write_sample
from fctl_napari.segmentation.store.store import ATTRIBUTE

ImageLike = Annotated[Image | str | Path | Any, SkipValidation]
"""An image, its path or address, or an array: of NumPy, dask or xarray, [y, x] or [y, x, band]."""


@checked
def open(
    source: ImageLike,
    *,
    value_range: ValueRange | None = None,
    bands: AnyBands | None = None,
    name: Text | None = None,
) -> Image | Map | Corrections:
    """Open an image, a map or corrections, lazily.

    Parameters
    ----------
    source : str, Path, Image or array
        A file, a folder or an address in any format that is read (see ``docs/formats.md``), a segmentation's or
        corrections' folder, or an array [y, x] or [y, x, band] of NumPy, dask or xarray. Masked px of it hold no data.
        Of an array of xarray the coordinates, and the CRS and the nodata value that rioxarray knows are taken, and its
        axes may have any order. An image that is open is opened with other bands or another range of values.
    value_range : tuple of 2 float or None, optional
        (low, high) values that become 0 and 255. It is needed for data that is not uint8.
    bands : tuple of 3 int, sequence of str or None, optional
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
    if isinstance(source, Map | Corrections):
        return source
    if isinstance(source, str | Path):
        kind = _kind(Path(source))
        if kind == "corrections":
            return Corrections.open(source)
        if kind == "segmentation":
            return Map(source)
        return Image(open_image(source, value_range=value_range, bands=bands), value_range=value_range, bands=bands)
    if not isinstance(source, Image):
        source = Image(pyramid_of(source, name))
    return Image(
        source.pyramid.with_display(value_range, bands),
        value_range=value_range or source.value_range,
        bands=bands or source.bands,
    )


def _kind(folder: Path) -> str | None:
    """Return what a folder says that it is: corrections, a segmentation, or something else."""
    try:
        facts = LabelPyramid.open(folder).attributes.get(ATTRIBUTE) if folder.is_dir() else None
    except InputError:
        return None
    if not isinstance(facts, Mapping):
        return None
    kind = facts.get("kind", "segmentation" if facts.get("complete") else None)  # earlier versions named no kind
    return None if kind is None else str(kind)


@checked
def sample(folder: OutPath) -> Image:
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


def as_image(source: ImageLike, *, or_map: bool = False, **how: Any) -> Image:
    """Return an image for what a function was given.

    Parameters
    ----------
    source : Image, str, Path or array
        An image, or what ``open`` makes one of.
    or_map : bool, optional
        If True, the function takes an open map too, and the sentence of the error says so.
    **how : object
        Further arguments of ``open``.

    Returns
    -------
    Image
        The image.

    Raises
    ------
    InputError
        It is missing, damaged, or a map or corrections.
    """
    found = open(source, **how)
    if isinstance(found, Image):
        return found
    kind, facts = ("is a map", found.source.facts) if isinstance(found, Map) else ("holds corrections", found.facts)
    its = facts["image"]["path"]
    other = ", or what fctl.open makes of it" if or_map and isinstance(found, Map) else ""
    raise InputError(f"{found.path}: {kind}, not an image; give its image{f', {its}' if its else ''}{other}.")


def image_and_map(source: ImageLike | Map) -> tuple[Image, Map | None]:
    """Return the image for what a function was given, and the map if it was one.

    Parameters
    ----------
    source : Image, Map, str, Path or array
        A map, or what ``open`` makes an image of.

    Returns
    -------
    image : Image
        The image, or that of the map.
    map : Map or None
        The map.

    Raises
    ------
    InputError
        The image is missing, damaged, or a path of a map or of corrections.
    """
    if not isinstance(source, Map):
        return as_image(source, or_map=True), None
    if source.image is None:
        raise InputError(f"{source.path}: its image is not where it was; give the image itself.")
    return source.image, source
