"""Bands of a network are found among those of an image by their names, however these are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.band_matching import canonical_names, find_bands
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid

FOUR = ("red", "green", "blue", "nir")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Red", "GREEN", "b", "NIR"], FOUR),
        (["Band 1 - Red", "Band 2 - Green", "Band 3 - Blue", "Band 4 - Near Infrared"], FOUR),
        (["B04", "B03", "B02", "B08"], FOUR),
        (["S2_B4", "S2_B3", "S2_B2", "S2_B8"], FOUR),
        (["665 nm", "560 nm", "490 nm", "0.842 um"], FOUR),
        (["red", "green", "blue", "near-infrared"], FOUR),
        (["B05", "B10", "B11"], ("b05", "b10", "b11")),  # of which satellite?
        (["B02", "B03", "B04", "B05", "B06"], ("blue", "green", "red", "b05", "b06")),  # Landsat's as well
        (["B1", "B2", "B3", "B4", "B5", "B7", "B8"], ("b1", "b2", "b3", "b4", "b5", "b7", "b8")),  # Landsat 7
        (["Red (665 nm)", "NIR 842nm", "surface_reflectance_green", "red band"], ("red", "nir", "green", "red")),
        (["Blue (band 2)", "rededge", "705 nm"], ("blue", "rededge1", "rededge1")),
        (["B02", "B05", "B8A", "B11"], ("blue", "rededge1", "narrownir", "swir1")),
        (["red edge", "coastal_blue", "Coastal Aerosol", "SWIR 1"], ("rededge1", "coastal", "coastal", "swir1")),
        (["B1", "B2", "B3"], ("b1", "b2", "b3")),
        (["VV", "vh", "DEM", "Band 7"], ("vv", "vh", "dem", "band7")),
        ([None, ""], (None, None)),
    ],
)
def test_names_are_compared_by_what_they_mean(names: list[str | None], expected: tuple[str | None, ...]) -> None:
    assert canonical_names(names) == expected


@given(st.text(max_size=20) | st.sampled_from(["B08", "842 nm", "Band 7", "narrow NIR", "SWIR 1", "red edge"]))
def test_a_name_that_is_compared_is_itself(name: str) -> None:
    once = canonical_names([name])
    assert canonical_names(once) == once


@given(st.permutations(["blue", "green", "red", "nir", "swir1", "rededge", "dem"]), st.data())
def test_bands_are_found_in_any_order(order: list[str], data: st.DataObject) -> None:
    image = named(len(order)).with_band_names(order)
    wanted = data.draw(st.lists(st.sampled_from(order), min_size=1, unique=True))
    assert [order[index] for index in find_bands(image, wanted)] == wanted


def named(channels: int) -> Pyramid:
    return pyramid_from_array(np.zeros((4, 5, channels), np.uint8), name="image")


def test_an_image_without_names_is_red_green_and_blue() -> None:
    assert find_bands(named(3), ("blue", "red")) == (2, 0)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("red", "green", "blue", "swir"), "has no band nir .its bands: red, green, blue, swir.*--band-names"),
        (("red", "nir", "near infrared", "blue"), "has two bands named nir"),
    ],
)
def test_a_mismatch_is_one_sentence(names: tuple[str, ...], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        find_bands(named(4).with_band_names(names), ("red", "nir"))


def test_a_band_that_is_taken_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"takes one band twice .nir, 842 nm"):
        find_bands(named(4).with_band_names(("red", "green", "blue", "nir")), ("nir", "842 nm"))


def test_names_are_stated_for_a_file_that_has_none(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.arange(4 * 5 * 4, dtype=np.uint8).reshape(4, 5, 4))
    image = open_image(tmp_path / "image.npy", bands=("nir", "blue", "green", "red"))
    assert image.bands == (3, 2, 1)
    assert find_bands(image, ("nir",)) == (0,)
    with pytest.raises(InputError, match="4 bands, and 2 names"):
        open_image(tmp_path / "image.npy", bands=("nir", "red"))
