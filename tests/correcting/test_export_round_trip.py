"""What is exported is read back by the names of its classes, in whatever order the reader has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.files import export_corrections, import_file
from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.datasets.scene_ground_truth import SceneGroundTruth
from fctl_napari.evaluation.agreement import compare
from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.exceptions import InputError
from fctl_napari.exporting.export import export
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.pyramid import Georeference
from fctl_napari.model.classes import ClassTable
from fctl_napari.segmentation.store.store import Segmentation

NAMES, OTHER = ("red", "grün <&>", "blue"), ("blue", "Red", "grün <&>", "cloud")
PLACE = Georeference("EPSG:32633", (0.5, 0.0, 400000.0, 0.0, -0.5, 5200000.0))
KINDS = [("a.png", None), ("a.tif", None), ("a.tif", PLACE), ("a.ome.zarr", None)]


def table(names: tuple[str, ...]) -> ClassTable:
    return ClassTable.model_validate({"classes": [{"name": n, "color": (k, 9, 9)} for k, n in enumerate(names)]})


def ground_truth() -> np.ndarray:
    values = np.kron(np.random.default_rng(0).integers(0, 3, (5, 7)), np.ones((20, 20), int)).astype(np.uint8)
    values[:9, :30] = 255
    return values


@pytest.mark.parametrize(("name", "location"), KINDS)
def test_by_their_names(
    name: str, location: Georeference | None, make_segmentation: Callable[..., Segmentation], tmp_path: Path
) -> None:
    values = ground_truth()
    store = make_segmentation(values + np.uint8(1), names=NAMES, georeference=location)
    path = export(store, tmp_path / name)
    source = open_ground_truth(path, store.class_table.colors)
    assert source.class_names == NAMES
    assert np.array_equal(source.read((0, 0, *values.shape)), values)
    if path.suffix == ".tif":
        assert Image.open(path).mode == "P"

    # another table: evaluation, comparison, training, corrections
    moved = np.array([1, 2, 0, *[255] * 253], np.uint8)[values]
    there = make_segmentation(moved + np.uint8(1), names=OTHER, georeference=location, path=tmp_path / "other.ome.zarr")
    source = open_ground_truth(path, there.class_table.colors)
    assert evaluate(there, source).scores.accuracy == 1
    assert evaluate(there, source).scores.pixels == (values != 255).sum()
    agreement = compare(there, there, source)
    assert agreement.ground_truth is not None
    assert agreement.ground_truth.pixels["both right"] == (values != 255).sum()
    assert np.array_equal(np.asarray(SceneGroundTruth(path, table(OTHER), Shelf(2**24))), moved)
    image = pyramid_from_array(np.zeros((*values.shape, 3), np.uint8), georeference=location)
    with Corrections.open_or_create(tmp_path / "c.ome.zarr", image, table(OTHER)) as corrections:
        import_file(corrections, path, author="me")
        assert np.array_equal(corrections.read((0, 0, *values.shape)), moved + np.uint8(1))
        again = export_corrections(corrections, tmp_path / f"again{''.join(path.suffixes)}")
    assert np.array_equal(np.asarray(SceneGroundTruth(again, table(NAMES), Shelf(2**24)))[9:], values[9:])

    with pytest.raises(InputError, match="its classes are red, grün"):
        SceneGroundTruth(path, table(("eau", "bois", "ville")), Shelf(2**24))[0:5, 0:5]
    # but where its values are stated, they count
    stated = SceneGroundTruth(path, table(("eau", "bois", "ville")), Shelf(2**24), {0: 2, 1: 1, 2: 0, 3: 2, 255: 255})
    first = 1 if path.suffix == ".zarr" else 0
    assert stated[30:31, 40:41] == {0: 2, 1: 1, 2: 0, 3: 2}[int(values[30, 40]) + first]


def test_gdal_keeps_the_names_in_the_file(make_segmentation: Callable[..., Segmentation], tmp_path: Path) -> None:
    import rasterio

    values = ground_truth()
    store = make_segmentation(values + np.uint8(1), names=NAMES, georeference=PLACE)
    export(store, tmp_path / "a.tif")
    assert {file.name for file in tmp_path.glob("a*")} == {"a.tif", "a.qml"}  # no .aux.xml
    with (
        rasterio.open(tmp_path / "a.tif") as dataset,
        rasterio.open(tmp_path / "copy.tif", "w", **{**dataset.profile, "driver": "GTiff"}) as copy,
    ):
        copy.update_tags(**dataset.tags())
        copy.write(dataset.read())
    assert open_ground_truth(tmp_path / "copy.tif").class_names == NAMES
