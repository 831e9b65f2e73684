"""Small rasters of any format and with any mark of px without data, and what rasterio reads of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.shutil import copy
from rasterio.transform import from_gcps

from fctl_napari.imagery.pyramid import Pyramid

ANY = ("uint8", "uint16", "int16", "int32", "float32", "float64")
SHORT = ("uint8", "uint16", "int16")
TILES = {"tiled": True, "blockxsize": 16, "blockysize": 16}


@dataclass(frozen=True)
class Format:
    """A driver of GDAL with its options, the types that it writes, and what of a file is another way there."""

    driver: str
    options: dict[str, Any]
    dtypes: tuple[str, ...] = ANY
    lossy: int = 0
    """Largest difference between two decoders, in gray values."""


FORMATS = {
    "strips": Format("GTiff", {}),
    "tiles": Format("GTiff", TILES),
    "bands apart": Format("GTiff", {**TILES, "interleave": "band", "compress": "deflate"}),
    "px together": Format("GTiff", {**TILES, "interleave": "pixel", "compress": "deflate", "predictor": 2}, SHORT),
    "lzw": Format("GTiff", {"compress": "lzw"}),
    "packbits": Format("GTiff", {"compress": "packbits"}),
    "zstd": Format("GTiff", {**TILES, "compress": "zstd", "predictor": 3}, ("float32", "float64")),
    "lzma": Format("GTiff", {"compress": "lzma"}),
    "webp": Format("GTiff", {**TILES, "compress": "webp", "webp_lossless": True, "interleave": "pixel"}, ("uint8",)),
    "jpeg in tiff": Format("GTiff", {**TILES, "compress": "jpeg", "jpeg_quality": 100}, ("uint8",), 4),
    "lerc": Format("GTiff", {**TILES, "compress": "lerc"}),
    "big tiff": Format("GTiff", {"bigtiff": "yes", "endianness": "big"}),
    "sparse": Format("GTiff", {**TILES, "sparse_ok": True}),
    "cog": Format("COG", {"blocksize": 128, "overviews": "AUTO"}),
    "png": Format("PNG", {"worldfile": "yes"}, ("uint8", "uint16")),
    "jpeg": Format("JPEG", {"worldfile": "yes", "quality": 100}, ("uint8",), 8),
    "jpeg 2000": Format("JP2OpenJPEG", {"QUALITY": "100", "REVERSIBLE": "YES"}, SHORT),
    "vrt": Format("VRT", {}),
    "erdas": Format("HFA", {}),
    "envi": Format("ENVI", {}),
    "nitf": Format("NITF", {}, ("uint8", "uint16", "int16", "float32")),
    "mbtiles": Format("MBTiles", {"TILE_FORMAT": "PNG"}, ("uint8",)),
    "geopackage": Format("GPKG", {"TILE_FORMAT": "PNG"}, ("uint8",)),
    "netcdf": Format("netCDF", {}),
    "bmp": Format("BMP", {}, ("uint8",)),
    "mrf": Format("MRF", {}),
    "webp alone": Format("WEBP", {"LOSSLESS": "YES"}, ("uint8",)),
}

VALUES = {
    "nodata": 0.0,
    "an end of the type": None,
    "more digits than px": -3.40282e38,
    "NaN": float("nan"),
    "a value out of the type": None,
}
MARKS = (
    "none",
    *VALUES,
    "NODATA_VALUES",
    "mask",
    "msk",
    "alpha",
    "NaN px",
    "infinite px",
    "aux.xml",
    "aux.xml by band",
)

PLACES = ("north up", "turned", "degrees", "points", "nowhere")


@dataclass(frozen=True)
class Case:
    """A raster to write."""

    form: str
    mark: str
    dtype: str
    bands: int = 3
    size: tuple[int, int] = (37, 53)
    overviews: str = "none"
    place: str = "north up"
    seed: int = 0

    @property
    def floating(self) -> bool:
        return np.dtype(self.dtype).kind == "f"

    @property
    def possible(self) -> bool:
        """False for what GDAL does not know, or what no file of the format can hold."""
        form = FORMATS[self.form]
        if form.driver == "NITF" and self.place in ("turned", "points"):
            return False  # it states corners in whole meters, too coarse for such small images
        if self.mark == "more digits than px":
            return self.dtype == "float32"
        if self.mark in ("NaN", "NaN px", "infinite px"):
            return self.floating
        if self.mark == "alpha":  # GDAL takes alpha of these types alone for a mask
            return self.dtype in ("uint8", "uint16") and self.bands in (1, 3)
        by_value = self.mark in (*VALUES, "NODATA_VALUES") or self.mark.startswith("aux.xml")
        return not (form.lossy and by_value)  # decoders differ by a rounding


def values_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return smooth values [band, y, x], and where there is to be no data."""
    random = np.random.default_rng(case.seed)
    y, x = np.mgrid[: case.size[0], : case.size[1]]
    phases = random.integers(0, 30, case.bands)
    values = np.stack([abs((y + 2 * x + phase) % 160 - 80) + 10 for phase in phases]).astype(case.dtype)
    values += values.dtype.type(0.3 if case.floating else 0)
    hole = (y < case.size[0] // 2) & (x >= case.size[1] // 3)
    hole[-1, 0] = True
    return values, hole


def nodata_of(case: Case) -> float | None:
    """Return the value that means no data in a case."""
    limits = np.finfo(case.dtype) if case.floating else np.iinfo(case.dtype)
    if case.mark == "an end of the type":
        return float(limits.min if case.dtype.startswith(("int", "f")) else limits.max)
    return VALUES.get(case.mark)


def write(folder: Path, case: Case) -> Path:
    """Write a raster, by way of a GeoTIFF. Raises an error of rasterio where GDAL cannot write it so."""
    form, source = FORMATS[case.form], folder / "source.tif"
    _write_source(source, case)
    path = folder / f"image.{'tif' if form.driver in ('GTiff', 'COG') else form.driver.lower()}"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=case.mark != "msk"):
        copy(source, path, driver=form.driver, **form.options)
    if case.overviews != "none":
        with rasterio.Env(TIFF_USE_OVR=case.overviews == "beside"), rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    if case.mark.startswith("aux.xml"):
        _write_aux_xml(Path(f"{path}.aux.xml"), case)
    if form.driver != "VRT":
        for left in folder.glob("source*"):
            left.unlink()
    return path


