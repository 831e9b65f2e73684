"""Data sets in the layouts in which they are published: classes, pairs, split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fctl_napari.class_colors import DEEPGLOBE
from fctl_napari.datasets.class_tables import class_table
from fctl_napari.datasets.files import Pair, Problem, find_files
from fctl_napari.datasets.split import Split, split_pairs
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.band_names import Bands
from fctl_napari.imagery.formats.ngff import is_zarr, label_classes, open_group
from fctl_napari.imagery.labels.class_mapping import ClassMapping
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.model.classes import ClassTable

Layout = Literal["deepglobe", "inria", "pairs", "omezarr"]
LAYOUTS: dict[Layout, str] = {
    "deepglobe": "DeepGlobe land cover (*_sat.jpg, *_mask.png)",
    "inria": "Inria Aerial (images/, gt/)",
    "pairs": "pairs of images and masks",
    "omezarr": "OME-Zarr images with labels",
}
TABLE = "classes.json"
INRIA_VALUES = {0: 0, 1: 1, 255: 1}
"""Buildings are 255 as published, 1 in the copies that GLNet and FCtL train on."""


@dataclass(frozen=True)
class DataSet:
    """A folder of images and ground truths.

    Attributes
    ----------
    folder : Path
        Folder.
    layout : Layout
        Layout of the folder, or of the data set that it is an OME-Zarr copy of.
    table : ClassTable
        Classes.
    values : mapping of int to int or None
        Class index of each value of its masks of one channel. None: value k is class k, and 255 none.
    pairs : tuple of Pair
        All pairs, by name.
    split : Split
        Pairs to train on, to validate on and to test on.
    without_ground_truth : tuple of Path
        Images of published test sets.
    problems : tuple of Problem
        Files that are not used, and errors in the lists.
    value_range : tuple of 2 float or None
        (low, high) values of its images that become 0 and 255. See ``DataSettings``.
    bands : Bands or None
        Indices of the red, green and blue channels of its images. See ``DataSettings``.
    """

    folder: Path
    layout: Layout
    table: ClassTable
    values: Mapping[int, int] | None
    pairs: tuple[Pair, ...]
    split: Split
    without_ground_truth: tuple[Path, ...]
    problems: tuple[Problem, ...]
    value_range: tuple[float, float] | None = None
    bands: Bands | None = None

    def describe(self) -> str:
        """Describe the layout, counts and split, and mention problems.

        Returns
        -------
        str
            Sentences for users.
        """
        split = self.split
        counts = f"{len(split.train)} to train, {len(split.val)} to validate, {len(split.test)} to test"
        said = f"{LAYOUTS[self.layout]}: {counts}, split by {split.by}."
        found = f"{len(self.problems)} thing" + ("s do" if len(self.problems) > 1 else " does")
        return f"{said} {found} not fit: fctl data check {self.folder} says what." if self.problems else said


def find_data_set(
    folder: Path | str,
    *,
    layout: Layout | Literal["auto"] = "auto",
    table: ClassTable | None = None,
    values: Mapping[int, int] | None = None,
) -> DataSet:
    """Find the pairs, classes and split of a data set. No image is decoded.

    Parameters
    ----------
    folder : Path or str
        A data set as published, any folder of pairs (see ``find_files``), or of OME-Zarr images with labels.
    layout : Layout or {"auto"}, optional
        Layout that it must have. ``"auto"`` accepts any.
    table : ClassTable or None, optional
        Its classes. The default is those of ``classes.json`` in the folder, else those of the layout, else those that
        the labels of its OME-Zarr images state.
    values : mapping of int to int or None, optional
        Class index of each value of the masks, where ``classes.json`` states none.

    Returns
    -------
    DataSet
        Data set.

    Raises
    ------
    InputError
        There are no pairs, they are laid out otherwise, or their classes are not known.
    """
    folder = Path(folder)
    files = find_files(folder)
    if not files.pairs:
        raise InputError(
            f"{folder}: holds no image with a ground truth; put masks beside their images (a_sat.jpg and a_mask.png, "
            "images/a.tif and gt/a.tif, ...), or OME-Zarr images with labels."
        )
    stated = _stated(folder)
    own = stated.get("layout") or _layout(files.pairs)
    if layout not in ("auto", own):
        raise InputError(
            f"{folder}: is laid out as {LAYOUTS[own]}, not as {LAYOUTS[layout]}; name its layout, or auto."  # type: ignore[index]
        )
    table = table or _table(folder, own, files.pairs)
    split = split_pairs(folder, own, files.pairs)
    return DataSet(
        folder,
        own,
        table,
        _values(folder, own, stated, table) or values,
        files.pairs,
        split,
        files.without_ground_truth,
        (*files.problems, *split.problems),
    )


def _stated(folder: Path) -> dict[str, Any]:
    """Read what ``classes.json`` states besides the classes."""
    path = folder / TABLE
    if is_zarr(folder) or not path.is_file():
        return {}
    ClassTable.read(path)
    stated: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if stated.get("layout") not in (None, *LAYOUTS):
        raise InputError(f"{path}: names the layout {stated['layout']!r}; choose from {', '.join(LAYOUTS)}.")
    return stated


def _layout(pairs: tuple[Pair, ...]) -> Layout:
    if all(pair.image.is_dir() for pair in pairs):
        return "omezarr"
    ends = {(_end(pair.image), _end(pair.ground_truth), pair.image.suffix.lower()) for pair in pairs}
    if ends == {("sat", "mask", ".jpg")}:
        return "deepglobe"
    folders = {(pair.image.parent.name.lower(), pair.ground_truth.parent.name.lower()) for pair in pairs}
    if ends == {("sat", "mask", ".tif")} or (folders == {("images", "gt")} and {e[2] for e in ends} == {".tif"}):
        return "inria"
    return "pairs"


def _end(path: Path) -> str:
    return path.name.split(".")[0].rsplit("_", 1)[-1].lower()


def deepglobe_table() -> ClassTable:
    """Return DeepGlobe's class table, with the unknown class last and ignored.

    Returns
    -------
    ClassTable
        Class table.
    """
    rows = [{"name": name, "color": color, "ignored": name == "unknown"} for name, color in DEEPGLOBE]
    return ClassTable.model_validate({"classes": sorted(rows, key=lambda row: bool(row["ignored"]))})


def _table(folder: Path, layout: Layout, pairs: tuple[Pair, ...]) -> ClassTable:
    if not is_zarr(folder) and (folder / TABLE).is_file():
        return ClassTable.read(folder / TABLE)
    if layout == "deepglobe":
        return deepglobe_table()
    if layout == "inria":
        return class_table("inria")
    if layout == "omezarr":
        classes = label_classes(open_group(Path(open_ground_truth(pairs[0].ground_truth).path)))
        if classes:
            return ClassTable.model_validate({"classes": classes})
    raise InputError(
        f"{folder}: its classes are not known; write {TABLE} there, "
        '{"classes": [{"name": "water", "color": [0, 0, 255]}, ...]}: class k is value k or that color of a mask.'
    )


def _values(folder: Path, layout: Layout, stated: dict[str, Any], table: ClassTable) -> Mapping[int, int] | None:
    if "values" in stated:
        ignored = [info.name for info in table if info.ignored]
        return ClassMapping.read(folder / TABLE, table.names, ignored).values
    return INRIA_VALUES if layout == "inria" else None
