from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fctl_napari.errors import OutputError
from fctl_napari.imagery.formats import open_image
from fctl_napari.imagery.pyramid import Georeference
from fctl_napari.imagery.truth import open_truth
from fctl_napari.segmentation.export import export

MakeSegmentation = Callable[..., object]


def blocks(height: int, width: int) -> np.ndarray:
    """Labels with classes, noise and a part that is not computed."""
    random = np.random.default_rng(1)
    labels = np.repeat(np.repeat(random.integers(1, 4, (height // 30 + 1, width // 30 + 1)), 30, 0), 30, 1)
    labels = labels[:height, :width].astype(np.uint8)
    labels[::7, ::5] = 2
    labels[:20, :50] = 0
    return labels


@pytest.mark.parametrize("shape", [(600, 1100), (513, 512), (1, 40), (40, 1)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_reader_sees_class_indices(
    tmp_path: Path, make_segmentation: MakeSegmentation, suffix: str, shape: tuple[int, int]
) -> None:
    labels = blocks(*shape)
    out = export(make_segmentation(labels), tmp_path / f"out{suffix}")
    expected = labels - np.uint8(1)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), expected)
    np.testing.assert_array_equal(open_truth(out).read((0, 0, *shape)), expected)
    if suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(out), expected)
        palette = Image.open(out).getpalette()
        assert palette[:9] == [255, 0, 0, 0, 255, 0, 0, 0, 255]


def test_georeference_is_kept(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    rasterio = pytest.importorskip("rasterio")
    place = Georeference("EPSG:32632", (0.5, 0.0, 600000.0, 0.0, -0.5, 5200000.0))
    labels = blocks(700, 530)
    out = export(make_segmentation(labels, georeference=place), tmp_path / "out.tif")
    with rasterio.open(out) as dataset:
        assert dataset.crs.to_epsg() == 32632
        assert tuple(dataset.transform)[:6] == place.transform
        assert dataset.nodata == 255
        assert dataset.colormap(1)[1][:3] == (0, 255, 0)
        np.testing.assert_array_equal(dataset.read(1), labels - np.uint8(1))
    found = open_image(out).georeference
    assert found is not None
    assert found.transform == place.transform


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_earlier_export_is_replaced_and_another_file_is_not(
    tmp_path: Path, make_segmentation: MakeSegmentation, suffix: str
) -> None:
    segmentation = make_segmentation(blocks(60, 70))
    out = tmp_path / f"out{suffix}"
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(out)
    before = out.read_bytes()
    with pytest.raises(OutputError, match="not an earlier export"):
        export(segmentation, out)
    assert out.read_bytes() == before
    out.unlink()
    export(segmentation, out)
    export(segmentation, out)
    assert Image.open(out).size == (70, 60)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".out")] == []


def test_georeferenced_exports_are_replaced_too(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    pytest.importorskip("rasterio")
    place = Georeference("EPSG:4326", (0.1, 0.0, -180.0, 0.0, -0.1, 60.0))
    segmentation = make_segmentation(blocks(60, 70), georeference=place)
    export(segmentation, tmp_path / "out.tif")
    export(segmentation, tmp_path / "out.tif")


def test_unknown_suffix(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    with pytest.raises(OutputError, match=r"end the name in \.png or \.tif"):
        export(make_segmentation(blocks(30, 30)), tmp_path / "out.jpg")


def test_progress_reaches_the_end(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    seen: list[tuple[int, int]] = []
    export(make_segmentation(blocks(1100, 40)), tmp_path / "out.png", progress=lambda *event: seen.append(event))
    assert seen == [(1, 3), (2, 3), (3, 3)]
