"""Truth to score against or to learn from: class indices, read by windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from PIL import Image

from fctl_napari.errors import FctlError, InputError
from fctl_napari.imagery import ngff
from fctl_napari.imagery.colour_key import ColourKey
from fctl_napari.imagery.level import IntWindow, Level, read_padded
from fctl_napari.imagery.raster import PNG_MAGIC, open_pillow, read_magic
from fctl_napari.imagery.tiff import TIFF_MAGIC, read_tiff

NO_CLASS = 255
"""Class index of a px that is not labelled or not to be scored."""


class LabelSource:
    """Truth to score against or to learn from, read by windows.

    Attributes
    ----------
    path
        Where it lies.
    shape
        (height, width) px.
    one_based
        Whether value 0 is no class and k + 1 is class k, as in label files; else k is class k, and 255 none.
    class_names
        Names of class 0, 1, ..., where the file states them.
    by_colour
        Whether its values are classes that were looked up by their colours.

    Parameters
    ----------
    path, shape, one_based, class_names, by_colour
        As above; a layer's name stands for the path of what is no file.
    level
        Its values, whole numbers: anything that is read by slices as [y, x] or [y, x, 1].
    coarser
        Every 2nd, 4th, ... px of every 2nd, 4th, ... row of ``level``, where that is at hand.
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
        by_colour: bool = False,
    ) -> None:
        self.path = path
        self.shape = shape
        self.one_based = one_based
        self.class_names = class_names
        self.by_colour = by_colour
        self._levels = [level, *coarser]

    @property
    def native_levels(self) -> int:
        """How many levels are at hand; coarser ones are picked from the coarsest of them."""
        return len(self._levels)

    @property
    def in_memory(self) -> bool:
        """Whether its values lie in memory, so that reading every n-th of them costs nothing."""
        return isinstance(self._levels[0], np.ndarray)

    def level_shape(self, level: int) -> tuple[int, int]:
        """(height, width) of a level, px: level k is every 2**k-th px both ways, from the first on."""
        return -(-self.shape[0] // 2**level), -(-self.shape[1] // 2**level)

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read class indices.

        Parameters
        ----------
        window
            (y0, x0, y1, x1) px.

        Returns
        -------
        uint8 [y1 - y0, x1 - x0]; 255 where there is no class, and outside.

        Raises
        ------
        InputError
            The file is damaged here, or holds values that are no class index.
        """
        return read_padded(self._indices, self.shape, window, fill=NO_CLASS)

    def read_values(self, rows: slice, columns: slice, level: int = 0) -> NDArray[Any]:
        """Read the values as they are stored, for who maps them.

        Parameters
        ----------
        rows, columns
            Inside the level (without a step).
        level
            Its px i is px i * 2**level of level 0.

        Returns
        -------
        Integers [y, x]; a view where they lie in memory.

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
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{self.path}: is truncated or damaged; fetch it again ({reason}).") from error
        return values.reshape(values.shape[:2])

    def _indices(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        values = self.read_values(rows, columns)
        if values.dtype != np.uint8 and values.size and not (values.min() >= 0 and values.max() <= 255):
            raise InputError(f"{self.path}: holds values outside 0 to 255; save class indices, with 255 for no class.")
        indices: NDArray[np.uint8] = values.astype(np.uint8)
        # In label files 0 is not labelled and k + 1 is class k: uint8 wraps 0 to 255, as it should.
        return indices - np.uint8(1) if self.one_based else indices


def open_truth(path: Path | str, colours: Sequence[tuple[int, int, int]] | None = None) -> LabelSource:
    """Open truth: class indices in a PNG or TIFF (255 is ignored), or an OME-Zarr label image.

    Parameters
    ----------
    path
        The file; a label group; or an OME-Zarr image that has one label, or one called ``truth``.
    colours
        (red, green, blue) of class 0, 1, ..., for a PNG or TIFF of colours.

    Raises
    ------
    InputError
        It is missing, truncated, or does not hold one channel of class indices, or colours that are classes.
    """
    path = Path(path)
    if path.is_dir():
        return _zarr_truth(path)
    magic = read_magic(path)
    if magic.startswith(PNG_MAGIC):
        image = open_pillow(path)
        keyed = colours is not None and image.mode in ("RGB", "RGBA")
        array = ColourKey(colours or (), str(path)).indices(np.asarray(image)) if keyed else _png_indices(path, image)
        return LabelSource(str(path), array, array.shape, one_based=False, by_colour=keyed)
    if magic.startswith(TIFF_MAGIC):
        level = read_tiff(path, indices=True).levels[0]
        keyed = colours is not None and level.shape[2] in (3, 4) and level.dtype == np.uint8
        if keyed:
            key = ColourKey(colours or (), str(path))
            level = Level(level, convert=lambda block: key.indices(block)[..., np.newaxis], channels=1)
        if level.shape[2] != 1 or level.dtype.kind not in "bui":
            raise InputError(
                f"{path}: holds {level.shape[2]} channels of {level.dtype}; save class indices as one channel of uint8."
            )
        return LabelSource(str(path), level, level.shape[:2], one_based=False, by_colour=keyed)
    raise InputError(f"{path}: is no truth that can be read here; give a PNG, a TIFF or an OME-Zarr label.")


def _png_indices(path: Path, image: Image.Image) -> NDArray[Any]:
    if image.mode not in ("L", "P", "1", "I;16", "I"):
        raise InputError(f"{path}: is a colour image ({image.mode}); save class indices as one channel of uint8.")
    return np.asarray(image)  # a palette's indices, not its colours


def _zarr_truth(path: Path) -> LabelSource:
    group = ngff.open_group(path)
    if not ngff.is_label_image(group) and isinstance(group.get("labels"), zarr.Group):
        names = sorted(name for name, _ in ngff.open_group(path / "labels").groups())
        chosen = "truth" if "truth" in names else names[0] if len(names) == 1 else None
        if chosen is None:
            raise InputError(f"{path}: has labels {names}; name one of them, say {path / 'labels' / 'NAME'}.")
        path = path / "labels" / chosen
        group = ngff.open_group(path)
    elif not ngff.is_label_image(group):
        raise InputError(f"{path}: is an image without labels; give its truth.")
    levels, axes, multiscale = ngff.open_levels(group, path)
    try:
        level = Level(levels[0], axes)
        # others' levels may hold values that are not there, or lie half a px aside
        picked = [Level(array, axes) for array in levels[1:]] if multiscale.get("type") == "subsample" else []
    except ValueError as error:
        raise InputError(f"{path}: is not one plane of labels ({error}); save one with axes y and x.") from error
    if level.shape[2] != 1 or level.dtype.kind not in "bui":
        raise InputError(f"{path}: holds {level.shape[2]} channels of {level.dtype}; labels are one of integers.")
    names_ = tuple(c["name"] for c in ngff.label_classes(group))
    source = LabelSource(str(path), level, level.shape[:2], one_based=True, class_names=names_ or None, coarser=picked)
    if any(array.shape[:2] != source.level_shape(index) for index, array in enumerate(picked, 1)):
        raise InputError(f"{path}: its levels do not halve from one to the next; write it again.")
    return source
