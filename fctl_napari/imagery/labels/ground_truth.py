"""Opening of ground truths: masks of any format, labels of an OME-Zarr."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.mask_tags import MaskTags, png_tags, tiff_tags
from fctl_napari.imagery.formats.ngff_collection import image_names
from fctl_napari.imagery.formats.png_jpeg import PNG_MAGIC, is_16_bit_png, open_pillow, read_magic
from fctl_napari.imagery.formats.tiff import TIFF_MAGIC, read_tiff
from fctl_napari.imagery.formats.zipped import zip_file
from fctl_napari.imagery.labels.color_key import NO_CLASS, STATE, ColorKey, PaletteKey, palette_key
from fctl_napari.imagery.labels.label_placement import label_placement, over_image
from fctl_napari.imagery.labels.label_source import NOTHING, LabelSource
from fctl_napari.imagery.labels.polygon_files import is_polygon_file
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.validity import StoredMask
from fctl_napari.words import count_of

Colors = Sequence[tuple[int, int, int]] | None

MOST_NAMES = 2**16
"""Label values from this one on are not given names."""

STRIP_PX = 2**22
"""Approximate number of px that are examined at once."""


def open_ground_truth(
    path: Path | str, colors: Sequence[tuple[int, int, int]] | None = None, *, by_value: bool = False
) -> LabelSource:
    """Open a ground truth: class indices in a PNG or TIFF (255 is ignored), or an OME-Zarr label image.

    Labels of an OME-Zarr image that are larger or smaller than it, or moved, are read in its px (see
    ``label_placement``). Masks of colors are read by their colors. Masks with a palette are too, where it holds the
    classes' colors (see ``palette_key``). Class names that the file states are kept.

    Parameters
    ----------
    path : Path or str
        File, label group, or OME-Zarr image that has one label, or one called ``truth``.
    colors : sequence of tuple of 3 int, optional
        (red, green, blue) of class 0, 1, ..., for a PNG or TIFF of colors.
    by_value : bool, optional
        If True, the meaning of each value of a mask of one channel is known. A palette is not consulted then, and
        values may be stored as floats.

    Returns
    -------
    LabelSource
        Ground truth, read by windows.

    Raises
    ------
    InputError
        It is missing or truncated, or it does not hold one channel of class indices, or colors that are classes.
    """
    path = Path(path)
    if is_polygon_file(path):
        raise InputError(f"{path}: holds polygons, and a mask is needed here; burn them into one.")
    if path.is_dir() or zip_file(path) is not None:
        return _zarr_ground_truth(path)
    magic = read_magic(path)
    if magic.startswith(PNG_MAGIC):
        return _png_ground_truth(path, colors, by_value)
    if magic.startswith(TIFF_MAGIC):
        return _tiff_ground_truth(path, colors, by_value)
    raise InputError(
        f"{path}: is no ground truth that can be read here; give a PNG, a TIFF, an OME-Zarr label "
        "or polygons (GeoPackage, Shapefile, FlatGeobuf, GeoJSON)."
    )


def _png_ground_truth(path: Path, colors: Colors, by_value: bool) -> LabelSource:
    image = open_pillow(path)
    if colors is not None and image.mode in ("RGB", "RGBA"):
        if is_16_bit_png(path):
            raise InputError(f"{path}: is a mask of colors of 16 bits; save it with 8.")
        pixels = np.asarray(image.convert("RGBA") if "transparency" in image.info else image)
        array = ColorKey(colors, str(path)).indices(pixels)
        return LabelSource(str(path), array, array.shape, one_based=False, by_color=True)
    if image.mode == "LA":
        gray, alpha = (np.asarray(image.getchannel(channel)) for channel in "LA")
        values = np.where(alpha == 0, NOTHING, gray.astype(np.int32))
        tags = replace(png_tags(image), nothing=(NOTHING,))
    elif image.mode in ("L", "P", "1", "I;16", "I"):
        values, tags = np.asarray(image), png_tags(image)
        if values.dtype == np.bool_:
            values = values.astype(np.uint8)  # Pillow's True is 255 in memory
    else:
        raise InputError(f"{path}: is a color image ({image.mode}); save class indices as one channel of uint8.")
    key = _key(path, tags, None if by_value else colors, Level(values[..., np.newaxis]))
    if key is not None:
        values = key.indices(values)
    elif tags.nothing:
        values = np.where(np.isin(values, tags.nothing), NOTHING, values.astype(np.int32))
        tags = replace(tags, nothing=(NOTHING,))
    return _source(path, values, values.shape, tags, key, colors)


def _tiff_ground_truth(path: Path, colors: Colors, by_value: bool) -> LabelSource:
    image = read_tiff(path, indices=True)
    level, images = image.levels[0], image.images
    if sum(one.shape == level.shape[:2] for one in images) > 1:
        raise InputError(
            f"{path}: holds {len(images)} images, several as large as the largest; save one as its own file."
        )
    source = _tiff_values(path, level, colors, by_value)
    mask = None if image.validity is None else image.validity.masks[0]
    # A value that marks no data is treated with the other values.
    return source.masked(mask) if isinstance(mask, StoredMask) else source


def _tiff_values(path: Path, level: Level, colors: Colors, by_value: bool) -> LabelSource:
    if colors is not None and level.shape[2] in (3, 4) and level.dtype == np.uint8:
        rgb = ColorKey(colors, str(path))
        level = Level(level, convert=lambda block: rgb.indices(block)[..., np.newaxis], channels=1)
        return LabelSource(str(path), level, level.shape[:2], one_based=False, by_color=True)
    if level.shape[2] != 1 or level.dtype.kind not in ("buif" if by_value else "bui"):
        floats = level.shape[2] == 1 and level.dtype.kind == "f"
        way = f", or state what each value is ({STATE}; what is no number has no class)" if floats else ""
        what = f"holds {count_of(level.shape[2], 'channel')} of {level.dtype}"
        raise InputError(f"{path}: {what}; save class indices as one channel of uint8{way}.")
    tags = tiff_tags(path)
    zero_is_none = not by_value and len(tags.nothing) == 1 and tags.nothing[0] == 0 and level.dtype.kind in "ui"
    if zero_is_none and colors is not None and max(_held(level)) == len(colors):
        # The last value is the number of classes: value k + 1 is class k.
        return LabelSource(str(path), level, level.shape[:2], one_based=True, class_names=tags.class_names)
    if level.dtype.kind == "f":
        nodata = tags.nothing
        level = Level(level, convert=lambda block: _whole(block, nodata, str(path)), dtype=np.dtype(np.int32))
        tags = replace(tags, nothing=(NOTHING,))
    key = _key(path, tags, None if by_value else colors, level)
    if key is not None:
        level = Level(level, convert=key.indices, dtype=np.dtype(np.uint8))
    return _source(path, level, level.shape[:2], tags, key, colors)


def _source(
    path: Path, level: Any, shape: tuple[int, int], tags: MaskTags, key: PaletteKey | None, colors: Colors
) -> LabelSource:
    if key is not None:
        note = "is read by the colors of its palette; its indices are in another order" if key.moved else ""
        return LabelSource(str(path), level, shape, one_based=False, by_color=True, note=note)
    nothing = tuple(int(value) for value in tags.nothing if value == round(value) and abs(value) < 2**62)
    return LabelSource(
        str(path),
        level,
        shape,
        one_based=False,
        class_names=tags.class_names,
        nothing=nothing,
        classes=0 if colors is None else len(colors),
    )


def _key(path: Path, tags: MaskTags, colors: Colors, level: Level) -> PaletteKey | None:
    """Decide how a palette is read. None means by its indices, as when the file names its classes."""
    if tags.palette is None or colors is None or tags.class_names is not None:
        return None
    nothing = np.isin(np.arange(len(tags.palette)), tags.nothing)
    key = palette_key(tags.palette, nothing, colors, lambda: _held(level), str(path))
    if key is not None and tags.nodata and tuple(tags.palette[nothing][0].tolist()) in {tuple(c) for c in colors}:
        raise InputError(
            f"{path}: marks the value {tags.nothing[0]:g} as no data, and gives it the color of a class; state what "
            f"each value is ({STATE}), or take the mark away."
        )
    return key


def _held(level: Level) -> list[int]:
    """List the values that a mask with a palette holds."""
    height, width = level.shape[:2]
    seen = np.zeros(2**16, bool)
    rows = max(1, STRIP_PX // width)
    for top in range(0, height, rows):
        seen[level[top : top + rows].ravel()] = True
    return np.flatnonzero(seen).tolist()


def _whole(values: NDArray[Any], nodata: Sequence[float], path: str) -> NDArray[np.int32]:
    """Convert classes stored as floats to integers.

    ``NOTHING`` stands for NaN and for the value that marks no data.
    """
    none = np.isnan(values)
    for value in nodata:
        none |= values == values.dtype.type(value)
    values = np.where(none, 0, values)
    strange = (values != np.rint(values)) | (np.abs(values) >= 2**31)
    if strange.any():
        raise InputError(
            f"{path}: holds the value {float(values[strange][0]):g} ({int(strange.sum())} such px here), which is no "
            "whole number; save class indices as one channel of uint8, with 255 for no class."
        )
    return np.where(none, NOTHING, values).astype(np.int32)


def _zarr_ground_truth(path: Path) -> LabelSource:
    path = path.joinpath(*image_names(path)[:1])
    group = ngff.open_group(path)
    if not ngff.is_label_image(group) and isinstance(group.get("labels"), zarr.Group):
        names = sorted(name for name, _ in ngff.open_group(path / "labels").groups())
        chosen = "truth" if "truth" in names else names[0] if len(names) == 1 else None
        if chosen is None:
            raise InputError(f"{path}: has labels {names}; name one of them, say {path / 'labels' / 'NAME'}.")
        path = path / "labels" / chosen
        group = ngff.open_group(path)
    elif not ngff.is_label_image(group):
        raise InputError(f"{path}: is an image without labels; give its ground truth.")
    levels, axes, multiscale = ngff.open_levels(group, path)
    try:
        level = Level(levels[0], axes)
        # levels by other writers may hold values that level 0 does not have, or be shifted by half a px
        picked = [Level(array, axes) for array in levels[1:]] if multiscale.get("type") == "subsample" else []
    except ValueError as error:
        raise InputError(f"{path}: is not one plane of labels ({error}); save one with axes y and x.") from error
    if level.shape[2] != 1 or level.dtype.kind not in "bui":
        raise InputError(
            f"{path}: holds {count_of(level.shape[2], 'channel')} of {level.dtype}; labels are one of integers."
        )
    stated, first = _label_names(group)
    image = path.absolute().parent.parent
    if path.absolute().parent.name == "labels" and ngff.is_zarr(image):
        placement = label_placement(group, path, ngff.open_group(image), image)
        if not placement.same_px:
            placed = over_image(levels[0], axes, placement, path, fill=0 if first == 1 else NO_CLASS)
            return LabelSource(str(path), placed, placed.shape, one_based=first == 1, class_names=stated or None)
    source = LabelSource(
        str(path), level, level.shape[:2], one_based=first == 1, class_names=stated or None, coarser=picked
    )
    if any(array.shape[:2] != source.level_shape(index) for index, array in enumerate(picked, 1)):
        raise InputError(f"{path}: its levels do not halve from one to the next; write it again.")
    return source


def _label_names(group: zarr.Group) -> tuple[tuple[str, ...], int]:
    """Read the names of the values of a label group, and which value is the first: 0 only where it has a name."""
    described = ngff.ome_attributes(group).get("image-label") or {}
    named = {p.get("label-value"): p.get("name") for p in described.get("properties") or ()}
    names = {
        value: name
        for value, name in named.items()
        if isinstance(value, int) and 0 <= value < MOST_NAMES and isinstance(name, str) and name
    }
    first = 0 if 0 in names else 1
    return tuple(names.get(value, "") for value in range(first, max(names, default=-1) + 1)), first
