"""Which bands of a GeoTIFF are red, green and blue: as the file says itself, or a question."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image

rasterio = pytest.importorskip("rasterio")

RED, GREEN, BLUE, NIR = np.random.default_rng(0).integers(0, 255, (4, 40, 50)).astype(np.uint8)
RGB = np.dstack([RED, GREEN, BLUE])


def write(path: Path, bands: list[np.ndarray], names: tuple = (), colors: tuple = (), **options: object) -> Path:
    """Write a GeoTIFF of some bands, with descriptions and color interpretations."""
    from rasterio.enums import ColorInterp

    profile = {"driver": "GTiff", "width": 50, "height": 40, "count": len(bands), "dtype": bands[0].dtype, **options}
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.stack(bands))
        if colors:
            file.colorinterp = [ColorInterp[color] for color in colors]
        if names:
            file.descriptions = names
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("bands", "names", "colors", "options"),
    [
        ("BGRN", ("blue", "green", "red", "nir"), ("blue", "green", "red", "undefined"), {}),
        ("BGRN", (), ("blue", "green", "red", "undefined"), {}),
        ("BGRN", ("Blue", "Green", "Red", "Near Infrared"), (), {"photometric": "minisblack", "alpha": "no"}),
        ("RGBN", ("red", "green", "blue", "nir"), (), {"photometric": "rgb", "alpha": "unspecified"}),
        ("RGBN", (), (), {"photometric": "rgb", "alpha": "unspecified"}),
        ("BGRNNG", ("B02", "B03", "B04", "B08", "B11", "B12"), (), {}),
        ("NRGB", ("nir", "red", "green", "blue"), (), {"photometric": "minisblack", "alpha": "no"}),
        ("BGR", ("blue", "green", "red"), (), {"photometric": "minisblack"}),
    ],
)
def test_bands_are_found_by_what_the_file_says(
    tmp_path: Path, bands: str, names: tuple, colors: tuple, options: dict
) -> None:
    stored = [{"R": RED, "G": GREEN, "B": BLUE, "N": NIR}[band] for band in bands]
    image = open_image(write(tmp_path / "image.tif", stored, names, colors, **options))
    assert np.array_equal(image.read((0, 0, 40, 50)), RGB)
    assert image.validity is None  # no band becomes opacity
    copy = open_image(convert(image, tmp_path / "copy.ome.zarr"))
    assert np.array_equal(copy.read((0, 0, 40, 50)), RGB)
    assert copy.band_names == image.band_names


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("count", "names", "words"),
    [
        (3, ("nir", "red", "green"), "bands nir, red, green, of which none is blue"),
        (4, (), "has 4 bands; say which are red, green and blue with --bands"),
        (5, ("B1", "B2", "B3", "B4", "B5"), r"has 5 bands \(B1, B2, B3, B4, B5\); say"),
    ],
)
def test_what_is_unclear_is_asked(
    fctl: Fctl, tmp_path: Path, tiny_checkpoint: Path, count: int, names: tuple, words: str
) -> None:
    stored = [NIR, RED, GREEN, BLUE, NIR][:count]
    path = write(tmp_path / "image.tif", stored, names, photometric="minisblack", alpha="no")
    with pytest.raises(InputError, match=words):
        open_image(path).require_rgb()
    assert np.array_equal(open_image(path, bands=(1, 2, 0)).read((0, 0, 40, 50)), np.dstack([RED, GREEN, NIR]))
    assert "unclear; state them where it is used, as in fctl segment --bands R G B" in fctl("info", path).out


@pytest.mark.filterwarnings("ignore")
def test_alpha_is_what_is_called_so(tmp_path: Path) -> None:
    opaque = np.where(np.arange(50) < 20, 255, 0).astype(np.uint8)[None].repeat(40, 0)
    colors = ("red", "green", "blue", "alpha")
    image = open_image(write(tmp_path / "image.tif", [RED, GREEN, BLUE, opaque], (), colors))
    assert np.array_equal(image.read_valid((0, 0, 40, 50)), opaque > 0)
    assert image.rgb_channels == (0, 1, 2)


@pytest.mark.filterwarnings("ignore")
def test_three_bands_of_which_nothing_is_said_are_taken_in_order(tmp_path: Path) -> None:
    image = open_image(write(tmp_path / "image.tif", [RED, GREEN, BLUE], photometric="minisblack"))
    assert np.array_equal(image.read((0, 0, 40, 50)), RGB)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("unit", ["Nanometers", "Micrometers"])
@pytest.mark.parametrize("bands", ["BGR", "BGRNN"])
def test_bands_are_found_by_their_wavelengths(tmp_path: Path, bands: str, unit: str) -> None:
    stored = [{"R": RED, "G": GREEN, "B": BLUE, "N": NIR}[band] for band in bands]
    path = write(tmp_path / "image.tif", stored, photometric="minisblack", alpha="no")
    with rasterio.open(path, "r+") as file:
        for band, nm in enumerate((485, 560, 660, 830, 1600)[: len(bands)], 1):
            value = nm if unit == "Nanometers" else nm / 1000
            file.update_tags(band, wavelength=str(value), wavelength_units=unit)
    assert np.array_equal(open_image(path).read((0, 0, 40, 50)), RGB)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["nir", "B8", "B08", "Near Infrared"])
def test_a_band_that_is_named_is_no_opacity(tmp_path: Path, name: str) -> None:
    """Four bands of 8 bits are red, green, blue and alpha for rasterio unless it is told otherwise."""
    from rasterio.shutil import copy

    names = (*(("B4", "B3", "B2") if name.startswith("B") else ("red", "green", "blue")), name)
    path = write(tmp_path / "image.tif", [RED, GREEN, BLUE, NIR], names)
    copy(path, tmp_path / "image.vrt", driver="VRT")
    for file in (path, tmp_path / "image.vrt"):
        image = open_image(file)
        assert image.validity is None
        assert image.bands == (0, 1, 2)
        assert image.band_names == names
    unnamed = write(tmp_path / "unnamed.tif", [RED, GREEN, BLUE, NIR], ("", "", "", ""))
    assert open_image(unnamed).validity is not None


@pytest.mark.filterwarnings("ignore")
def test_names_of_bands_come_before_colors_that_nobody_stated(tmp_path: Path) -> None:
    path = write(tmp_path / "image.tif", [NIR, RED, GREEN, BLUE], ("B08", "B04", "B03", "B02"))
    image = open_image(path)
    assert image.band_names == ("B08", "B04", "B03", "B02")
    assert np.array_equal(image.read((0, 0, 40, 50)), RGB)