def _write_source(path: Path, case: Case) -> None:
    values, hole = values_of(case)
    nodata = nodata_of(case)
    profile: dict[str, Any] = {"driver": "GTiff", "width": case.size[1], "height": case.size[0], "dtype": case.dtype}
    if nodata is not None:
        values[:, hole] = nodata
        values[0, -1, -1] = nodata  # one band that happens to have the value is data
        profile["nodata"] = nodata
    if case.mark in ("NODATA_VALUES", "aux.xml"):
        values[:, hole] = 7
    if case.mark == "aux.xml by band":
        values[:, hole] = np.arange(1, case.bands + 1)[:, None]
    if case.mark == "NaN px":
        values[-1, hole] = np.nan
    if case.mark == "infinite px":
        values[0, hole] = -np.inf
    if case.mark == "alpha":
        opaque = np.where(hole, 0, 255 if case.floating else np.iinfo(case.dtype).max)
        values = np.concatenate([values, opaque[None].astype(case.dtype)])
        profile |= {"alpha": "yes"}
    if case.bands >= 3:
        profile |= {"photometric": "rgb"}
    with rasterio.open(path, "w", count=len(values), **profile) as file:
        file.write(values)
        _place(file, case)
        if case.mark == "NODATA_VALUES":
            file.update_tags(NODATA_VALUES=" ".join(["7"] * len(values)))
    if case.mark in ("mask", "msk"):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=case.mark == "mask"), rasterio.open(path, "r+") as file:
            file.write_mask(~hole)


def _place(file: Any, case: Case) -> None:
    meters = "EPSG:3857" if FORMATS[case.form].driver in ("GPKG", "MBTiles") else "EPSG:32640"
    if case.place == "points":
        height, width = case.size
        spots = [(0, 0), (0, width), (height, 0), (height, width)]
        file.gcps = (
            [GroundControlPoint(y, x, 3e5 + 0.5 * x + 0.1 * y, 2e6 + 0.1 * x - 0.5 * y) for y, x in spots],
            meters,
        )
    elif case.place != "nowhere":
        file.crs = "EPSG:4326" if case.place == "degrees" else meters
        turned = 0.1 if case.place == "turned" else 0.0
        file.transform = (
            rasterio.Affine(1e-4, 0, 54.5, 0, -1e-4, 24.3)
            if case.place == "degrees"
            else rasterio.Affine(0.5, turned, 3e5, turned, -0.5, 2e6)
        )


