"""Each format opens as the pixels that were written; what cannot be used is refused in one sentence."""

from __future__ import annotations

import json
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from PIL import Image

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats.png_jpeg import MAX_PIXELS
from fctl_napari.imagery.halving import halve
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import has_pyramid


def picture(height: int = 301, width: int = 402, channels: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1
    values = np.random.default_rng(height).integers(0, 256, (height, width, channels))
    return (values * (top / 255)).astype(dtype)


RGB = picture()
RGBA = picture(channels=4)
GRAY = picture(channels=1)


def png(image: np.ndarray) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(image.squeeze()).save(path, "PNG")


def tiff(image: np.ndarray, **options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, image, **{"photometric": "rgb", **options})


def subifds(path: Path) -> None:
    options: dict[str, Any] = {"photometric": "rgb", "tile": (128, 128)}
    with tifffile.TiffWriter(path) as file:
        file.write(RGB, subifds=1, **options)
        file.write(halve(RGB), subfiletype=1, **options)


def ome_pyramid(path: Path) -> None:
    sizes = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    options: dict[str, Any] = {"photometric": "minisblack", "tile": (128, 128), "compression": "zstd"}
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as file:
        file.write(RGB.transpose(2, 0, 1), subifds=1, metadata=sizes, **options)
        file.write(halve(RGB).transpose(2, 0, 1), subfiletype=1, **options)


def npy(array: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, array)

    return write


def png_1_bit(path: Path) -> None:
    Image.fromarray(GRAY[..., 0] > 99).save(path, "PNG")


def gray_alpha(path: Path) -> None:
    Image.fromarray(np.dstack([GRAY, RGB[..., :1]]), "LA").save(path, "PNG")


def palette(path: Path) -> None:
    table = np.random.default_rng(1).permutation(256).astype(np.uint8)
    image = Image.fromarray(table[GRAY[..., 0]])
    image.putpalette(np.repeat(np.argsort(table).astype(np.uint8)[:, None], 3, axis=1).tobytes())
    image.save(path, "PNG")


GRAY_COLORS = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, axis=0)

