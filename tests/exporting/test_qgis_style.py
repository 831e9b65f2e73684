"""Style for QGIS beside an export: the format that QGIS writes itself, and nobody's own style is lost."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import pytest

from fctl_napari.exceptions import OutputError
from fctl_napari.exporting.export import export
from fctl_napari.exporting.losses import ExportLosses
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.segmentation.store.store import Segmentation

pytest.importorskip("pyogrio")

MakeSegmentation = Callable[..., Segmentation]
PLACE = Georeference("EPSG:32633", (0.5, 0.0, 400000.0, 0.0, -0.5, 5200000.0))
NAMES = ("red", 'grün <&> "bush"', "it's")
COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture
def store(make_segmentation: MakeSegmentation) -> Segmentation:
    return make_segmentation(np.full((60, 70), 2, np.uint8), names=NAMES, georeference=PLACE)


def style(path: Path) -> Element:
    text = path.read_text("utf-8")
    assert text.startswith("<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n<qgis ")
    root = ElementTree.fromstring(text)
    assert root.get("version", "").startswith("3.")  # an unknown one would be taken for a style of QGIS 0
    assert root.get("styleCategories") == "Symbology"
    return root


def check_palette(root: Element) -> None:
    (renderer,) = root.findall("pipe/rasterrenderer")
    assert (renderer.get("type"), renderer.get("band")) == ("paletted", "1")
    entries = [dict(entry.attrib) for entry in renderer.findall("colorPalette/paletteEntry")]
    assert entries == [
        {"value": str(k), "color": "#{:02x}{:02x}{:02x}".format(*color), "alpha": "255", "label": name}
        for k, (name, color) in enumerate(zip(NAMES, COLORS, strict=True))
    ]


def check_categories(root: Element) -> None:
    (renderer,) = root.findall("renderer-v2")
    assert (renderer.get("type"), renderer.get("attr")) == ("categorizedSymbol", "class")
    symbols = {symbol.get("name"): symbol for symbol in renderer.findall("symbols/symbol")}
    found = []
    for category in renderer.findall("categories/category"):
        symbol = symbols[category.get("symbol")]
        assert (category.get("type"), category.get("render"), symbol.get("type")) == ("string", "true", "fill")
        options = {o.get("name"): o.get("value") for o in symbol.findall("layer[@class='SimpleFill']/Option/Option")}
        assert category.get("label") == category.get("value")
        found.append((category.get("value"), options["color"]))
    assert found == [(name, "{},{},{},255".format(*color)) for name, color in zip(NAMES, COLORS, strict=True)]


@pytest.mark.parametrize("suffix", [".tif", ".gpkg", ".geojson", ".png", ".coco.json", ".ome.zarr"])
def test_it_lies_where_qgis_looks_for_it(store: Segmentation, tmp_path: Path, suffix: str) -> None:
    export(store, tmp_path / f"my.map{suffix}")
    if suffix in (".png", ".coco.json", ".ome.zarr"):
        assert not list(tmp_path.glob("*.qml"))
    elif suffix == ".tif":
        check_palette(style(tmp_path / "my.map.qml"))
    else:
        check_categories(style(tmp_path / "my.map.qml"))


def test_a_raster_and_polygons_of_one_name_share_it(store: Segmentation, tmp_path: Path) -> None:
    for suffix in (".tif", ".gpkg", ".tif", ".geojson"):
        export(store, tmp_path / f"map{suffix}")
    root = style(tmp_path / "map.qml")
    assert [part.tag for part in root].count("pipe") == [part.tag for part in root].count("renderer-v2") == 1
    check_palette(root)
    check_categories(root)


@pytest.mark.parametrize("own", ["<qgis version='3.34.1'><pipe/></qgis>", "no XML", ""])
def test_a_style_of_ones_own_stays(store: Segmentation, tmp_path: Path, own: str) -> None:
    (tmp_path / "map.qml").write_text(own)
    losses = ExportLosses()
    export(store, tmp_path / "map.gpkg", losses=losses)
    assert (tmp_path / "map.qml").read_text() == own
    assert any("map.qml: is a style of your own and stays" in sentence for sentence in losses.sentences())


def test_an_export_that_fails_leaves_none(store: Segmentation, tmp_path: Path) -> None:
    (tmp_path / "map.tif").write_text("mine")
    with pytest.raises(OutputError):
        export(store, tmp_path / "map.tif")
    assert not (tmp_path / "map.qml").exists()
