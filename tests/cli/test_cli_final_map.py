"""The final map as ``fctl export``, ``fctl evaluate`` and ``fctl info`` take it: by default, and said to be."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from helpers_commands import Fctl
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.datasets.class_tables import class_table
from fctl_napari.exporting.export import export
from fctl_napari.imagery.formats.mask_tags import names_text
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.store.result_paths import named_path
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import TileGrid

TABLE = ClassTable(classes=(ClassInfo(name="kelp", color=(0, 80, 80)), ClassInfo(name="red", color=(255, 0, 0))))
LABELS = np.full((90, 120), 2, np.uint8)
LABELS[:10] = 1
LABELS[80:] = 0
EXPECTED = LABELS - np.uint8(1)
EXPECTED[20:40, 30:70] = 3  # kelp
SAID = "with 1,000 corrected px of scene.corrections.ome.zarr (600 more are not sure, and stay as predicted)"


def draw(path: Path, image: Path) -> None:
    """Kelp on green, red on red, and 600 px that are not sure."""
    with Corrections.open_or_create(path, open_image(image), TABLE) as corrections:
        corrections.write(20, 30, np.full((20, 40), 1, np.uint8), author="ann")
        corrections.write(0, 0, np.full((10, 20), 2, np.uint8), author="ann")
        corrections.write(50, 30, np.full((20, 30), 255, np.uint8), author="bob")


@pytest.fixture
def land(tmp_path: Path, make_rgb: Callable[..., np.ndarray], make_segmentation: Callable[..., Segmentation]) -> Path:
    """A segmentation of scene.png, with corrections beside the image."""
    Image.fromarray(make_rgb(90, 120)).save(tmp_path / "scene.png")
    store = make_segmentation(LABELS, path=tmp_path / "land.ome.zarr", image=open_image(tmp_path / "scene.png"))
    draw(tmp_path / "scene.corrections.ome.zarr", tmp_path / "scene.png")
    return store.path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    names = PngInfo()
    names.add_text("Classes", names_text(("red", "green", "blue", "kelp")))
    Image.fromarray(EXPECTED).save(tmp_path / "truth.png", pnginfo=names)
    return tmp_path / "truth.png"


def test_export_takes_it_and_raw_does_not(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    code, out, err = fctl("export", land, tmp_path / "map.tif")
    assert (code, out.strip()) == (0, str(tmp_path / "map.tif"))
    assert f"{SAID}; --raw leaves them out" in err
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "map.tif")), EXPECTED)
    code, _, err = fctl("export", land, tmp_path / "raw.tif", "--raw")
    assert code == 0
    assert "corrected" not in err
    export(Segmentation.open(land), tmp_path / "alone.tif")
    assert (tmp_path / "raw.tif").read_bytes() == (tmp_path / "alone.tif").read_bytes()
    shutil.rmtree(tmp_path / "scene.corrections.ome.zarr")
    assert "corrected" not in fctl("export", land, tmp_path / "none.tif")[2]
    assert (tmp_path / "none.tif").read_bytes() == (tmp_path / "alone.tif").read_bytes()


def test_other_corrections_are_named(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    (tmp_path / "scene.corrections.ome.zarr").rename(tmp_path / "bobs.ome.zarr")
    code, _, err = fctl("export", land, tmp_path / "map.png", "--corrections", tmp_path / "bobs.ome.zarr")
    assert code == 0
    assert "with 1,000 corrected px of bobs.ome.zarr" in err
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "map.png")), EXPECTED)
    both = fctl("export", land, tmp_path / "map.png", "--raw", "--corrections", tmp_path / "bobs.ome.zarr")
    assert "--raw leaves corrections out and --corrections names some; give one of them" in both.sentence()
    none = fctl("evaluate", land, tmp_path / "map.png", "--corrections", land)
    assert "land.ome.zarr: holds no corrections" in none.sentence()
    Image.fromarray(np.zeros((90, 120, 3), np.uint8)).save(tmp_path / "black.png")
    draw(tmp_path / "black.corrections.ome.zarr", tmp_path / "black.png")
    other = fctl("export", land, tmp_path / "x.png", "--corrections", tmp_path / "black.corrections.ome.zarr")
    assert "black.corrections.ome.zarr: holds corrections of another image (black.png)" in other.sentence()
    assert not (tmp_path / "x.png").exists()


def test_those_of_another_image_at_the_usual_path_are_left_out(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    usual = tmp_path / "scene.corrections.ome.zarr"
    own = open_image(tmp_path / "scene.png")
    usual.rename(named_path(usual, own))  # as they are kept where the usual path is taken
    Image.fromarray(np.zeros((90, 120, 3), np.uint8)).save(tmp_path / "black.png")
    draw(usual, tmp_path / "black.png")
    code, _, err = fctl("export", land, tmp_path / "map.png")
    assert code == 0
    assert f"with 1,000 corrected px of {named_path(usual, own).name}" in err
    shutil.rmtree(named_path(usual, own))
    err = fctl("export", land, tmp_path / "map.png").err
    assert f"{usual}: holds corrections of another image than {land}, and is left out" in err
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "map.png")), LABELS - np.uint8(1))


def test_damaged_corrections_are_not_left_out_in_silence(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    corrections, out = tmp_path / "scene.corrections.ome.zarr", tmp_path / "map.png"
    chunk = corrections / "0" / "c" / "0" / "0"
    whole = chunk.read_bytes()
    for content in (whole[:9], whole + b"x", b""):
        chunk.write_bytes(content)
        assert re.search(
            r"0/c/0/0: is damaged \(.+\); restore it from a copy, or", fctl("export", land, out).sentence()
        )
        assert not out.exists()
    chunk.write_bytes(whole)
    (corrections / "authors").rename(tmp_path / "authors")
    assert f"{corrections}: parts of these corrections are missing" in fctl("export", land, out).sentence()
    assert "parts of these corrections are missing" in fctl("info", land).out
    (corrections / "zarr.json").write_text("{")
    code, _, err = fctl("export", land, out)
    assert code == 0
    assert f"{corrections}: is damaged or holds no corrections, and is left out" in err


def test_provenance(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    expected = np.ones((90, 120), np.uint8)  # predicted
    expected[80:] = 0
    expected[20:40, 30:70] = 2
    expected[:10, :20] = 3
    expected[50:70, 30:60] = 4
    for name in ("who.tif", "who.png"):
        assert fctl("export", land, tmp_path / name, "--kind", "provenance").code == 0
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name)), expected)
    alone = fctl("export", land, tmp_path / "who.png", "--kind", "provenance", "--raw")
    assert alone.code == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "who.png")), LABELS > 0)
    for name in ("who.gpkg", "who.json", "who.jpg"):
        run = fctl("export", land, tmp_path / name, "--kind", "provenance")
        assert f"{name}: provenance is written as a raster; end the name in .tif, .png or .ome.zarr" in run.sentence()


def test_evaluate_says_what_it_measures(fctl: Fctl, land: Path, truth: Path, tmp_path: Path) -> None:
    figures = tmp_path / "f.json"
    code, out, err = fctl("evaluate", land, truth, "--json", figures, "--boundary", 0)
    assert code == 0, err
    assert f"{SAID}; --raw leaves them out" in err
    assert f"figures of the map with {SAID.removeprefix('with ')}: not of the network, as with --raw" in out
    assert "of the px that nobody painted" in out
    document = json.loads(figures.read_text())
    assert document["accuracy"] == 1
    assert document["classes"] == ["red", "green", "blue", "kelp"]
    assert sum(one["pixels"] for one in document["reliability"]) == 80 * 120 - 1000
    path = str(tmp_path / "scene.corrections.ome.zarr")
    assert document["corrections"] == {"path": path, "corrected_px": 1000, "not_sure_px": 600}

    Image.fromarray(EXPECTED).save(tmp_path / "numbers.png")
    for raw in ((), ("--raw",)):  # 3 is no class of the network
        sentence = fctl("evaluate", land, tmp_path / "numbers.png", *raw).sentence()
        assert "holds class index 3, but there are 3 classes" in sentence
    code, out, err = fctl("evaluate", land, truth, "--raw", "--json", figures, "--boundary", 0)
    assert code == 0
    assert "corrected" not in out + err
    document = json.loads(figures.read_text())
    assert (document["accuracy"], document["pixels"]) == (1, 9600 - 800)  # it does not know kelp
    assert "corrections" not in document


def test_a_ground_truth_reads_the_same_whatever_was_painted(
    fctl: Fctl, make_rgb: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    """DeepGlobe's colors count from 128 on, if they are those of its seven classes; so do 1 to 7 with nodata 0."""
    Image.fromarray(make_rgb(90, 120)).save(tmp_path / "scene.png")
    table, values = class_table("deepglobe"), np.arange(90 * 120).reshape(90, 120) // 50 % 7
    image = open_image(tmp_path / "scene.png")
    config = FCtLConfig(encoder="efficientnet_lite0", tile_size=64, classes=7, contexts=(), ale="none")
    store = Segmentation.create(
        tmp_path / "land.ome.zarr",
        image=image,
        grid=TileGrid((90, 120), 256, 64),
        card=Card(name="m", config=config, classes=table),
        checkpoint_hash="0" * 64,
        settings={},
    )
    store.labels.write(0, 0, (values + 1).astype(np.uint8))
    store.finish(store.missing())
    draw(tmp_path / "scene.corrections.ome.zarr", tmp_path / "scene.png")
    near = np.abs(np.array(table.colors)[values] - 20).astype(np.uint8)
    Image.fromarray(near).save(tmp_path / "near.png")
    numbers = {"driver": "GTiff", "height": 90, "width": 120, "count": 1, "dtype": "uint8", "nodata": 0}
    with rasterio.open(tmp_path / "numbers.tif", "w", **numbers) as dataset:
        dataset.write((values + 1).astype(np.uint8), 1)
    for name in ("near.png", "numbers.tif"):
        for raw, right in ((("--raw",), 10800), ((), 9800)):
            figures = ("--json", tmp_path / "f.json", "--boundary", 0)
            code, _, err = fctl("evaluate", store.path, tmp_path / name, *raw, *figures)
            assert code == 0, err
            assert np.trace(json.loads((tmp_path / "f.json").read_text())["confusion"]) == right


def test_corrections_are_not_compared_with_themselves(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    corrections = tmp_path / "scene.corrections.ome.zarr"
    with Corrections.open(corrections, "r+") as there:
        there.undo("bob")
    code, _, err = fctl("evaluate", land, corrections, "--json", tmp_path / "f.json", "--boundary", 0)
    assert code == 0, err
    assert "without corrections, because they are the ground truth" in err
    assert "corrections" not in json.loads((tmp_path / "f.json").read_text())


def test_info_names_them(fctl: Fctl, land: Path) -> None:
    out = fctl("info", land).out
    assert f"{SAID.removeprefix('with ')}; fctl export and fctl evaluate take them in" in out


def test_corrections_are_no_segmentation(fctl: Fctl, land: Path, truth: Path, tmp_path: Path) -> None:
    corrections = tmp_path / "scene.corrections.ome.zarr"
    for call in (("export", corrections, tmp_path / "x.tif"), ("evaluate", corrections, truth)):
        words = f"{corrections}: holds corrections; give the segmentation of their image."
        assert fctl(*call).sentence().endswith(words)
    assert not list(tmp_path.glob("x.*"))