LOSSLESS: dict[str, tuple[Callable[[Path], None], np.ndarray]] = {
    "png": (png(RGB), RGB),
    "png grey": (png(GRAY), GRAY),
    "png rgba": (png(RGBA), RGBA),
    "png grey with alpha": (gray_alpha, GRAY),
    "png palette": (palette, np.repeat(GRAY, 3, axis=2)),
    "png 1 bit": (png_1_bit, np.where(GRAY > 99, 255, 0).astype(np.uint8)),
    "png 16 bit": (png(picture(channels=1, dtype=np.uint16)), picture(channels=1, dtype=np.uint16)),
    "png 16 bit rgb": (
        lambda path: path.write_bytes(imagecodecs.png_encode(picture(dtype=np.uint16))),  # type: ignore[func-returns-value]
        picture(dtype=np.uint16),
    ),
    "tiff strips": (tiff(RGB), RGB),
    "tiff compressed strips": (tiff(RGB, compression="lzw", rowsperstrip=7), RGB),
    "tiff tiles": (tiff(RGB, tile=(64, 96), compression="zlib", predictor=True), RGB),
    "tiff planes": (tiff(RGB.transpose(2, 0, 1), planarconfig="separate"), RGB),
    "tiff rgba": (tiff(RGBA, extrasamples=["unassalpha"]), RGBA),
    "tiff grey": (tiff(GRAY[..., 0], photometric="minisblack"), GRAY),
    "tiff white is zero": (tiff(255 - GRAY[..., 0], photometric="miniswhite"), GRAY),
    "tiff 1 bit": (tiff(GRAY[..., 0] > 99, photometric="minisblack"), np.where(GRAY > 99, 255, 0).astype(np.uint8)),
    "tiff 1 bit, white is zero": (
        tiff(GRAY[..., 0] <= 99, photometric="miniswhite"),
        np.where(GRAY > 99, 255, 0).astype(np.uint8),
    ),
    "tiff palette": (tiff(GRAY[..., 0], photometric="palette", colormap=GRAY_COLORS), np.repeat(GRAY, 3, axis=2)),
    "tiff 5 bands": (tiff(picture(channels=5), photometric="minisblack", planarconfig="contig"), picture(channels=5)),
    "tiff float": (tiff(picture(dtype=np.float32)), picture(dtype=np.float32)),
    "big tiff, big endian": (
        tiff(picture(dtype=np.uint16), bigtiff=True, byteorder=">", tile=(64, 64)),
        picture(dtype=np.uint16),
    ),
    "big endian in one piece": (tiff(picture(dtype=np.uint16), byteorder=">"), picture(dtype=np.uint16)),
    "ome tiff": (tiff(RGB.transpose(2, 0, 1), photometric="minisblack", ome=True, metadata={"axes": "CYX"}), RGB),
    "tiff with overviews in subifds": (subifds, RGB),
    "ome tiff pyramid": (ome_pyramid, RGB),
    "tiff zstd": (tiff(RGB, tile=(128, 128), compression="zstd", predictor=True), RGB),
    "tiff deflate 16 bit rgba": (
        tiff(picture(channels=4, dtype=np.uint16), tile=(64, 64), compression="zlib", extrasamples=["unassalpha"]),
        picture(channels=4, dtype=np.uint16),
    ),
    "tiff 7 bands, each apart": (
        tiff(picture(channels=7).transpose(2, 0, 1), photometric="minisblack", planarconfig="separate", tile=(64, 64)),
        picture(channels=7),
    ),
    "npy": (npy(RGB), RGB),
    "npy grey": (npy(GRAY[..., 0]), GRAY),
    "npy columns first": (npy(np.asfortranarray(RGB)), RGB),
    "npy 16 bit, big endian": (npy(picture(dtype=">u2")), picture(dtype=np.uint16)),
    "npy float": (npy(picture(channels=5, dtype=np.float32)), picture(channels=5, dtype=np.float32)),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_pixels_are_what_was_written(tmp_path: Path, name: str) -> None:
    """Whatever the file is called."""
    write, expected = LOSSLESS[name]
    write(tmp_path / "image.dat")
    pyramid = open_image(tmp_path / "image.dat", value_range=(0, 1), bands=(0, 0, 0))
    assert pyramid.shape == (301, 402)
    assert pyramid.channels == expected.shape[2]
    assert pyramid.dtype == expected.dtype
    assert pyramid.levels[0].dtype.isnative
    assert np.array_equal(pyramid.levels[0][...], expected)
    assert np.array_equal(pyramid.levels[0][40:90, 300:, -1], expected[40:90, 300:, -1])


@pytest.mark.parametrize("write", [subifds, ome_pyramid])
def test_overviews_of_a_tiff_are_levels(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "t.ome.tif")
    pyramid = open_image(tmp_path / "t.ome.tif")
    assert pyramid.name == "t"
    assert [level.shape for level in pyramid.levels] == [(301, 402, 3), (151, 201, 3)]
    assert np.array_equal(pyramid.levels[1][...], halve(RGB))
    assert pyramid.native_levels == 2
    if write is ome_pyramid:
        assert (pyramid.pixel_size, pyramid.unit) == ((0.25, 0.5), "micrometer")


def smooth_picture() -> np.ndarray:
    ys, xs = np.mgrid[0:300, 0:400]
    return np.stack([ys * 255 // 300, xs * 255 // 400, ys * 0 + 77], axis=2).astype(np.uint8)


@pytest.mark.parametrize("tiled", [True, False])
@pytest.mark.parametrize("options", [{"interleave": "band"}, {"photometric": "ycbcr"}, {}], ids=str)
def test_jpeg_in_gdals_tiff_is_close(tmp_path: Path, tiled: bool, options: dict[str, Any]) -> None:
    """Also band by band, where each band is a grey JPEG that says nothing of colours."""
    smooth = smooth_picture()
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64} if tiled else {}
    profile = {"driver": "GTiff", "height": 300, "width": 400, "count": 3, "dtype": "uint8", "compress": "jpeg"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "i.tif", "w", **profile, **tiles, **options) as file:
            file.write(smooth.transpose(2, 0, 1))
    result = open_image(tmp_path / "i.tif").read((0, 0, 300, 400))
    assert np.abs(result.astype(int) - smooth).mean() < 2


def test_jpeg_is_close(tmp_path: Path) -> None:
    smooth = smooth_picture()
    Image.fromarray(smooth).save(tmp_path / "i.jpg", quality=95)
    Image.fromarray(smooth).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    tifffile.imwrite(tmp_path / "i.tif", smooth, compression="jpeg", photometric="rgb", tile=(64, 64))
    for name in ("i.jpg", "cmyk.jpg", "i.tif"):
        result = open_image(tmp_path / name).read((0, 0, 300, 400))
        assert np.abs(result.astype(int) - smooth).mean() < 2


def test_16_bit_and_many_bands_become_rgb(tmp_path: Path) -> None:
    """By the range and the bands that were asked for."""
    values = picture(channels=5, dtype=np.uint16)
    tiff(values, photometric="minisblack", planarconfig="contig")(tmp_path / "i.tif")
    read = open_image(tmp_path / "i.tif", value_range=(1000, 40000), bands=(4, 0, 2)).read((0, 0, 301, 402))
    expected = (np.clip(values[..., [4, 0, 2]], 1000, 40000) - 1000.0) * (255 / 39000)
    assert np.abs(read - expected).max() <= 0.51


def test_a_large_array_is_mapped(tmp_path: Path) -> None:
    """Of 9 GB that are mostly holes, only what is looked at is read."""
    array = np.lib.format.open_memmap(tmp_path / "i.npy", mode="w+", dtype=np.uint8, shape=(60000, 50000, 3))
    array[30000:30010, 40000:40010] = 7
    del array
    pyramid = open_image(tmp_path / "i.npy")
    assert pyramid.native_levels == len(pyramid.levels) == 1
    assert pyramid.read((29995, 40000, 30005, 40010)).sum() == 5 * 10 * 3 * 7


def test_small_images_get_levels_in_memory_and_large_ones_ask_for_a_conversion(tmp_path: Path) -> None:
    for name, width in (("small", 4096), ("large", 4097)):
        image = np.broadcast_to(np.arange(width, dtype=np.uint8), (20, width))
        Image.fromarray(np.ascontiguousarray(image)).save(tmp_path / f"{name}.png")
        tifffile.imwrite(tmp_path / f"{name}.tif", image, compression="zlib")
    assert [level.shape[1] for level in open_image(tmp_path / "small.tif").levels] == [4096, 2048, 1024]
    assert has_pyramid(open_image(tmp_path / "small.tif"))
    assert has_pyramid(open_image(tmp_path / "small.png"))
    assert not has_pyramid(open_image(tmp_path / "large.tif"))
    assert not has_pyramid(open_image(tmp_path / "large.png"))
    assert open_image(tmp_path / "small.png").name == "small"
    assert open_image(tmp_path / "small.png").path == str(tmp_path / "small.png")


def write_zarr(path: Path, version: str, axes: str, array: np.ndarray, scale: float = 0.5) -> None:
    zarr_format: Any = 2 if version == "0.4" else 3
    group = zarr.create_group(path, zarr_format=zarr_format)
    datasets = []
    for index, level in enumerate((array, array[..., ::2, ::2])):
        group.create_array(str(index), data=level, chunks=tuple(min(64, n) for n in level.shape))
        sizes = [scale * 2**index if axis in "yx" else 1.0 for axis in axes]
        datasets.append({"path": str(index), "coordinateTransformations": [{"type": "scale", "scale": sizes}]})
    kinds = {"t": "time", "c": "channel"}
    described: list[dict[str, str]] = [
        {"name": axis, "type": kinds.get(axis, "space"), **({"unit": "micrometer"} if axis in "yx" else {})}
        for axis in axes
    ]
    multiscales = [{"version": version, "axes": described, "datasets": datasets}]
    attributes: dict[str, Any] = {"multiscales": multiscales}
    group.update_attributes(attributes if version == "0.4" else {"ome": {"version": version, **attributes}})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["yx", "cyx", "tczyx"])
def test_ome_zarr(tmp_path: Path, version: str, axes: str) -> None:
    expected = GRAY if axes == "yx" else RGB
    array = expected.transpose(2, 0, 1)
    lengths = {"t": 1, "z": 1, "c": 3, "y": 301, "x": 402}
    array = array[0] if axes == "yx" else array.reshape([lengths[axis] for axis in axes])
    write_zarr(tmp_path / "no suffix", version, axes, array)
    pyramid = open_image(tmp_path / "no suffix")
    assert np.array_equal(pyramid.levels[0][...], expected)
    assert np.array_equal(pyramid.levels[1][...], expected[::2, ::2])
    assert pyramid.factors == [(1, 1), (2, 2)]
    assert pyramid.pixel_size == (0.5, 0.5)
    assert pyramid.unit == "micrometer"
    assert pyramid.levels[0].chunks[:2] == (64, 64)


def test_a_scale_that_does_not_fit_the_shapes_is_not_believed(tmp_path: Path) -> None:
    write_zarr(tmp_path / "i.zarr", "0.5", "cyx", RGB.transpose(2, 0, 1))
    metadata = json.loads((tmp_path / "i.zarr" / "zarr.json").read_text())
    datasets = metadata["attributes"]["ome"]["multiscales"][0]["datasets"]
    datasets[1]["coordinateTransformations"][0]["scale"] = [1, 2, 2]
    (tmp_path / "i.zarr" / "zarr.json").write_text(json.dumps(metadata))
    assert open_image(tmp_path / "i.zarr").factors[1] == pytest.approx((301 / 151, 2))


def test_a_collection_of_bioformats2raw_opens_its_first_image(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "b.zarr", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    write_zarr(tmp_path / "b.zarr" / "0", "0.4", "cyx", RGB.transpose(2, 0, 1))
    assert np.array_equal(open_image(tmp_path / "b.zarr").levels[0][...], RGB)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "tiled.tif", "big.tif"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_truncated_files_are_refused_when_opened(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"i.{suffix}"
    if suffix.endswith("tif"):
        options = {"tile": (64, 64), "compression": "zlib"} if suffix == "tiled.tif" else {}
        tifffile.imwrite(path, RGB, bigtiff=suffix == "big.tif", **options)
    else:
        Image.fromarray(RGB).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(InputError, match=r"truncated|damaged|empty") as raised:
        open_image(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_damage_within_a_file_is_said_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "i.tif"
    tifffile.imwrite(path, RGB, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = b"x" * count
    path.write_bytes(data)
    pyramid = open_image(path)
    assert np.array_equal(pyramid.read((64, 64, 128, 128)), RGB[64:128, 64:128])
    with pytest.raises(InputError, match="damaged"):
        pyramid.read((0, 0, 10, 10))


def not_an_image(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "text.png").write_text("no image")
    (folder / "empty.tif").touch()
    (folder / "folder").mkdir()
    zarr.create_array(folder / "array.zarr", shape=(4, 4), dtype="u1")
    zarr.create_group(folder / "group.zarr")
    LabelPyramid.create(folder / "label.zarr", (4, 4), classes=[{"name": "a", "color": (1, 2, 3)}])
    write_zarr(folder / "planes.zarr", "0.5", "zyx", RGB.transpose(2, 0, 1))
    write_zarr(folder / "gap.zarr", "0.5", "cyx", RGB.transpose(2, 0, 1))
    (folder / "gap.zarr" / "1" / "zarr.json").unlink()
    tifffile.imwrite(folder / "stack.tif", np.stack([RGB, RGB]), photometric="rgb")
    tifffile.imwrite(folder / "cmyk.tif", RGBA, photometric="separated")
    tifffile.imwrite(folder / "jbig.tif", RGB, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(folder / "jbig.tif", mode="r+") as file:
        file.pages[0].tags["Compression"].overwrite(34661)
    for name, array in (("objects", np.array([["a", None]], object)), ("cube", np.zeros((2, 3, 4, 5))), ("ok", RGB)):
        np.save(folder / f"{name}.npy", array)
    (folder / "cut.npy").write_bytes((folder / "ok.npy").read_bytes()[:5000])
    (folder / "header.npy").write_bytes((folder / "ok.npy").read_bytes()[:60])
    return {
        "missing": (folder / "missing.tif", "no such file"),
        "text": (folder / "text.png", "not an image"),
        "empty": (folder / "empty.tif", "empty"),
        "folder": (folder / "folder", "not an OME-Zarr"),
        "array": (folder / "array.zarr", "Zarr"),
        "group": (folder / "group.zarr", "no OME-Zarr image"),
        "label": (folder / "label.zarr", "label image"),
        "planes": (folder / "planes.zarr", "one plane"),
        "gap": (folder / "gap.zarr", "level '1' is missing"),
        "stack": (folder / "stack.tif", "one plane"),
        "cmyk": (folder / "cmyk.tif", "SEPARATED"),
        "jbig": (folder / "jbig.tif", "compressed as JBIG"),
        "objects": (folder / "objects.npy", "never loaded"),
        "cube": (folder / "cube.npy", "has shape"),
        "cut npy": (folder / "cut.npy", "truncated"),
        "cut header": (folder / "header.npy", "truncated"),
    }


def test_what_is_no_image_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for path, message in not_an_image(tmp_path).values():
        with pytest.raises(InputError, match=message) as raised:
            open_image(path)
        assert str(raised.value).startswith(str(path))
        assert "\n" not in str(raised.value)


def test_pillows_limit_is_lifted_for_us_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(RGB).save(tmp_path / "i.png")
    assert open_image(tmp_path / "i.png").shape == (301, 402)
    assert Image.MAX_IMAGE_PIXELS == 100
    header = bytearray((tmp_path / "i.png").read_bytes())
    header[16:24] = (60000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(header)
    with pytest.raises(InputError, match=str(MAX_PIXELS)):
        open_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("name", ["tiff tiles", "tiff compressed strips", "png", "big endian in one piece"])
def test_threads_read_what_one_reads(tmp_path: Path, name: str) -> None:
    write, expected = LOSSLESS[name]
    write(tmp_path / "i")
    pyramid = open_image(tmp_path / "i", value_range=(0, 65535) if expected.dtype == np.uint16 else None)
    rng = np.random.default_rng(0)
    windows = [(y, x, y + 90, x + 120) for y, x in rng.integers(-50, 300, (60, 2)).tolist()]
    alone = [pyramid.read(window) for window in windows]
    with ThreadPoolExecutor(8) as pool:
        assert all(np.array_equal(a, b) for a, b in zip(alone, pool.map(pyramid.read, windows), strict=True))


def test_lerc_needs_rasterio_because_its_gaps_get_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lerc.tif"
    values = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    values[10:20, 10:20] = np.nan
    options = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": values.dtype, "compress": "lerc"}
    with rasterio.open(path, "w", **options) as file:
        file.write(values, 1)
    np.testing.assert_array_equal(np.asarray(open_image(path).levels[0][:])[..., 0], values)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(InputError, match=r"lerc\.tif: is compressed as LERC, whose missing values"):
        open_image(path)
