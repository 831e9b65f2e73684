"""Ground truths of a data set lie over their images by the georeferences of both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fctl_napari.datasets.check import check_data_set
from fctl_napari.datasets.convert import convert_data_set
from fctl_napari.datasets.layouts import find_data_set
from fctl_napari.exceptions import InputError
from fctl_napari.training.data import Scene, open_scenes
from fctl_napari.training.data_settings import DataSettings

rasterio = pytest.importorskip("rasterio")

GROUND = np.random.default_rng(2).integers(0, 2, (12, 14)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
SIDE = 64
RIGHT = GROUND[:SIDE, :SIDE]
CLASSES = [{"name": "a", "color": [255, 0, 0]}, {"name": "b", "color": [0, 255, 0]}]


def write(path: Path, bands: np.ndarray, *, x: float = 0, size: float = 1.0, crs: str | None = "EPSG:32640") -> None:
    """Write a GeoTIFF whose first px lies ``x`` px right of that of the image."""
    location = rasterio.Affine(0.5 * size, 0, 3e5 + 0.5 * x, 0, -0.5 * size, 2e6)
    profile = {"driver": "GTiff", "height": bands.shape[1], "width": bands.shape[2], "count": len(bands)}
    with rasterio.open(path, "w", crs=crs, transform=location, dtype="uint8", **profile) as file:
        file.write(bands)


def data_set(folder: Path, *, suffix: str = "tif") -> Path:
    """Write one pair, whose mask is still missing."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    picture = np.stack([RIGHT * 100 + 20] * 3)
    if suffix == "tif":
        write(folder / "images/p.tif", picture)
    else:
        Image.fromarray(picture.transpose(1, 2, 0)).save(folder / "images/p.png")
        (folder / "images/p.pgw").write_text("0.5\n0\n0\n-0.5\n300000.25\n1999999.75\n")
    (folder / "classes.json").write_text(json.dumps({"classes": CLASSES}))
    (folder / "train.txt").write_text("p\n")
    return folder


def scene_of(folder: Path) -> Scene:
    (scene,), _ = open_scenes(DataSettings(layout="auto"), folder)
    return scene


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_training_check_and_conversion_place_it(tmp_path: Path, suffix: str) -> None:
    folder = data_set(tmp_path / "set", suffix=suffix)
    masks = {"same": (RIGHT, {}), "moved": (GROUND[:80, 8:80], {"x": 8}), "coarse": (RIGHT[::2, ::2], {"size": 2})}
    for name, (values, options) in masks.items():
        write(folder / "masks/p.tif", values[None], **options)
        found = np.asarray(scene_of(folder).ground_truth)
        assert found.shape == RIGHT.shape
        there = found != 255
        assert np.array_equal(found[there], RIGHT[there]), name
        assert there.all() == (name != "moved")
        report = check_data_set(find_data_set(folder))
        assert not report.problems
        assert report.counts("train").tolist() == [(found == 0).sum(), (found == 1).sum(), (~there).sum()]
        copy = convert_data_set(find_data_set(folder), tmp_path / "copy")
        assert np.array_equal(np.asarray(scene_of(copy).ground_truth), found), name


def test_without_a_georeference_of_both_px_are_px(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "set")
    Image.fromarray(RIGHT).save(folder / "masks/p.png")
    assert np.array_equal(np.asarray(scene_of(folder).ground_truth), RIGHT)


def test_what_does_not_lie_over_it_is_refused_in_words(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "set")
    write(folder / "masks/p.tif", RIGHT[None], crs="EPSG:32639")
    advice = r"gdalwarp -t_srs EPSG:32640 -dstnodata 255 p\.tif OUT\.tif"
    with pytest.raises(InputError, match=rf"p\.tif: is in EPSG:32639 and the image in EPSG:32640; .*{advice}"):
        scene_of(folder)
    (problem,) = check_data_set(find_data_set(folder)).problems
    assert problem.file == "masks/p.tif"
    with pytest.raises(InputError, match="reproject"):
        convert_data_set(find_data_set(folder), tmp_path / "copy")
