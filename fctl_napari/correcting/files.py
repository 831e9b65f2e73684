"""Import and export of corrections: labels, GeoTIFFs of class indices, GeoJSON polygons, and our exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.correction_store import is_corrections
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.merge import MergeReport, Policy, blocks_of, take
from fctl_napari.exceptions import InputError
from fctl_napari.exporting.export import Kind, check_export, export
from fctl_napari.exporting.losses import ExportLosses
from fctl_napari.imagery.labels.class_mapping import ClassMapping, MappedGroundTruth
from fctl_napari.imagery.labels.class_names import match_names
from fctl_napari.imagery.labels.color_key import NO_CLASS
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.imagery.labels.polygon_files import is_polygon_file
from fctl_napari.imagery.labels.polygons import NamedPolygons, polygon_classes
from fctl_napari.imagery.labels.raster_alignment import raster_offset
from fctl_napari.model.classes import NOT_SURE, ClassTable
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.stored_image import note_on_image
from fctl_napari.windows import IntWindow, Window

MAPPED = 'with `fctl corrections import --map FILE`, {"values": {"it": "the class"}}'
"""Advice on how to state the class of a foreign value."""

UNPLACED_KINDS: tuple[Kind, ...] = ("png", "tiff")
"""Formats that are cut to a region. The others state where in the image it lies."""


class ClassIndices(Protocol):
    """Class indices, read by windows: a ``LabelSource``, a ``MappedGroundTruth``, or anything like it."""

    @property
    def path(self) -> str:
        """Location, for messages."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of class 0, 1, ..., where they are known."""

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read class indices of a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, half open. It may reach outside.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0]
            Class indices. Pixels without a class and pixels outside have 255.
        """


def import_labels(
    corrections: Corrections,
    labels: ClassIndices | LabelPyramid,
    *,
    author: str,
    at: tuple[int, int] | None = None,
    policy: Policy = "mine",
    progress: Progress | None = None,
) -> MergeReport:
    """Import labels into corrections, as one action that can be undone.

    Parameters
    ----------
    corrections : Corrections
        Corrections that are open for writing.
    labels : ClassIndices or LabelPyramid
        Class indices, or a label pyramid. Classes with names are matched by them. Classes that the table ignores become
        "not sure".
    author : str
        Author of the labels.
    at : tuple of 2 int or None, optional
        Position of the labels' first px in the image, (y, x). What reaches outside is left out. None: they are
        as large as the image.
    policy : Policy, optional
        See ``merge``.
    progress : Progress or None, optional
        See ``merge``.

    Returns
    -------
    MergeReport
        Counts of what was new, conflicts, and notes.

    Raises
    ------
    InputError
        They have another size, hold a class that the corrections do not have, or are damaged.
    OutputError
        See ``merge``.
    """
    layer = _IndexLayer(corrections, _as_indices(labels), author, at)
    done = take(corrections, [layer], kind="import", policy=policy, progress=progress)
    return replace(done, notes=(*done.notes, *layer.notes()))


def import_file(
    corrections: Corrections,
    path: Path | str,
    *,
    author: str,
    mapping: Path | None = None,
    column: str | None = None,
    policy: Policy = "mine",
    progress: Progress | None = None,
) -> MergeReport:
    """Import a file into corrections, as one action that can be undone.

    Parameters
    ----------
    corrections : Corrections
        Corrections that are open for writing.
    path : Path or str
        ``.geojson``, ``.json``, ``.gpkg``, ``.shp``, ``.fgb``: polygons, see ``NamedPolygons``; ``"not sure"`` is the
        name of what is not sure. A PNG, a TIFF or an OME-Zarr label: see ``open_ground_truth``. A GeoTIFF lies where
        its georeference says, on whole px of the image.
    author : str
        Author of the file's labels.
    mapping : Path or None, optional
        Mapping of each value of labels, or of each number that stands for the class of polygons, to a class. See
        ``ClassMapping.read``.
    column : str or None, optional
        For polygons: the property that names the class. None: see ``read_polygons``.
    policy : Policy, optional
        See ``merge``.
    progress : Progress or None, optional
        See ``merge``.

    Returns
    -------
    MergeReport
        Counts of what was new, conflicts, and notes.

    Raises
    ------
    InputError
        The file is missing, damaged, of another size or location, or names a class that the corrections do not have.
    OutputError
        See ``merge``.
    """
    path = Path(path)
    if is_polygon_file(path):
        polygons = NamedPolygons(
            path,
            corrections.georeference,
            corrections.shape,
            column=column,
            mapped=None if mapping is None else polygon_classes(mapping, corrections.class_table.names),
            image=corrections.image_path,
        )
        layer = _PolygonLayer(corrections, str(path), polygons, author)
        done = take(corrections, [layer], kind="import", policy=policy, progress=progress)
        return replace(done, notes=polygons.notes)
    if is_corrections(path):
        raise InputError(f"{path}: holds corrections; merge them, so that authors and what is not sure are kept.")
    source = open_ground_truth(path, corrections.class_table.colors, by_value=mapping is not None)
    labels: ClassIndices = source
    if mapping is not None:
        labels = MappedGroundTruth(source, ClassMapping.read(mapping, corrections.class_table.names))
    at = _offset(path, source, corrections)
    done = import_labels(corrections, labels, author=author, at=at, policy=policy, progress=progress)
    note = note_on_image(path, corrections.facts["image"])
    return replace(done, notes=(*done.notes, note)) if note else done


def export_corrections(
    corrections: Corrections,
    out: Path | str,
    *,
    kind: Kind | None = None,
    region: IntWindow | None = None,
    simplify: float | None = None,
    min_area: int = 0,
    losses: ExportLosses | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write corrections for other programs.

    Pixels that are not sure have no class. For formats that state the position of their parts, only what is painted is
    read.

    Parameters
    ----------
    corrections : Corrections
        Corrections to export.
    out : Path or str
        File or folder to write.
    kind : Kind or None, optional
        Format. None: by the name of ``out``.
    region : IntWindow or None, optional
        (y0, x0, y1, x1), px. None: the whole image.
    simplify : float or None, optional
        See ``export.export``.
    min_area : int, optional
        See ``export.export``.
    losses : ExportLosses or None, optional
        See ``export.export``.
    progress : Progress or None, optional
        See ``export.export``.

    Returns
    -------
    Path
        Location that was written.

    Raises
    ------
    InputError
        See ``export.export``.
    OutputError
        See ``export.export``.
    """
    kind = check_export(Path(out), kind, simplify=simplify, min_area=min_area)
    if region is None and kind not in UNPLACED_KINDS:
        boxes = np.array(list(corrections.corrected_windows()) or [(0, 0, 1, 1)])
        (y0, x0), (y1, x1) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
        region = (y0, x0, y1, x1)
    return export(
        corrections,
        out,
        kind=kind,
        region=region,
        simplify=simplify,
        min_area=min_area,
        losses=losses,
        progress=progress,
    )


