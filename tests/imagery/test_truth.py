"""Truth reads as class indices, 255 where there is none, whatever holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from fctl_napari.errors import InputError
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels import LabelPyramid, LabelSource, open_truth
from fctl_napari.imagery.pyramid import pyramid_from_array

INDICES = np.random.default_rng(0).integers(0, 6, (70, 90), dtype=np.uint8)
INDICES[10:20] = 255
CLASSES = [{"name": f"class {k}", "color": (k, k, k)} for k in range(6)]


def check(source: LabelSource) -> None:
    assert source.shape == (70, 90)
    assert np.array_equal(source.read((0, 0, 70, 90)), INDICES)
    padded = np.pad(INDICES, 5, constant_values=255)
    assert np.array_equal(source.read((-5, -5, 75, 95)), padded)
    assert np.array_equal(source.read((7, 8, 33, 34)), INDICES[7:33, 8:34])
    assert source.read((0, 0, 1, 1)).dtype == np.uint8


def label_at(path: Path) -> Path:
    labels = LabelPyramid.create(path, (70, 90), chunk=32, classes=CLASSES)
    labels.write(0, 0, INDICES + np.uint8(1))  # 255 wraps to 0, not labelled
    return path


def test_png(tmp_path: Path) -> None:
    Image.fromarray(INDICES).save(tmp_path / "t.png")
    check(open_truth(tmp_path / "t.png"))
    assert open_truth(tmp_path / "t.png").class_names is None


def test_png_with_a_palette_gives_indices_not_colours(tmp_path: Path) -> None:
    image = Image.fromarray(INDICES)
    image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(tmp_path / "t.png")
    assert Image.open(tmp_path / "t.png").mode == "P"
    check(open_truth(tmp_path / "t.png"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_tiff(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "t.tif", INDICES.astype(dtype), tile=(32, 32), compression="zlib")
    check(open_truth(tmp_path / "t.tif"))


def test_tiff_with_a_palette_gives_indices_not_colours(tmp_path: Path) -> None:
    colours = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256) * 80
    tifffile.imwrite(tmp_path / "t.tif", INDICES, photometric="palette", colormap=colours)
    check(open_truth(tmp_path / "t.tif"))


def test_label_group(tmp_path: Path) -> None:
    source = open_truth(label_at(tmp_path / "t.zarr"))
    check(source)
    assert source.class_names == tuple(f"class {k}" for k in range(6))


def test_the_label_of_an_image(tmp_path: Path) -> None:
    image = convert(pyramid_from_array(np.zeros((70, 90, 3), np.uint8)), tmp_path / "i.zarr")
    with pytest.raises(InputError, match="without labels"):
        open_truth(image)
    label_at(image / "labels" / "mine")
    check(open_truth(image))
    LabelPyramid.create(image / "labels" / "other", (70, 90), classes=CLASSES)
    with pytest.raises(InputError, match="name one of them"):
        open_truth(image)
    label_at(image / "labels" / "truth")
    check(open_truth(image))


def test_a_foreign_label_group(tmp_path: Path) -> None:
    """NGFF 0.4, zarr v2, int32, five axes, no names."""
    group = zarr.create_group(tmp_path / "t.zarr", zarr_format=2)
    values = (INDICES.astype(np.int32) + 1) % 256
    group.create_array("0", data=values[None, None, None], chunks=(1, 1, 1, 32, 32))
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space"} for name in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    group.attrs["image-label"] = {"version": "0.4"}
    source = open_truth(tmp_path / "t.zarr")
    check(source)
    assert source.class_names is None


def test_values_that_are_no_class_are_refused(tmp_path: Path) -> None:
    for name, value in (("high", 300), ("low", -1)):
        values = INDICES.astype(np.int16)
        values[50, 50] = value
        tifffile.imwrite(tmp_path / f"{name}.tif", values)
        source = open_truth(tmp_path / f"{name}.tif")
        with pytest.raises(InputError, match="class indices"):
            source.read((0, 0, 70, 90))


def test_what_is_no_truth_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "colour.png")
    tifffile.imwrite(tmp_path / "colour.tif", np.zeros((4, 4, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((4, 4), np.float32))
    Image.fromarray(INDICES).save(tmp_path / "lossy.jpg")
    (tmp_path / "folder").mkdir()
    for name in ("colour.png", "colour.tif", "float.tif", "lossy.jpg", "folder", "missing.png"):
        with pytest.raises(InputError, match=name):
            open_truth(tmp_path / name)


def test_truncated_truth_is_refused(tmp_path: Path) -> None:
    Image.fromarray(INDICES).save(tmp_path / "t.png")
    tifffile.imwrite(tmp_path / "t.tif", INDICES)
    for name in ("t.png", "t.tif"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
        with pytest.raises(InputError, match="truncated"):
            open_truth(tmp_path / name)
