"""Class tables of data sets, checkpoints and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.datasets.class_table_files import read_class_table
from fctl_napari.datasets.class_tables import NAMED_TABLES, NAMED_VALUES, class_table
from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.datasets.layouts import find_data_set
from fctl_napari.datasets.scene_ground_truth import SceneGroundTruth
from fctl_napari.exceptions import InputError
from fctl_napari.exporting.qgis_style import write_style
from fctl_napari.model.classes import IGNORE, ClassInfo, ClassTable

TABLE = ClassTable(
    classes=(
        ClassInfo(name="water, still", color=(10, 20, 250)),
        ClassInfo(name="forêt", color=(0, 120, 30)),
        ClassInfo(name="roof", color=(200, 60, 50)),
    )
)


@pytest.mark.parametrize("polygons", [True, False])
def test_a_style_of_an_export_comes_back(polygons: bool, tmp_path: Path) -> None:
    write_style(tmp_path / "map.tif", TABLE, polygons=polygons)
    assert class_table(str(tmp_path / "map.qml")) == TABLE


def test_styles_of_other_versions_and_kinds(tmp_path: Path) -> None:
    path = tmp_path / "old.qml"
    path.write_text(
        """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.10"><renderer-v2 type="categorizedSymbol" attr="c"><categories>
<category value="1" label="" symbol="0"/><category value="2" label="wood" symbol="1"/>
<category value="" label="" symbol="2"/></categories><symbols>
<symbol name="0"><layer class="SimpleFill"><prop k="color" v="1,2,3,255"/></layer></symbol>
<symbol name="1"><layer class="SimpleFill"><prop k="color" v="4,5,6,255"/></layer></symbol>
<symbol name="2"><layer class="SimpleFill"/></symbol></symbols></renderer-v2></qgis>"""
    )
    assert [(info.name, info.color) for info in class_table(str(path))] == [("1", (1, 2, 3)), ("wood", (4, 5, 6))]
    path.write_text(
        """<qgis><pipe><rasterrenderer type="singlebandpseudocolor"><rastershader><colorrampshader>
<item value="0" label="low" color="#0000ff" alpha="255"/><item value="9" label="high" color="#ff0000" alpha="255"/>
</colorrampshader></rastershader></rasterrenderer></pipe></qgis>"""
    )
    assert class_table(str(path)).names == ("low", "high")


@pytest.mark.parametrize(
    "text",
    [
        'name,red,green,blue\n"water, still",10,20,250\nforêt,0,120,30\nroof,200,60,50\n',
        "id;Class;Color\n1;water, still;#0A14FA\n2;forêt;#00781e\n3;roof;#c83c32\n",
        '\ufeffr,g,b,name\n10,20,250,"water, still"\n0,120,30,forêt\n200,60,50,roof\n',
        "# QGIS Generated Color Map Export File\nINTERPOLATION:EXACT\n"
        '1,10,20,250,255,"water, still"\n2,0,120,30,255,forêt\n7,200,60,50,255,roof\n',
    ],
)
def test_lines_of_text(text: str, tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text(text, "utf-8")
    assert class_table(str(tmp_path / "classes.csv")) == TABLE


def test_what_has_no_color_gets_one_and_what_has_no_name_its_value(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("name\nwater\nforest\nsomething\n")
    table = class_table(str(tmp_path / "names.csv"))
    assert table.names == ("water", "forest", "something")
    assert len({info.color for info in table}) == 3
    (tmp_path / "map.clr").write_text("1 0 0 255\n5 0 255 0\n")
    assert class_table(str(tmp_path / "map.clr")).names == ("1", "5")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.qml", "<qgis", "is no QGIS style"),
        ("a.qml", "<qgis><renderer-v2 type='singleSymbol'/></qgis>", "a style without classes"),
        ("a.qml", "<!DOCTYPE q [<!ENTITY a 'b'>]><qgis/>", "declares entities"),
        ("a.csv", "", "is empty"),
        ("a.csv", "name,red,green,blue\nx,1,2\n", "line 2 has no color"),
        ("a.csv", "name,red,green,blue\nx,1,2,300\n", "line 2 has no color"),
        ("a.csv", "name,color\n,#ffffff\n", "line 2 has no name"),
        ("a.csv", "name,color\nx,#ffffff\nx,#000000\n", "x has two colors"),
        ("a.csv", "words without an end\n", "line 1 is no class"),
        ("a.csv", "name\n", "holds no class"),
        ("none.qml", None, "there is no such class table"),
        ("none.json", None, "there is no such class table"),
    ],
)
def test_what_is_no_table_is_said_in_a_sentence(name: str, text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words) as raised:
        read_class_table(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)


def test_a_checkpoint_gives_its_table() -> None:
    assert class_table("earth").names == ("water", "forest", "rangeland", "agriculture", "barren")


@pytest.mark.parametrize("name", sorted(NAMED_VALUES))
def test_masks_of_data_sets_whose_values_are_not_those_of_the_classes(name: str, fctl: Fctl, tmp_path: Path) -> None:
    values = NAMED_VALUES[name]
    assert sorted(set(values.values()) - {IGNORE}) == list(range(len(NAMED_TABLES[name])))
    mask = np.array([list(values)] * 4, np.uint8)
    (tmp_path / "set").mkdir()
    Image.fromarray(mask).save(tmp_path / "set" / "a_mask.png")
    Image.fromarray(np.zeros((*mask.shape, 3), np.uint8)).save(tmp_path / "set" / "a_sat.png")
    done = fctl("data", "convert", tmp_path / "set", tmp_path / "out", "--classes", name)
    assert done.code == 0, done.err
    found = find_data_set(tmp_path / "out")
    assert found.table.names == class_table(name).names
    truth = SceneGroundTruth(found.pairs[0].ground_truth, found.table, Shelf())
    assert np.array_equal(np.asarray(truth), [list(values.values())] * 4)
