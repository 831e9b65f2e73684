"""Exports have the colors that the window shows: map-like ones where nobody chose others, the user's first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import parse

import numpy as np
import pytest
import zarr
from PIL import Image

from fctl_napari.class_colors import DEEPGLOBE, NAMED
from fctl_napari.exceptions import InputError
from fctl_napari.exporting.export import export
from fctl_napari.imagery.formats.ngff import label_classes
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.remembered_colors import colors_path, remember_colors
from fctl_napari.segmentation.store.store import Segmentation

NAMES, OWN = zip(*DEEPGLOBE, strict=True)
"""Classes whose colors are those of masks, which nobody chose to be looked at."""

CHOSEN = (1, 2, 3)


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(1, len(NAMES) + 1, (40, 60), np.uint8).repeat(4, 0).repeat(4, 1)


@pytest.fixture
def segmentation(
    labels: np.ndarray,
    make_segmentation: Callable[..., Segmentation],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Segmentation:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    remember_colors({"barren": CHOSEN})
    return make_segmentation(labels, names=NAMES, colors=OWN)


def test_every_kind_has_the_colors_of_the_window(
    segmentation: Segmentation, labels: np.ndarray, tmp_path: Path
) -> None:
    assert [info.color for info in segmentation.class_table] == list(OWN)
    shown = {name: NAMED[name] for name in NAMES} | {"barren": CHOSEN}
    hexes = {name: "#{:02x}{:02x}{:02x}".format(*color) for name, color in shown.items()}

    tiff = export(segmentation, tmp_path / "map.tif")
    palette = np.array(Image.open(tiff).getpalette()).reshape(-1, 3)[: len(NAMES)]
    assert [tuple(color) for color in palette.tolist()] == list(shown.values())
    entries = parse(tiff.with_suffix(".qml")).getroot().iter("paletteEntry")
    assert {entry.get("label"): entry.get("color") for entry in entries} == hexes

    pytest.importorskip("rasterio")
    polygons = json.loads(export(segmentation, tmp_path / "map.geojson").read_text())["features"]
    assert {(one["properties"]["class"], one["properties"]["color"]) for one in polygons} == set(hexes.items())
    coco = json.loads(export(segmentation, tmp_path / "map.coco.json").read_text())["categories"]
    assert {one["name"]: tuple(one["color"]) for one in coco} == shown
    group = zarr.open_group(export(segmentation, tmp_path / "map.ome.zarr"), mode="r")
    assert {one["name"]: tuple(one["color"]) for one in label_classes(group)} == shown

    # what is written in other colors is read back all the same, by the names of the classes
    for name in ("map.tif", "map.ome.zarr"):
        read = open_ground_truth(tmp_path / name, colors=list(OWN))
        assert read.class_names[: len(NAMES)] == NAMES
        np.testing.assert_array_equal(read.read((0, 0, *labels.shape)), labels - np.uint8(1))


def test_damaged_colors_are_said_before_anything_is_written(segmentation: Segmentation, tmp_path: Path) -> None:
    colors_path().write_text("no json")
    with pytest.raises(InputError, match=r"class_colors\.json: holds no colors of classes .*delete it\.$"):
        export(segmentation, tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()
