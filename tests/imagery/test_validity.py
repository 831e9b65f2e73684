"""Which px of an image hold data: as rasterio reads it, at every level, and what becomes of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from helpers_commands import fctl_process
from PIL import Image

from fctl_napari.exceptions import InputError
from fctl_napari.imagery import measured
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.chunk_cache import with_chunk_cache
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.measured import measured_range, share_without_data
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.validity import fill_invalid, stored_value

rasterio = pytest.importorskip("rasterio")

HEIGHT, WIDTH = 300, 400
VALID = np.zeros((HEIGHT, WIDTH), bool)
VALID[:, :220] = True  # 45 % have no data
VALID[7, 3:9] = False
WHOLE = (0, 0, HEIGHT, WIDTH)

MARKS = {
    "plain": None,
    "tag": "GDAL_NODATA 0",
    "tag strips": "GDAL_NODATA 0",
    "tag overviews": "GDAL_NODATA 0",
    "tag external overviews": "GDAL_NODATA 0",
    "alpha": "alpha",
    "alpha overviews": "alpha",
    "mask": "a mask in the file",
    "mask overviews": "a mask in the file",
    "mask tag": "a mask in the file",
    "beside": "a .msk beside it",
    "beside overviews": "a .msk beside it",
}


@pytest.fixture
def pixels(make_rgb) -> np.ndarray:  # type: ignore[no-untyped-def]
    rgb = np.maximum(make_rgb(HEIGHT, WIDTH), 1)
    rgb[5, 5, 0] = 0  # one band that happens to have the value is data
    return np.asarray(np.where(VALID[..., None], rgb, 0), np.uint8)


def write(path: Path, pixels: np.ndarray, mode: str, **profile: object) -> Path:
    """Write a GeoTIFF whose px without data are marked in a way."""
    from rasterio.enums import ColorInterp

    bands = 4 if "alpha" in mode else pixels.shape[2]
    tiling = {} if "strips" in mode else {"tiled": True, "blockxsize": 128, "blockysize": 128}
    profile |= {"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "count": bands, "dtype": pixels.dtype, **tiling}
    if "tag" in mode:
        profile.setdefault("nodata", 0)
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
        with rasterio.Env(TIFF_USE_OVR="external" in mode), rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", MARKS)
def test_a_geotiff_is_valid_where_rasterio_says_so(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    image = open_image(write(tmp_path / "image.tif", pixels, mode))
    assert image.validity_source == MARKS[mode]
    assert image.native_levels == (3 if "overviews" in mode else 1)
    for level in range(image.native_levels):
        options = {} if level == 0 else {"overview_level": level - 1}
        with rasterio.open(tmp_path / "image.tif", **options) as file:
            right = file.dataset_mask() > 0
        found = image.read_valid((0, 0, *right.shape), level)
        assert np.array_equal(found, right)
        part = with_chunk_cache(image).read_valid((3, 20, 70, 90), level)
        assert np.array_equal(part, right[3:70, 20:90])
    assert share_without_data(image) == pytest.approx(0 if MARKS[mode] is None else 0.45, abs=0.01)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", 255),
        ("uint16", 65535),
        ("int16", -9999),
        ("int32", -2147483648),
        ("float32", -3.4028234663852886e38),
        ("float32", -9999),
        ("float32", float("nan")),
        ("float64", 1e20),
    ],
)
def test_values_of_every_type(tmp_path: Path, pixels: np.ndarray, dtype: str, nodata: float) -> None:
    values = np.where(VALID[..., None], pixels.astype(float) / 2, nodata).astype(dtype)
    path = write(tmp_path / "image.tif", values, "tag", nodata=nodata)
    image = open_image(path, value_range=(0, 128))
    with rasterio.open(path) as file:
        assert np.array_equal(image.read_valid(WHOLE), file.dataset_mask() > 0)
    assert (image.read_rgba(WHOLE)[..., 3] > 0).tolist() == VALID.tolist()
    low, high = measured_range(image)
    assert 0 <= low < high <= 128
    kept = open_image(convert(image, tmp_path / "copy.ome.zarr"))
    assert np.array_equal(kept.read_valid(WHOLE), VALID)


def test_a_value_that_no_px_can_have_marks_nothing() -> None:
    assert stored_value(-9999, np.dtype(np.uint8)) is None
    assert stored_value(0.5, np.dtype(np.int16)) is None
    assert stored_value(float("nan"), np.dtype(np.float32)) is None
    assert stored_value(2**63 - 1, np.dtype(np.int64)) == 2**63 - 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "16 bit"])
def test_a_png_is_valid_where_it_is_opaque(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    alpha = VALID.astype(np.uint8) * 255
    path = tmp_path / "image.png"
    if mode == "RGBA":
        Image.fromarray(np.dstack([pixels, alpha])).save(path)
    elif mode == "LA":
        Image.fromarray(np.dstack([pixels[..., 0], alpha])).save(path)
    elif mode == "16 bit":
        import imagecodecs

        path.write_bytes(imagecodecs.png_encode(np.dstack([pixels, alpha]).astype(np.uint16) * 257))
    elif mode == "P":
        Image.fromarray(VALID.astype(np.uint8)).convert("P").save(path, transparency=0)
    else:
        Image.fromarray(np.where(VALID[..., None], np.maximum(pixels, 1), 0)).save(path, transparency=(0, 0, 0))
    image = open_image(path, value_range=(0, 65535) if mode == "16 bit" else None)
    assert np.array_equal(image.read_valid(WHOLE), VALID)
    assert image.validity_source == "alpha"
    copy = open_image(convert(image, tmp_path / "copy.ome.zarr"))
    assert np.array_equal(copy.read_valid(WHOLE), VALID)
    assert copy.validity_source == "alpha"


@pytest.mark.filterwarnings("ignore")
def test_pictures_without_marks_are_valid_and_one_with_a_mask_file_is_not(tmp_path: Path, pixels: np.ndarray) -> None:
    for name in ("plain.png", "plain.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
        assert not open_image(tmp_path / name).masked
    write(tmp_path / "image.tif", pixels, "beside")
    (tmp_path / "image.tif.msk").rename(tmp_path / "plain.jpg.msk")
    image = open_image(tmp_path / "plain.jpg")
    assert np.array_equal(image.read_valid(WHOLE), VALID)
    (tmp_path / "plain.jpg.msk").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"plain\.jpg\.msk: is damaged"):
        open_image(tmp_path / "plain.jpg")


@pytest.mark.parametrize("marked", [{"_FillValue": 0}, {"missing_value": "0"}, {"_FillValue": "AAAAAAAAAAA="}])
def test_an_omezarr_says_it_by_an_attribute(tmp_path: Path, pixels: np.ndarray, marked: dict) -> None:
    path = convert(pyramid_from_array(pixels), tmp_path / "image.ome.zarr")
    group = zarr.open_group(path, mode="r+")
    del group.attrs["fctl"]
    assert not open_image(path).masked
    group["0"].update_attributes(marked)
    assert np.array_equal(open_image(path).read_valid(WHOLE), VALID)


def test_a_large_image_is_sampled(tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "WHOLE_PX", 0)
    monkeypatch.setattr(measured, "SAMPLE_SIDE", 16)
    for mode in ("tag", "tag strips"):
        assert share_without_data(open_image(write(tmp_path / "image.tif", pixels, mode))) == pytest.approx(
            0.45, abs=0.06
        )


def collar(dtype: type, nodata: float) -> np.ndarray:
    """Return values of 2000 with a collar whose edge runs through blocks of 2 x 2 px."""
    y, x = np.mgrid[:1200, :1100]
    return np.repeat(np.where(x + y // 3 < 700, 2000, nodata).astype(dtype)[..., None], 3, axis=2)


@pytest.mark.parametrize(("dtype", "nodata"), [("int16", -9999), ("float32", float("nan")), ("uint16", 1999)])
def test_levels_are_means_of_what_holds_data(tmp_path: Path, dtype: str, nodata: float) -> None:
    values = collar(np.dtype(dtype).type, nodata)
    with rasterio.open(
        tmp_path / "image.tif", "w", driver="GTiff", width=1100, height=1200, count=3, dtype=dtype, nodata=nodata
    ) as file:
        file.write(values.transpose(2, 0, 1))
    image = open_image(tmp_path / "image.tif", value_range=(0, 2000))
    for pyramid in (image, open_image(convert(image, tmp_path / "copy.ome.zarr"))):
        assert len(pyramid.levels) == 2
        coarse = pyramid.levels[1][...]
        assert set(np.unique(coarse[np.isfinite(coarse)])) <= {2000, nodata}
        valid = pyramid.read_valid((0, 0, 600, 550), 1)
        fine = pyramid.read_valid((0, 0, 1200, 1100)).reshape(600, 2, 550, 2)
        assert np.array_equal(valid, fine.any(axis=(1, 3)))


def test_a_mask_s_levels_follow_the_means(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgba = np.full((1200, 1100, 4), 200, np.uint8)
    rgba[..., 3] = 255 * (rng.random((1200, 1100)) < 0.4)
    rgba[rgba[..., 3] == 0] = (7, 7, 7, 0)
    Image.fromarray(rgba).save(tmp_path / "image.png")
    image = open_image(tmp_path / "image.png")
    for pyramid in (image, open_image(convert(image, tmp_path / "copy.ome.zarr"))):
        valid = pyramid.read_valid((0, 0, 600, 550), 1)
        assert np.array_equal(valid, (rgba[..., 3] > 0).reshape(600, 2, 550, 2).any(axis=(1, 3)))
        assert (pyramid.levels[1][...][..., :3][valid] == 200).all()


def masked(pixels: np.ndarray, valid: np.ndarray) -> Pyramid:
    """Return an image with alpha."""
    return pyramid_from_array(np.dstack([pixels, valid.astype(np.uint8) * 255]), alpha=True)


def test_what_holds_no_data_mixes_with_nothing() -> None:
    pixels = np.full((64, 64, 3), 200, np.uint8)
    valid = np.zeros((64, 64), bool)
    valid[:, :33] = True
    pixels[~valid] = 0
    image = masked(pixels, valid)
    assert (image.read((0, 0, 64, 64)) == 200).all()
    resized = image.read_resized((0.0, 0.0, 64.0, 64.0), 20)
    assert (abs(resized.astype(int) - 200) <= 1).all()  # Pillow rounds what it weighs by opacity
    outside = image.read_resized((-8.0, 0.0, 56.0, 64.0), 64)
    assert (outside[:8] == 0).all()  # black, as networks were trained


def test_px_are_mirrored_at_the_border_of_the_data(make_rgb) -> None:  # type: ignore[no-untyped-def]
    pixels = np.dstack([make_rgb(20, 30), np.full((20, 30), 255, np.uint8)])
    pixels[:, 12:, 3] = 0
    filled = fill_invalid(pixels)
    assert np.array_equal(filled[:, :12], pixels[:, :12, :3])
    assert np.array_equal(filled[:, 12:23], pixels[:, 10::-1, :3][:, :11])
    assert np.array_equal(filled[:, 23:], np.broadcast_to(np.rint(pixels[:, :12, :3].mean((0, 1))), (20, 7, 3)))
    assert not fill_invalid(np.zeros((3, 3, 4), np.uint8)).any()


def test_a_mask_that_hides_nothing_changes_nothing(make_rgb) -> None:  # type: ignore[no-untyped-def]
    pixels = make_rgb(150, 170)
    plain, whole = pyramid_from_array(pixels), masked(pixels, np.ones((150, 170), bool))
    for window in ((0.0, 0.0, 64.0, 64.0), (-20.0, 10.5, 180.0, 165.0)):
        assert np.array_equal(plain.read_resized(window, 64), whole.read_resized(window, 64))


def test_a_few_holes_end_nothing() -> None:
    values = np.full((40, 40, 3), 0.5, np.float32)
    values[3:5, 7] = np.nan
    values[9, 9, 1] = np.inf
    image = pyramid_from_array(values, value_range=(0, 1))
    valid = image.read_valid((0, 0, 40, 40))
    assert (~valid).sum() == 3
    assert (image.read((0, 0, 40, 40)) == 128).all()


def write_sparse(path: Path, nodata: float) -> Path:
    """Write a GeoTIFF of two tiles, of which the second is not stored."""
    profile = {"driver": "GTiff", "width": 512, "height": 256, "count": 1, "dtype": "float32", "nodata": nodata}
    with rasterio.open(path, "w", tiled=True, blockxsize=256, blockysize=256, sparse_ok=True, **profile) as file:
        file.write(np.ones((1, 256, 256), np.float32), window=((0, 256), (0, 256)))
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("nodata", [-9999, -3.4028234663852886e38, 3.4028234663852886e38, float("nan")])
def test_tiles_that_are_not_stored_hold_no_data(tmp_path: Path, nodata: float) -> None:
    valid = open_image(write_sparse(tmp_path / "sparse.tif", nodata)).read_valid((0, 0, 256, 512))
    assert valid[:, :256].all()
    assert not valid[:, 256:].any()


@pytest.mark.filterwarnings("ignore")
def test_what_a_library_logs_is_not_printed(tmp_path: Path) -> None:
    process = fctl_process("info", write_sparse(tmp_path / "sparse.tif", -3.4028234663852886e38))
    out, err = process.communicate(timeout=100)
    assert "GDAL_NODATA -3.40282346638529e+38" in out
    assert err == ""