class _IndexLayer:
    """A layer of class indices somewhere in the image, by one author."""

    def __init__(self, corrections: Corrections, labels: ClassIndices, author: str, at: tuple[int, int] | None) -> None:
        height, width = corrections.shape
        if tuple(labels.shape) != (height, width) and at is None:
            raise InputError(
                f"{labels.path}: is {labels.shape[0]} x {labels.shape[1]} px (height x width) and the image {height} x "
                f"{width}; give labels of the same image."
            )
        self.name = labels.path
        self.authors = (author,)
        self._labels = labels
        self._at = at or (0, 0)
        self._shape = corrections.shape
        self._table = corrections.class_table
        self._values = _values(self._table, labels.class_names)
        self._seen = np.zeros(NO_CLASS + 1, bool)

    def blocks(self) -> list[IntWindow]:
        (y, x), (height, width) = self._at, self._labels.shape
        return blocks_of([Window(y, x, y + height, x + width).clip(self._shape)], self._shape)

    def state(self, window: IntWindow) -> NDArray[np.uint8]:
        y, x = self._at
        y0, x0, y1, x1 = window
        indices = self._labels.read((y0 - y, x0 - x, y1 - y, x1 - x))
        values = self._values[indices]
        self._seen |= np.bincount(indices.ravel(), minlength=len(self._seen)) > 0
        strays = indices[values < 0]
        if strays.size:
            index, names = int(strays[0]), self._labels.class_names
            named = names is not None and index < len(names) and names[index]
            value = index + int(getattr(self._labels, "one_based", False))
            what = f"the class {names[index]!r}" if names is not None and named else f"the value {value}"
            raise InputError(
                f"{self.name}: holds {what}, which is none of the classes {', '.join(self._table.names)}; change it "
                f"there, or state which class it is: {MAPPED}."
            )
        found = values.astype(np.uint8)
        return np.stack([found, (found != 0).astype(np.uint8)])

    def notes(self) -> list[str]:
        """Describe how the labels were read, where that is not plain."""
        said = [note] if (note := getattr(self._labels, "note", "")) else []
        plain = isinstance(self._labels, LabelSource) and not self._labels.one_based and not self._labels.by_color
        if plain and self._labels.class_names is None and np.flatnonzero(self._seen).tolist() == [0, NO_CLASS]:
            name = self._table.classes[0].name
            said.append(
                f"the mask holds 0 and 255 alone: 0 was taken as {name}, and 255 as nothing; undo it if 255 is a class"
            )
        return said