def _write_aux_xml(path: Path, case: Case) -> None:
    """Add values that mean no data, and names, to what stands beside the image."""
    text = path.read_text() if path.exists() else "<PAMDataset></PAMDataset>"
    bands = "".join(
        f'<PAMRasterBand band="{band}"><Description>kind {band}</Description>'
        f"<NoDataValue>{7 if case.mark == 'aux.xml' else band}</NoDataValue></PAMRasterBand>"
        for band in range(1, case.bands + 1)
    )
    path.write_text(text.replace("</PAMDataset>", f"{bands}</PAMDataset>"))


def differences(image: Pyramid, path: str | Path, case: Case) -> list[str]:
    """Compare an image with what rasterio reads of its file, and name what differs."""
    found = []
    with rasterio.open(path) as file:
        overviews, place, marks = len(file.overviews(1)), _place_of(file), _marks(file)
        found += [] if image.native_levels == overviews + 1 else [f"{image.native_levels} levels, not {overviews + 1}"]
        found += _bands_differ(image, file)
    georeference = image.georeference
    if (georeference is None) != (place is None):
        found.append(f"place {georeference}, not {place}")
    elif georeference is not None and place is not None:
        crs, transform = place
        found += [] if not crs or rasterio.CRS.from_user_input(georeference.crs) == crs else [f"CRS {georeference.crs}"]
        found += [] if np.allclose(georeference.transform, transform[:6], rtol=1e-9) else ["the transform"]
    for level in range(min(image.native_levels, overviews + 1)):
        with rasterio.open(path, **({"overview_level": level - 1} if level else {})) as file:
            found += _level_differs(image, level, file, FORMATS[case.form].lossy)
            if _marks(file) == marks:  # of overviews GDAL forgets a mask in the file, and an .aux.xml
                window = (0, 0, *file.shape)
                same = np.array_equal(image.read_valid(window, level), _valid(image, file))
                found += [] if same else [f"mask of level {level}"]
    return found


def _marks(file: Any) -> str:
    """Return the values and kinds of masks that mark no data, as text, since NaN is not equal to itself."""
    return f"{file.nodatavals} {file.mask_flag_enums}"


def _place_of(file: Any) -> tuple[Any, Any] | None:
    points, crs = file.gcps
    if points and file.transform.is_identity:
        return crs, from_gcps(points)
    return None if file.transform.is_identity else (file.crs, file.transform)


def _bands_differ(image: Pyramid, file: Any) -> list[str]:
    colors = [color.name for color in file.colorinterp]
    found = []
    if {"red", "green", "blue"} <= set(colors):
        right = tuple(colors.index(color) for color in ("red", "green", "blue"))
        found += [] if tuple(image.rgb_channels) == right else [f"red, green and blue are {image.rgb_channels}"]
    # Names that only count ("Band 1") give way to colors.
    names = [name for name in file.descriptions if name and "palette" not in colors and "band" not in name.lower()]
    if names and image.path is not None and not image.path.endswith((".png", ".jpeg")):
        found += [] if list(image.band_names[: len(names)]) == names else [f"names {image.band_names}"]
    return found


def _level_differs(image: Pyramid, level: int, file: Any, lossy: int) -> list[str]:
    height, width = file.shape
    if image.levels[level].shape[:2] != (height, width):
        return [f"size of level {level}"]
    right, window = file.read().transpose(1, 2, 0), (0, 0, height, width)
    if file.colorinterp[0] == ColorInterp.palette:
        right = np.array([file.colormap(1)[value] for value in right.ravel()], np.uint8).reshape(height, width, 4)
    pixels = image.read_native(window, level)
    both = min(pixels.shape[2], right.shape[2])  # the alpha of a gray image is dropped
    pixels, right = pixels[..., :both], right[..., :both]
    found = [] if pixels.dtype == right.dtype else [f"type {pixels.dtype}"]
    if lossy:
        found += [] if np.abs(pixels.astype(int) - right).max() <= lossy else [f"px of level {level}"]
    else:
        same = np.array_equal(pixels, right, equal_nan=pixels.dtype.kind == "f")
        found += [] if same else [f"px of level {level}"]
    return found


def _valid(image: Pyramid, file: Any) -> np.ndarray:
    """Return the mask of rasterio. Of values that mean no data those of red, green and blue count."""
    shown = [channel + 1 for channel in image.rgb_channels if channel < file.count]
    flags = {flag.name for flags in file.mask_flag_enums for flag in flags}
    by_band = flags <= {"nodata", "all_valid"} and file.colorinterp[0] != ColorInterp.palette
    valid = file.read_masks(shown).any(0) if by_band else file.dataset_mask() > 0
    return valid & np.isfinite(file.read(shown)).all(0)
