"""Writable label images with synchronized coarser levels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats import ngff, ngff_writing
from fctl_napari.imagery.formats.chunk_files import chunk_files
from fctl_napari.imagery.halving import halved_shape
from fctl_napari.imagery.level import read_padded
from fctl_napari.windows import FloatWindow, IntWindow

UPDATE_PX = 8192
"""Approximate side of the largest piece of a level that the next one is taken from at once, px."""


class LabelPyramid:
    """A uint8 label image on disk (OME-Zarr 0.5), where 0 is not labelled and k + 1 is class k.

    Level k is every second px of every second row of level k - 1, starting with the first (or every n-th, where other
    shapes were asked for), so that no value appears that was not there. Instances are made with :meth:`create` or
    :meth:`open`.

    Parameters
    ----------
    path : Path
        Folder of the label image.
    group : zarr.Group
        Its Zarr group.
    levels : sequence of zarr.Array of uint8 [y, x]
        Arrays of the levels, the finest first.

    Attributes
    ----------
    path : Path
        Folder of the label image.
    group : zarr.Group
        Its Zarr group, to which further arrays can be added beside the levels.
    levels : list of zarr.Array of uint8 [y, x]
        Arrays of the levels, the finest first.

    Notes
    -----
    Writes are atomic by chunk. Two writers of one chunk (of any level) must not write at the same time. Ensuring this
    is the caller's duty.
    """

    def __init__(self, path: Path, group: zarr.Group, levels: Sequence[zarr.Array[Any]]) -> None:
        self.path = path
        self.group = group
        self.levels: list[zarr.Array[Any]] = list(levels)
        self._stored = [chunk_files(level) or level for level in self.levels]

    @classmethod
    def create(
        cls,
        path: Path | str,
        shape: tuple[int, int],
        *,
        levels: Sequence[tuple[int, int]] | None = None,
        chunk: int = 512,
        classes: Sequence[Mapping[str, Any]] = (),
        attributes: Mapping[str, Any] | None = None,
        pixel_size: tuple[float, float] | None = None,
        translation: tuple[float, float] = (0.0, 0.0),
        unit: str | None = None,
    ) -> LabelPyramid:
        """Create an empty label image (all 0), whole or not at all.

        Parameters
        ----------
        path : Path or str
            Its folder. In the ``labels`` folder of an OME-Zarr image it is listed as one of its labels.
        shape : tuple of 2 int
            (height, width), px.
        levels : sequence of tuple of 2 int or None, optional
            (height, width) of each level, px, the first of which is ``shape``. The default is halved until about
            1000 px.
        chunk : int, optional
            Side of a chunk, px, in every level.
        classes : sequence of mapping of str to object, optional
            ``{"name": ..., "color": (r, g, b)}`` of class 0, 1, ... (values 1, 2, ...). Without classes it is a
            plain image of values (a confidence, say).
        attributes : mapping of str to object or None, optional
            Further attributes of the group, under keys other than ``"ome"``.
        pixel_size : tuple of 2 float or None, optional
            (y, x) size of a level-0 px, in ``unit``.
        translation : tuple of 2 float, optional
            (y, x) position of the center of the first px, in ``unit``.
        unit : str or None, optional
            Unit of ``pixel_size``.

        Returns
        -------
        LabelPyramid
            Label image, open for writing.

        Raises
        ------
        OutputError
            The name is taken, the disk is full, or the location is not writable.
        """
        path = Path(path)
        ome: dict[str, Any] = {"version": ngff_writing.VERSION}
        if classes:
            ome["image-label"] = _image_label(classes, path)

        shapes = ngff_writing.level_shapes(shape) if levels is None else list(levels)
        halved = all(after == halved_shape(before) for before, after in pairwise(shapes))

        def fill(group: zarr.Group) -> None:
            ngff_writing.create_levels(group, "yx", shapes, chunk, np.uint8)
            multiscale = ngff_writing.multiscale_metadata(
                path.name.split(".")[0],
                "yx",
                ngff_writing.halved_factors(len(shapes)) if halved else _factors(shapes),
                kind="subsample" if halved else "nearest",  # readers may rely on what the first is
                pixel_size=pixel_size,
                translation=translation,
                unit=unit,
                centred=False,
            )
            group.update_attributes({**(attributes or {}), "ome": {**ome, "multiscales": [multiscale]}})

        ngff_writing.create_group(path, fill)
        return cls.open(path, mode="r+")

    @classmethod
    def open(cls, path: Path | str, mode: str = "r") -> LabelPyramid:
        """Open an existing label image.

        Parameters
        ----------
        path : Path or str
            Its folder.
        mode : str, optional
            ``"r"``, or ``"r+"`` to write.

        Returns
        -------
        LabelPyramid
            Label image.

        Raises
        ------
        InputError
            It is missing or is not a uint8 label image [y, x].
        """
        path = Path(path)
        group = ngff.open_group(path, mode)
        levels, axes, _ = ngff.open_levels(group, path)
        if axes != "yx" or levels[0].dtype != np.uint8:
            raise InputError(f"{path}: is not a uint8 label image with axes y and x; choose another.")
        return cls(path, group, levels)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of level 0, px."""
        height, width = self.levels[0].shape
        return height, width

    @property
    def chunk(self) -> int:
        """Side of a chunk of level 0, px."""
        return int(max(self.levels[0].chunks))

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the group."""
        return dict(self.group.attrs.asdict())

    def set_attributes(self, attributes: Mapping[str, Any], classes: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Set some of the group's attributes in one atomic write.

        Parameters
        ----------
        attributes : mapping of str to object
            New values, under keys other than ``"ome"``.
        classes : sequence of mapping of str to object or None, optional
            Classes as for :meth:`create`, which replace the present ones. None keeps these.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable.
        """
        ome = (
            {}
            if classes is None
            else {"ome": self.attributes["ome"] | {"image-label": _image_label(classes, self.path)}}
        )
        with ngff_writing.writing(self.path):
            self.group.update_attributes({**attributes, **ome})

    @property
    def classes(self) -> list[dict[str, Any]]:
        """``{"name": str, "color": [r, g, b]}`` of class 0, 1, ..., empty if there are none."""
        return ngff.label_classes(self.group)

    def read(self, window: IntWindow, level: int = 0) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of ``level``, half open. It may reach outside.
        level : int, optional
            Index of the level.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0]
            Values, 0 outside the image.

        Raises
        ------
        InputError
            The label image was deleted meanwhile, or a chunk is damaged.
        """
        array = self._stored[level]
        values = read_padded(lambda rows, columns: np.asarray(array[rows, columns]), array.shape, window)
        if not values.any():  # so read chunks that were never written, and those of a folder that is gone
            self._require_there(level)
        return values

    def _require_there(self, level: int) -> None:
        """Refuse a level whose folder was deleted after it was opened."""
        array = self.levels[level]
        folder = Path(array.store.root, array.path) if isinstance(array.store, LocalStore) else self.path
        if not folder.exists():
            raise InputError(f"{self.path}: {ngff.GONE}")

    def write(self, y0: int, x0: int, block: NDArray[np.uint8]) -> None:
        """Write a block to level 0.

        The coarser levels are updated by :meth:`update_levels`.

        Parameters
        ----------
        y0, x0 : int
            Position of the block's first px.
        block : ndarray of uint8 [y, x]
            Values to write.

        Raises
        ------
        ValueError
            The block reaches outside, or is not uint8 [y, x].
        OutputError
            The disk is full or the location is not writable.
        """
        height, width = self.shape
        if block.dtype != np.uint8 or block.ndim != 2:
            raise ValueError(f"a label block is uint8 [y, x], not {block.dtype} of shape {block.shape}")
        y1, x1 = y0 + block.shape[0], x0 + block.shape[1]
        if y0 < 0 or x0 < 0 or y1 > height or x1 > width:
            raise ValueError(f"block ({y0}, {x0}, {y1}, {x1}) reaches outside {self.shape}")
        with ngff_writing.writing(self.path):
            self._stored[0][y0:y1, x0:x1] = block

    def update_levels(self, window: FloatWindow) -> None:
        """Synchronize the coarser levels with level 0 in a window.

        Parameters
        ----------
        window : FloatWindow
            (y0, x0, y1, x1), level-0 px. What lies outside the image is disregarded.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable.
        """
        height, width = self.shape
        rows, columns = (
            (max(floor(start), 0), min(ceil(stop), size))
            for start, stop, size in ((window[0], window[2], height), (window[1], window[3], width))
        )
        with ngff_writing.writing(self.path):
            for finer, coarser in pairwise(self._stored):
                steps = [_Step.between(*sizes) for sizes in zip(finer.shape, coarser.shape, strict=True)]
                rows, columns = (step.coarser(part) for step, part in zip(steps, (rows, columns), strict=True))
                for y in _pieces(*rows, coarser.chunks[0], steps[0].ratio):
                    for x in _pieces(*columns, coarser.chunks[1], steps[1].ratio):
                        (y_box, y_inner), (x_box, x_inner) = steps[0].finer(y), steps[1].finer(x)
                        coarser[y, x] = np.asarray(finer[y_box, x_box])[y_inner][:, x_inner]


@dataclass(frozen=True)
class _Step:
    """The step from one level to the next along an axis: px i of the coarser is px ``i * over // under`` of the finer.

    Attributes
    ----------
    over, under : int
        Ratio of the two.
    size : int
        Length of the coarser level, px.
    """

    over: int
    under: int
    size: int

    @classmethod
    def between(cls, finer: int, coarser: int) -> _Step:
        """Return the step between two lengths: a whole ratio where they are rounded from one."""
        whole = max(1, round(finer / coarser))
        is_whole = coarser in (finer // whole, -(-finer // whole))
        return cls(whole, 1, coarser) if is_whole else cls(finer, coarser, coarser)

    @property
    def ratio(self) -> float:
        """Number of finer px per coarser px."""
        return self.over / self.under

    def coarser(self, part: tuple[int, int]) -> tuple[int, int]:
        """Return the coarser px, (first, end), that are taken from a part of the finer ones."""
        start, stop = (min(-(-edge * self.under // self.over), self.size) for edge in part)
        return start, stop

    def finer(self, part: slice) -> tuple[slice, slice | NDArray[np.int64]]:
        """Return the finer px to read for coarser ones, and the index of those taken in them."""
        if self.under == 1:
            start, stop = part.start * self.over, (part.stop - 1) * self.over + 1
            return slice(start, stop), slice(None, None, self.over)
        taken = np.arange(part.start, part.stop, dtype=np.int64) * self.over // self.under
        return slice(int(taken[0]), int(taken[-1]) + 1), taken - taken[0]


def _factors(shapes: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """Return the level-0 px per px of each level."""
    factors = [(1.0, 1.0)]
    for before, after in pairwise(shapes):
        y, x = (_Step.between(*sizes).ratio for sizes in zip(before, after, strict=True))
        factors.append((factors[-1][0] * y, factors[-1][1] * x))
    return factors


def _pieces(start: int, stop: int, chunk: int, ratio: float) -> Iterator[slice]:
    """Split a range at chunk borders into pieces that are taken from about ``UPDATE_PX`` px."""
    step = max(1, int(UPDATE_PX / ratio) // chunk) * chunk
    while start < stop:
        end = min(stop, (start // step + 1) * step)
        yield slice(start, end)
        start = end


def _image_label(classes: Sequence[Mapping[str, Any]], path: Path) -> dict[str, Any]:
    values = list(enumerate(classes, start=1))
    described: dict[str, Any] = {
        "version": ngff_writing.VERSION,
        "colors": [{"label-value": value, "rgba": [*map(int, c["color"][:3]), 255]} for value, c in values],
        "properties": [{"label-value": value, "name": str(c["name"])} for value, c in values],
    }
    if path.parent.name == "labels":
        described["source"] = {"image": "../../"}
    return described
