"""Ground truth for evaluation or training: class indices, read by windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.errors import FctlError, InputError, reason_of
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.mask_tags import MaskTags, png_tags, tiff_tags
from fctl_napari.imagery.formats.ngff_collection import image_names
from fctl_napari.imagery.formats.png_jpeg import PNG_MAGIC, is_16_bit_png, open_pillow, read_magic
from fctl_napari.imagery.formats.tiff import TIFF_MAGIC, read_tiff
from fctl_napari.imagery.formats.zipped import zip_file
from fctl_napari.imagery.labels.color_key import NO_CLASS, ColorKey, PaletteKey, palette_key
from fctl_napari.imagery.labels.label_placement import label_placement, over_image
from fctl_napari.imagery.labels.placed_labels import PlacedLabels
from fctl_napari.imagery.labels.polygon_files import is_polygon_file
from fctl_napari.imagery.level import Level, read_padded
from fctl_napari.imagery.validity import StoredMask
from fctl_napari.windows import IntWindow

__all__ = ["NO_CLASS", "LabelSource", "open_ground_truth"]

STATE = (
    '{"values": {"0": "water", "-9999": null}}, in the classes.json of a data set, or in a file for fctl evaluate '
    "--map or fctl corrections import --map"
)
"""How to state what the values of a mask are. null is no class."""

Colors = Sequence[tuple[int, int, int]] | None

NOTHING = -1
"""Stands for no class where the file has no value for it: NaN, transparent."""

MOST_NAMES = 2**16
"""Label values from this one on are not given names."""

STRIP_PX = 2**22
"""Approximate number of px that are examined at once."""


class LabelSource:
    """Ground truth for evaluation or training, read by windows.

    Parameters
    ----------
    path : str
        Location of the file. For values that are no file, the name of a layer.
    level : array_like of int [y, x] or [y, x, 1]
        Values, whole numbers. Anything that is read by slices will do.
    shape : tuple of 2 int
        (height, width), px.
    one_based : bool
        If True, value 0 is no class and k + 1 is class k, as in label files. Otherwise k is class k and 255 is no
        class.
    class_names : tuple of str or None, optional
        Names of class 0, 1, ..., where the file states them. An empty name is not stated.
    coarser : sequence of object, optional
        Every 2nd, 4th, ... px of every 2nd, 4th, ... row of ``level``, where these are at hand.
    by_color : bool, optional
        If True, the values are classes that were looked up by their colors.
    nothing : tuple of int, optional
        Values that are no class according to the file: no data, transparent.
    note : str, optional
        Note for users on how it is read. It is empty where that is plain.
    classes : int, optional
        Number of classes, where that is known. A value of one of them that is marked as no data is then refused.

    Attributes
    ----------
    path : str
        Location of the file.
    shape : tuple of 2 int
        (height, width), px.
    one_based : bool
        True if value 0 is no class and k + 1 is class k, as in label files.
    class_names : tuple of str or None, optional
        Names of class 0, 1, ..., where the file states them. An empty name is not stated.
    by_color : bool, optional
        True if the values are classes that were looked up by their colors.
    nothing : tuple of int, optional
        Values that are no class according to the file: no data, transparent.
    note : str, optional
        Note for users on how it is read. It is empty where that is plain.
    """

    def __init__(
        self,
        path: str,
        level: Any,
        shape: tuple[int, int],
        *,
        one_based: bool,
        class_names: tuple[str, ...] | None = None,
        coarser: Sequence[Any] = (),
        by_color: bool = False,
        nothing: tuple[int, ...] = (),
        note: str = "",
        classes: int = 0,
    ) -> None:
        self.path = path
        self.shape = shape
        self.one_based = one_based
        self.class_names = class_names
        self.by_color = by_color
        self.nothing = nothing
        self.note = note
        self._classes = classes
        self._levels = [level, *coarser]

    def placed(self, rows: NDArray[np.int64], columns: NDArray[np.int64], *, swapped: bool = False) -> LabelSource:
        """Return the same ground truth in the pixels of an image over which it lies.

        Parameters
        ----------
        rows, columns : ndarray of int64 [n]
            For each row and column of the image, the row and column of the ground truth; -1 beside it.
        swapped : bool, optional
            If True, the rows of the image lie along the columns of the ground truth.

        Returns
        -------
        LabelSource
            Ground truth of the image's size, without a class beside it.
        """
        plane = _Plane(self._levels[0])
        placed = PlacedLabels(plane, rows, columns, swapped=swapped, fill=0 if self.one_based else NOTHING)
        return self._with(placed, (len(rows), len(columns)))

    def masked(self, mask: StoredMask) -> LabelSource:
        """Return the same ground truth without a class where a mask says that there is no data.

        Parameters
        ----------
        mask : StoredMask
            Mask of its px.

        Returns
        -------
        LabelSource
            Ground truth of the same size.
        """
        masked = _MaskedPlane(self._levels[0], mask, 0 if self.one_based else NOTHING)
        return self._with(masked, self.shape)

    def _with(self, level: Any, shape: tuple[int, int]) -> LabelSource:
        """Return a ground truth of other values that means the same by them, or ``NOTHING``."""
        return LabelSource(
            self.path,
            level,
            shape,
            one_based=self.one_based,
            class_names=self.class_names,
            by_color=self.by_color,
            nothing=tuple({*self.nothing, *(() if self.one_based else (NOTHING,))}),
            note=self.note,
            classes=self._classes,
        )

    @property
    def native_levels(self) -> int:
        """Number of levels at hand. Coarser ones are subsampled from the coarsest of them."""
        return len(self._levels)

    @property
    def in_memory(self) -> bool:
        """True if the values lie in memory, so that reading every n-th of them costs nothing."""
        return isinstance(self._levels[0], np.ndarray)

    def level_shape(self, level: int) -> tuple[int, int]:
        """Return the shape of a level.

        Level k holds every 2**k-th px in both directions, starting with the first.

        Parameters
        ----------
        level : int
            Index of the level.

        Returns
        -------
        tuple of 2 int
            (height, width), px.
        """
        return -(-self.shape[0] // 2**level), -(-self.shape[1] // 2**level)

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read class indices.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, half open. It may reach outside.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0]
            Class indices. Pixels without a class and pixels outside have 255.

        Raises
        ------
        InputError
            The file is damaged here, or holds values that are no class index.
        """
        return read_padded(self._indices, self.shape, window, fill=NO_CLASS)

    def read_values(self, rows: slice, columns: slice, level: int = 0) -> NDArray[Any]:
        """Read the values as they are stored, for callers that map them.

        Parameters
        ----------
        rows, columns : slice
            Part inside the level, without a step.
        level : int, optional
            Level whose px i is px i * 2**level of level 0.

        Returns
        -------
        ndarray of int [y, x]
            Stored values. They are a view where they lie in memory.

        Raises
        ------
        InputError
            The file is damaged here.
        """
        native = min(level, len(self._levels) - 1)
        step = 2 ** (level - native)
        array = self._levels[native]
        stops = (min(part.stop * step, size) for part, size in zip((rows, columns), array.shape, strict=False))
        picked = tuple(slice(part.start * step, stop, step) for part, stop in zip((rows, columns), stops, strict=True))
        try:
            values = np.asarray(array[picked])
        except FctlError:
            raise
        except Exception as error:  # codecs raise what they like
            reason = reason_of(error)
            raise InputError(f"{self.path}: is truncated or damaged; fetch it again ({reason}).") from error
        return values.reshape(values.shape[:2])

    def _indices(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        values = self.read_values(rows, columns)
        if values.dtype == np.bool_:
            values = values.astype(np.uint8)
        nothing = [value for value in self.nothing if value != NO_CLASS or self.one_based]
        none = np.isin(values, nothing) if nothing else np.zeros((), bool)
        for value in nothing:
            if 0 <= value < self._classes and (values == value).any():
                raise InputError(
                    f"{self.path}: marks the value {value} as no data, and class {value} has it too; state what each "
                    f"value is ({STATE}), or take the mark away."
                )
        if values.dtype != np.uint8 and values.size:
            outside = ((values < 0) | (values > 255)) & ~none
            if outside.any():
                value = int(values[outside][0])
                raise InputError(
                    f"{self.path}: holds values outside 0 to 255, {value} say ({int((values == value).sum())} px "
                    f"here); save class indices, with 255 for no class, or state what each value is ({STATE})."
                )
        indices: NDArray[np.uint8] = values.astype(np.uint8)
        if self.one_based:
            # In label files 0 is not labelled and k + 1 is class k: uint8 wraps 0 to 255, as it should.
            indices = indices - np.uint8(1)
        return np.where(none, np.uint8(NO_CLASS), indices) if none.any() else indices


class _Plane:
    """Values of a level as an array [y, x] of a type that holds ``NOTHING``."""

    def __init__(self, level: Any) -> None:
        self._level = level
        self.shape: tuple[int, int] = (int(level.shape[0]), int(level.shape[1]))
        wide = np.dtype(level.dtype).itemsize >= 4
        self.dtype: np.dtype[Any] = np.dtype(np.int64 if wide else np.int32)

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[Any]:
        values = np.asarray(self._level[key])
        return values.reshape(values.shape[:2]).astype(self.dtype)


class _MaskedPlane(_Plane):
    """Values of a level as an array [y, x], with one for what a mask hides."""

    def __init__(self, level: Any, mask: StoredMask, nothing: int) -> None:
        super().__init__(level)
        self._mask = mask
        self._nothing = nothing

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[Any]:
        rows, columns = (part.indices(size) for part, size in zip(key, self.shape, strict=True))
        valid = self._mask.valid((rows[0], columns[0], max(rows[:2]), max(columns[:2])), None, ())[..., 0]
        return np.where(valid[:: rows[2], :: columns[2]], super().__getitem__(key), self._nothing)


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
        what = f"holds {level.shape[2]} channels of {level.dtype}"
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
        raise InputError(f"{path}: holds {level.shape[2]} channels of {level.dtype}; labels are one of integers.")
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
