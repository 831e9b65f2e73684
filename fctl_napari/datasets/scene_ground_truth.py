"""Ground truth of a scene, opened when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.class_mapping import MappedGroundTruth, as_classes
from fctl_napari.imagery.labels.color_key import STATE
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import IGNORE, ClassTable

DATA_SET_VALUES = '"values" of the classes.json of the data set'
"""Where the values of the masks of a data set are stated."""


class SceneGroundTruth:
    """Class indices [y, x] of a scene, read by slices: ``ground_truth[y0:y1, x0:x1]``.

    ``np.asarray`` reads the whole. Pixels without a class, or of a class that is ignored, have ``IGNORE`` (255).

    Parameters
    ----------
    path : Path
        File: class indices, colors of the classes, or an OME-Zarr label, whose classes are matched by their names.
    table : ClassTable
        Classes.
    shelf : Shelf
        Cache of what was opened last.
    values : mapping of int to int or None, optional
        Class index of the values of a mask of one channel. None: value k is class k, and 255 none.
    image : Pyramid or None, optional
        Image of the scene, over which the file lies by the georeferences of both. Where it holds no data there is no
        class.
    stated_in : str, optional
        Setting in which the user states ``values``, for messages. A mask of colors is then refused, as they would not
        be used. Empty: the values are those of the data set, whose masks may also be of colors.

    Attributes
    ----------
    path : Path
        File.
    shape : tuple of 2 int
        (height, width), px.
    dtype : dtype
        uint8.

    Raises
    ------
    InputError
        It is missing, is no ground truth, or does not lie over the image. The values of its pixels are checked when
        they are read.
    """

    dtype = np.dtype(np.uint8)
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        path: Path,
        table: ClassTable,
        shelf: Shelf,
        values: Mapping[int, int] | None = None,
        image: Pyramid | None = None,
        stated_in: str = "",
    ) -> None:
        self.path = path
        self.shape, self._open = shelf.ground_truth(path, table.colors, by_value=values is not None, image=image)
        self._table = table
        self._values = values
        self._stated_in = stated_in
        self._image = image if image is not None and image.masked else None

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Read a box.

        Parameters
        ----------
        key : tuple of 2 slice
            Two slices without steps.

        Returns
        -------
        ndarray of uint8 [y, x]
            Class indices, ``IGNORE`` (255) where there is none.

        Raises
        ------
        InputError
            The file is damaged here, or holds a value that is no class; or the image is damaged here.
        """
        indices = self.stored(key)
        if self._image is None:
            return indices
        (top, bottom, _), (left, right, _) = (part.indices(size) for part, size in zip(key, self.shape, strict=True))
        valid = self._image.read_valid((top, left, max(top, bottom), max(left, right)))
        return np.where(valid, indices, np.uint8(IGNORE))

    def stored(self, key: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Read a box as the file has it, wherever the image holds data.

        Parameters
        ----------
        key : tuple of 2 slice
            Two slices without steps.

        Returns
        -------
        ndarray of uint8 [y, x]
            Class indices, ``IGNORE`` (255) where there is none.

        Raises
        ------
        InputError
            The file is damaged here, or holds a value that is no class.
        """
        (top, bottom, _), (left, right, _) = (part.indices(size) for part, size in zip(key, self.shape, strict=True))
        indices = self._mapped(self._open()).read((top, left, max(top, bottom), max(left, right)))
        unscored = indices >= len(self._table.scored)
        if unscored.any():
            strange = indices[unscored & (indices != IGNORE) & (indices >= len(self._table))]
            if len(strange):
                raise InputError(
                    f"{self.path}: holds class {strange.max()}, the class table ends at {len(self._table) - 1}; "
                    f"correct the table, or state which values are which classes, null for none ({STATE})."
                )
            indices = np.where(unscored, np.uint8(IGNORE), indices)
        return indices

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole ground truth.

        Parameters
        ----------
        dtype : dtype, optional
            Data type of the result.
        copy : bool or None, optional
            False is refused, since the ground truth has to be read.

        Returns
        -------
        ndarray [y, x]
            Class indices.

        Raises
        ------
        InputError
            The file is damaged, or holds a value that is no class.
        ValueError
            ``copy`` is False.
        """
        if copy is False:
            raise ValueError("a ground truth lies on disk: it cannot become an array without a copy")
        whole = self[:, :]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __eq__(self, other: object) -> bool:
        """Refuse to compare px that were not read, since they are not compared one by one as in an array.

        Parameters
        ----------
        other : object
            Any object.

        Returns
        -------
        bool
            Never.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError("read a ground truth before comparing it, say with np.asarray")

    def describe(self) -> tuple[str, str]:
        """Describe how the classes are recognized. This opens the file.

        Returns
        -------
        by : str
            Property by which they are recognized.
        note : str
            Further note for users. Empty where all is plain.

        Raises
        ------
        InputError
            The file is damaged or is no ground truth.
        """
        source = self._open()
        note = self._mapped(source).note
        if source.by_color:
            return "the colors of the classes", note
        if source.class_names is not None:
            return "the names of the classes that the file states", note
        if self._values is not None:
            return "what is stated of its values", note
        first = int(source.one_based)
        names = [f"{first + k} {info.name}" for k, info in enumerate(self._table)]
        return f"values: {', '.join(names)}, {0 if source.one_based else IGNORE} no class", note

    def _mapped(self, source: LabelSource) -> LabelSource | MappedGroundTruth:
        if source.by_color and self._values is not None and self._stated_in:
            raise InputError(
                f"{self.path}: is a mask of colors, which say the class of each px, so {self._stated_in} cannot; leave "
                "that setting out, or save the mask as one channel of values."
            )
        ignored = [info.name for info in self._table if info.ignored]
        return as_classes(source, self._table.names, ignored, self._values, self._stated_in or DATA_SET_VALUES)
