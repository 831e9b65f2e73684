"""Conversion of a data set to OME-Zarr, whose crops are read by chunks, where a JPEG has to be decoded whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fctl_napari.datasets.files import PARTS, Pair
from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.datasets.layouts import TABLE, DataSet
from fctl_napari.datasets.read_ahead import read_ahead
from fctl_napari.datasets.scene_ground_truth import SceneGroundTruth
from fctl_napari.exceptions import OutputError
from fctl_napari.files import atomic_write, write_json
from fctl_napari.imagery.band_names import band_names_in
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import ATTRIBUTE

CHUNK = 512
SHELF_BYTES = 2**28


def convert_data_set(data: DataSet, out: Path | str, *, progress: Progress | None = None) -> Path:
    """Write every pair of a data set as ``NAME.ome.zarr`` with ``labels/truth``, with its classes and its split.

    The copy is a data set of the same layout, classes, names and split. A second call resumes an interrupted one.

    Parameters
    ----------
    data : DataSet
        Data set.
    out : Path or str
        Folder to write.
    progress : callable or None, optional
        Called as ``progress(done, total)`` with counts of pairs.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    InputError
        A pair is damaged.
    OutputError
        The folder lies in the data set, the two sizes of a pair differ, something else is there, the disk is full, or
        the location is not writable.
    """
    out = Path(out)
    if out.resolve().is_relative_to(data.folder.resolve()):
        raise OutputError(f"{out}: lies in the data set that is converted; choose a folder outside.")
    shelf = Shelf(SHELF_BYTES)
    for done, _ in enumerate(read_ahead(lambda pair: _convert_pair(data, pair, out, shelf), data.pairs), 1):
        if progress is not None:
            progress(done, len(data.pairs))
    for part in PARTS:
        with atomic_write(out / f"{part}.txt", "w") as file:
            file.writelines(f"{pair.name}\n" for pair in data.split.part(part))
    classes = [info.model_dump(mode="json") for info in data.table]
    write_json(out / TABLE, {"layout": data.layout, "classes": classes})
    return out


def _convert_pair(data: DataSet, pair: Pair, out: Path, shelf: Shelf) -> None:
    target = out / f"{pair.name}.ome.zarr"
    image = open_image(pair.image, value_range=data.value_range, bands=data.bands)
    if band_names_in(data.bands) is None:
        image.require_rgb()
    ground_truth = SceneGroundTruth(pair.ground_truth, data.table, shelf, data.values, image)
    if ground_truth.shape != image.shape:
        raise OutputError(f"{pair.ground_truth}: is not of the size of its image; look the data set through first.")
    convert(image, target, chunk=CHUNK, threads=1)
    classes = [info.model_dump(mode="json") for info in data.table]
    _write_ground_truth(ground_truth, target / "labels" / "truth", classes, data.values, image.georeference)


def _write_ground_truth(
    ground_truth: SceneGroundTruth,
    path: Path,
    classes: list[dict[str, object]],
    values: Mapping[int, int] | None,
    over: Georeference | None,
) -> None:
    facts = ground_truth.path.stat()
    state: dict[str, object] = {"source": [facts.st_mtime_ns, facts.st_size], "classes": classes, "complete": True}
    if values is not None:  # the same file may hold other classes under another mapping
        state["values"] = {str(value): index for value, index in values.items()}
    if over is not None:  # earlier versions took px for px
        state["over"] = list(over.transform)
    labels = LabelPyramid.open(path, "r+") if path.exists() else None
    if labels is not None and labels.attributes.get(ATTRIBUTE) == state:
        return
    if labels is None:
        labels = LabelPyramid.create(path, ground_truth.shape, chunk=CHUNK, classes=classes)
    else:
        labels.set_attributes({ATTRIBUTE: {}}, classes)  # incomplete until all of it is rewritten
    height, width = ground_truth.shape
    for top in range(0, height, CHUNK):
        bottom = min(top + CHUNK, height)
        block = ground_truth.stored((slice(top, bottom), slice(0, width)))
        labels.write(top, 0, block + 1)  # 255 (none) wraps to 0, k becomes k + 1
    labels.update_levels((0, 0, height, width))
    labels.set_attributes({ATTRIBUTE: state})
