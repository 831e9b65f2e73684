"""How much of an image its file marks as being without data."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.errors import InputError
from fctl_napari.imagery import nodata
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.nodata import measure_nodata
from fctl_napari.imagery.open import open_image

rasterio = pytest.importorskip("rasterio")

HEIGHT, WIDTH = 300, 400
VALID = np.zeros((HEIGHT, WIDTH), bool)
VALID[:, :220] = True  # 45 % have no data


@pytest.fixture
def pixels(make_rgb) -> np.ndarray:  # type: ignore[no-untyped-def]
    rgb = np.maximum(make_rgb(HEIGHT, WIDTH), 1)
    rgb[5, 5, 0] = 0  # one band that happens to have the value is data
    return np.asarray(np.where(VALID[..., None], rgb, 0), np.uint8)


def write(path: Path, pixels: np.ndarray, mode: str) -> Path:
    from rasterio.enums import ColorInterp

    bands = 4 if "alpha" in mode else pixels.shape[2]
    tiling = {} if "strips" in mode else {"tiled": True, "blockxsize": 128, "blockysize": 128}
    profile = {"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "count": bands, "dtype": pixels.dtype, **tiling}
    if "tag" in mode:
        profile["nodata"] = 0
    if "nan" in mode:
        profile["nodata"] = float("nan")
    if "alpha" in mode:
        profile |= {"photometric": "RGB", "alpha": "yes"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels.transpose(2, 0, 1), list(range(1, pixels.shape[2] + 1)))
        if "alpha" in mode:
            file.write(VALID.astype(np.uint8) * 255, 4)
            file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    if "mask" in mode or "beside" in mode:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="mask" in mode), rasterio.open(path, "r+") as file:
            file.write_mask(VALID)
    if "overviews" in mode:
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("mode", "by"),
    [
        ("plain", None),
        ("tag", "GDAL_NODATA 0"),
        ("tag strips", "GDAL_NODATA 0"),
        ("tag overviews", "GDAL_NODATA 0"),
        ("alpha", "alpha"),
        ("alpha overviews", "alpha"),
        ("mask", "a mask in the file"),
        ("mask overviews", "a mask in the file"),
        ("beside", "the mask image.tif.msk"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_geotiffs(
    tmp_path: Path, pixels: np.ndarray, mode: str, by: str | None, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not whole:  # a sample, as of a large image
        monkeypatch.setattr(nodata, "WHOLE_PX", 0)
        monkeypatch.setattr(nodata, "SAMPLE_SIDE", 16)
    found = measure_nodata(write(tmp_path / "image.tif", pixels, mode))
    if by is None:
        assert found is None
        return
    assert found is not None
    assert found.by == by
    assert found.share == pytest.approx(0.45, abs=0.01 if whole else 0.06)
    if whole:
        sentence = f"image.tif: this file marks 45 % as nodata ({by}); they are segmented all the same."
        assert found.sentence("image.tif") == sentence


@pytest.mark.filterwarnings("ignore")
def test_other_files(tmp_path: Path, pixels: np.ndarray) -> None:
    def share(path: Path) -> float | None:
        found = measure_nodata(path)
        return None if found is None else round(found.share, 2)

    alpha = VALID.astype(np.uint8) * 255
    for name, array in (("rgba", np.dstack([pixels, alpha])), ("la", np.dstack([pixels[..., 0], alpha]))):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
        assert share(tmp_path / f"{name}.png") == 0.45
    Image.fromarray(VALID.astype(np.uint8)).convert("P").save(tmp_path / "palette.png", transparency=0)
    assert share(tmp_path / "palette.png") == 0.45
    Image.fromarray(pixels).save(tmp_path / "plain.png")
    assert share(tmp_path / "plain.png") is None
    Image.fromarray(pixels).save(tmp_path / "plain.jpg")
    assert share(tmp_path / "plain.jpg") is None
    assert share(convert(open_image(tmp_path / "rgba.png"), tmp_path / "rgba.ome.zarr")) == 0.45
    assert share(convert(open_image(tmp_path / "plain.png"), tmp_path / "plain.ome.zarr")) is None

    numbers = np.where(VALID[..., None], pixels, np.nan).astype(np.float32)
    np.save(tmp_path / "nan.npy", numbers)
    assert share(tmp_path / "nan.npy") == 0.45
    found = measure_nodata(write(tmp_path / "nan.tif", numbers, "nan"))
    assert found is not None
    assert found.sentence("nan.tif") == (
        "nan.tif: 45 % of this file are NaN, which cannot be segmented; fill them (with 0, say)."
    )
    whole = np.where(VALID, 7, -9999).astype(np.int16)
    tifffile.imwrite(tmp_path / "heights.tif", whole, extratags=[(42113, "s", 0, "-9999", True)])
    assert share(tmp_path / "heights.tif") == 0.45
    few = np.ones((HEIGHT, WIDTH, 3), np.uint8)
    few[0, :9] = 0
    found = measure_nodata(write(tmp_path / "few.tif", few, "tag"))
    assert found is not None
    assert "marks less than 1 % as nodata" in found.sentence("few.tif")
    bands = np.dstack([pixels, np.where(VALID, 9, 0)]).astype(np.uint8)  # a fourth band that is no alpha
    tifffile.imwrite(tmp_path / "bands.tif", bands, photometric="rgb", extrasamples=["unspecified"])
    assert share(tmp_path / "bands.tif") is None


@pytest.mark.filterwarnings("ignore")
def test_commands_say_it(fctl: Fctl, tmp_path: Path, pixels: np.ndarray, tiny_checkpoint: Path) -> None:
    path = write(tmp_path / "image.tif", pixels, "tag")
    _, out, _ = fctl("info", path)
    assert re.search(r"nodata +45 % \(GDAL_NODATA 0\); these px are segmented all the same", out)
    arguments = ("--checkpoint", tiny_checkpoint, "--device", "cpu", "--out", tmp_path / "s.ome.zarr")
    code, _, err = fctl("segment", path, *arguments)
    assert code == 0
    assert err.count("this file marks 45 % as nodata (GDAL_NODATA 0); they are segmented all the same.") == 1
    _, out, _ = fctl("info", write(tmp_path / "plain.tif", pixels, "plain"))
    assert "nodata" not in out


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused_in_words(tmp_path: Path, pixels: np.ndarray) -> None:
    path = write(tmp_path / "image.tif", pixels, "beside")
    (tmp_path / "image.tif.msk").write_bytes(b"no mask")
    with pytest.raises(InputError, match=r"image\.tif\.msk: is damaged; mend it, or delete it"):
        measure_nodata(path)
    tifffile.imwrite(tmp_path / "tiles.tif", pixels, tile=(64, 64), compression="zlib", photometric="rgb")
    with tifffile.TiffFile(tmp_path / "tiles.tif") as file:
        first = file.pages.first.dataoffsets[0]
    data = bytearray((tmp_path / "tiles.tif").read_bytes())
    data[first : first + 40] = b"x" * 40
    (tmp_path / "tiles.tif").write_bytes(data)
    assert measure_nodata(tmp_path / "tiles.tif") is None  # nothing marks px: none are read
    with pytest.raises(InputError, match="there is no such file"):
        measure_nodata(tmp_path / "none.tif")
