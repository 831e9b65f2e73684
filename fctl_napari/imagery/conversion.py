"""Folders of conversions: what they say of themselves, and their pieces, written and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.exceptions import OutputError
from fctl_napari.imagery.formats import ngff_writing
from fctl_napari.imagery.formats.ome_zarr import OURS
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.formats.zarr_validity import KEY, described
from fctl_napari.imagery.formats.zipped import zip_file
from fctl_napari.imagery.halving import halve_mask, halving
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.numbered import image_file
from fctl_napari.imagery.old_fingerprint import old_fingerprints
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.validity import Mask, StoredMask
from fctl_napari.windows import IntWindow

CHUNK = 512
"""Side of a chunk, px."""


def create_conversion(
    source: Pyramid, out: Path, chunk: int = CHUNK, facts: Mapping[str, Any] | None = None
) -> zarr.Group:
    """Create the folder of a conversion, with its levels empty.

    Parameters
    ----------
    source : Pyramid
        Image to convert.
    out : Path
        Folder, which is not there or is empty.
    chunk : int, optional
        Side of a chunk, px.
    facts : mapping of str to object or None, optional
        Further attributes of ours.

    Returns
    -------
    zarr.Group
        Group, open for writing.

    Raises
    ------
    OutputError
        The disk is full or the location is not writable.
    """

    def fill(group: zarr.Group) -> None:
        shapes = ngff_writing.level_shapes(source.shape)
        levels = ngff_writing.create_levels(group, "cyx", shapes, chunk, source.dtype, source.channels)
        validity = described(source.validity)
        if validity and "values" not in validity:
            ngff_writing.create_levels(group.create_group(KEY), "yx", shapes, chunk, np.uint8)
        multiscale = ngff_writing.multiscale_metadata(
            source.name,
            "cyx",
            ngff_writing.halved_factors(len(levels)),
            kind="mean",
            pixel_size=source.pixel_size,
            translation=source.translation,
            unit=source.unit,
            centred=True,
        )
        ome: dict[str, Any] = {"version": ngff_writing.VERSION, "multiscales": [multiscale]}
        bands = source.bands or (0, 1, 2)
        if source.channels == 3 and source.dtype == np.uint8 and len(set(bands)) == 3:
            ome["omero"] = _rgb_channels(bands)
        ours: dict[str, Any] = {"source": identity_of(source), "complete": False, KEY: validity, **(facts or {})}
        if source.path is not None:
            ours["source_fingerprint"] = old_fingerprints(source)[0]  # for stores of earlier versions
        ours |= {name: value for name, value in changeable(source).items() if value is not None}
        if any(source.band_names):
            ours["band_names"] = list(source.band_names)
        group.update_attributes({"ome": ome, OURS: ours})

    return ngff_writing.create_group(out, fill)


def source_file(path: Path | str | None) -> dict[str, Any]:
    """Describe the file that a conversion is made from, and its state.

    Parameters
    ----------
    path : Path, str or None
        File, address, or None.

    Returns
    -------
    dict of str to object
        ``path`` and ``modified_ns``. The latter is None for an address, whose state is not known.
    """
    if path is None or is_url(path):
        return {"path": path, "modified_ns": None}
    file = Path(path).resolve()
    holder = zip_file(file) or image_file(file)
    return {"path": str(file), "modified_ns": holder.stat().st_mtime_ns}


def identity_of(source: Pyramid) -> dict[str, Any]:
    """Return the properties that must be the same for a conversion to be resumed.

    Parameters
    ----------
    source : Pyramid
        Image that is converted.

    Returns
    -------
    dict of str to object
        What :func:`source_file` says, and ``shape``, ``channels`` and ``dtype``.
    """
    return {
        **source_file(source.path),
        "shape": list(source.shape),
        "channels": source.channels,
        "dtype": str(source.dtype),
    }


def changeable(source: Pyramid) -> dict[str, Any]:
    """Return what may change while the values stay as they are: settings for their display, and the position.

    Parameters
    ----------
    source : Pyramid
        Image that is converted.

    Returns
    -------
    dict of str to object
        ``georeference``, ``value_range`` and ``bands``.
    """
    located = source.georeference
    return {
        "georeference": None if located is None else {"crs": located.crs, "transform": list(located.transform)},
        "value_range": None if source.value_range is None else list(source.value_range),
        "bands": None if source.bands is None else list(source.bands),
    }


def our_attributes(group: zarr.Group) -> dict[str, Any]:
    """Return what a conversion says of itself.

    Parameters
    ----------
    group : zarr.Group
        Any group.

    Returns
    -------
    dict of str to object
        Our attributes. Empty for what is no conversion.
    """
    ours = group.attrs.asdict().get(OURS)
    return ours if isinstance(ours, dict) else {}


def save_attributes(group: zarr.Group, out: Path, state: dict[str, Any]) -> None:
    """Write what a conversion says of itself.

    Parameters
    ----------
    group : zarr.Group
        Its group.
    out : Path
        Its folder, for messages.
    state : dict of str to object
        All of our attributes. Those that are None are left out.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.
    """
    with ngff_writing.writing(out):
        group.update_attributes({OURS: {key: value for key, value in state.items() if value is not None}})


@dataclass(frozen=True)
class Copier:
    """Writer of the pieces of a conversion.

    Attributes
    ----------
    source : Pyramid
        Image.
    stores : list of zarr.Array
        Levels to write.
    masks : list of zarr.Array
        Masks of these levels to write. Empty if the image has none, or if values mark what holds no data.
    out : Path
        Folder of the conversion, for messages.
    own : frozenset of int
        Levels that are copied from the image. Each other one is halved from the one before.
    """

    source: Pyramid
    stores: list[zarr.Array[Any]]
    masks: list[zarr.Array[Any]]
    out: Path
    own: frozenset[int] = frozenset([0])

    def finer(self, index: int) -> Level:
        """Return the level that a level is made of.

        Parameters
        ----------
        index : int
            Index of the level.

        Returns
        -------
        Level
            That of the image, or the level before in the conversion.
        """
        return self.source.levels[index] if index in self.own else Level(self.stores[index - 1], "cyx")

    def copy(self, index: int, rows: slice, columns: slice) -> None:
        """Write one piece of a level and check that it reads back the same.

        Parameters
        ----------
        index : int
            Index of the level.
        rows, columns : slice
            The piece, px of the level.

        Raises
        ------
        InputError
            The image is damaged there.
        OutputError
            The disk is full, or the piece reads back differently.
        """
        if index in self.own:
            window = (rows.start, columns.start, rows.stop, columns.stop)
            block = self.source.read_native(window, index)
            mask = self._mask(index, window) if self.masks else None
        else:
            height, width = self.stores[index - 1].shape[1:]
            window = (2 * rows.start, 2 * columns.start, min(2 * rows.stop, height), min(2 * columns.stop, width))
            try:
                block, mask = self._halved(index, window)
            except Exception as error:  # what was written is read here too
                raise _differs(self.out, index, rows) from error
        self._write(self.stores[index], index, (slice(None), rows, columns), block.transpose(2, 0, 1))
        if mask is not None:
            self._write(self.masks[index], index, (rows, columns), mask[..., 0])

    def _mask(self, index: int, window: IntWindow) -> NDArray[np.uint8]:
        assert self.source.validity is not None
        valid = self.source.validity.masks[index].valid(window, None, ())
        return np.where(valid, np.uint8(255), np.uint8(0))

    def _halved(self, index: int, window: IntWindow) -> tuple[NDArray[Any], NDArray[Any] | None]:
        y0, x0, y1, x1 = window
        finer = self.finer(index)
        mask: Mask | None = None if self.source.validity is None else self.source.validity.masks[0]
        if not self.masks:
            return halving(mask, finer.dtype, finer.shape[2])(finer[y0:y1, x0:x1], window), None
        own = Level(self.masks[index - 1], "yx")
        mask = StoredMask(own, 0, finer.shape[:2])
        block = halving(mask, finer.dtype, finer.shape[2])(finer[y0:y1, x0:x1], window)
        return block, halve_mask(own[y0:y1, x0:x1])

    def _write(self, array: zarr.Array[Any], index: int, part: tuple[slice, ...], block: NDArray[Any]) -> None:
        with ngff_writing.writing(self.out):
            array[part] = block
        try:
            stored = np.asarray(array[part])
        except Exception as error:  # codecs raise what they like
            raise _differs(self.out, index, part[-2]) from error
        if not np.array_equal(stored, block, equal_nan=block.dtype.kind == "f"):
            raise _differs(self.out, index, part[-2])


def mask_arrays(group: zarr.Group, levels: int) -> list[zarr.Array[Any]]:
    """Return the arrays of the masks of a conversion.

    Parameters
    ----------
    group : zarr.Group
        Group of the conversion.
    levels : int
        Number of its levels.

    Returns
    -------
    list of zarr.Array
        Masks of the levels. Empty where it has none.
    """
    if KEY not in group:
        return []
    return [group[f"{KEY}/{index}"] for index in range(levels)]  # type: ignore[misc]


def _differs(out: Path, index: int, rows: slice) -> OutputError:
    return OutputError(
        f"{out}: rows {rows.start} to {rows.stop} of level {index} do not read back as they were written; check the "
        "disk, and convert to another path."
    )


def _rgb_channels(bands: tuple[int, int, int]) -> dict[str, Any]:
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    colors = [("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF")]
    return {
        "channels": [
            {"label": name, "color": color, "active": True, "window": dict(window)}
            for name, color in (colors[bands.index(channel)] for channel in range(3))
        ],
        "rdefs": {"model": "color"},
    }