class _PolygonLayer:
    """A layer of polygons in the image, by one author."""

    def __init__(self, corrections: Corrections, name: str, polygons: NamedPolygons, author: str) -> None:
        self.name = name
        self.authors = (author,)
        self._polygons = polygons
        self._shape = corrections.shape
        table = corrections.class_table
        values = _values(table, polygons.names)[: len(polygons.names)]
        for polygon_name, value in zip(polygons.names, values.tolist(), strict=True):
            if value < 0:
                raise InputError(
                    f"{name}: has polygons of the class {polygon_name!r}, which is none of {', '.join(table.names)}; "
                    f"rename it there, or state which class it is: {MAPPED}."
                )
        self._values = values.astype(np.uint8)

    def blocks(self) -> list[IntWindow]:
        return blocks_of(self._polygons.windows(), self._shape)

    def state(self, window: IntWindow) -> NDArray[np.uint8]:
        found = self._polygons.burn(window, self._values)
        return np.stack([found, (found != 0).astype(np.uint8)])


def _as_indices(labels: ClassIndices | LabelPyramid) -> ClassIndices:
    if not isinstance(labels, LabelPyramid):
        return labels
    names = tuple(str(info["name"]) for info in labels.classes)
    return LabelSource(str(labels.path), labels.levels[0], labels.shape, one_based=True, class_names=names or None)


def _values(table: ClassTable, names: Sequence[str] | None) -> NDArray[np.int16]:
    """Compute the values of corrections by class index of others, int16 [256], -1 for what is no class here."""
    own = np.array([NOT_SURE if info.ignored else k + 1 for k, info in enumerate(table)], np.int16)
    found = np.full(256, -1, np.int16)
    if names is None:
        found[: len(own)] = own
    else:
        named = [*(info.name for info in table), "not sure"]  # "not sure" as our own files name it
        index = match_names(list(names)[:NO_CLASS], named).index
        found[: len(index)] = [-1 if k is None else [*own, NOT_SURE][k] for k in index]
    found[NO_CLASS] = 0
    return found


def _offset(path: Path, source: LabelSource, corrections: Corrections) -> tuple[int, int] | None:
    """Compute the position of a raster's first px in the image, (y, x). None without a georeference."""
    at = raster_offset(path, corrections.georeference)
    if at is not None:
        (y, x), (height, width) = at, corrections.shape
        if y >= height or x >= width or y + source.shape[0] <= 0 or x + source.shape[1] <= 0:
            raise InputError(f"{path}: lies outside the image; give labels of the same area.")
    return at
