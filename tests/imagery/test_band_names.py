"""Red, green and blue are chosen by what a file says about its bands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from helpers_ngff import write_image
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.imagery.band_names import rgb_bands
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image

SUPERDOVE = ["coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"]


@pytest.mark.parametrize(
    ("said", "bands"),
    [
        ({"names": ["red", "green", "blue"]}, None),
        ({"names": ["red", "green", "blue", "nir"]}, (0, 1, 2)),
        ({"names": ["red", "green", "blue", "Alpha"]}, None),
        ({"names": ["Blue", "Green", "Red", "Near Infrared"]}, (2, 1, 0)),
        ({"names": ["B", "G", "R"]}, (2, 1, 0)),
        ({"names": ["Band 1 - Blue", "Band 2 - Green", "Band 3 - Red", "Band 4 - NIR"]}, (2, 1, 0)),
        ({"names": SUPERDOVE}, (5, 3, 1)),
        ({"names": ["B01", "B02", "B03", "B04", "B05", "B8A"]}, (3, 2, 1)),
        ({"names": ["B2", "B3", "B4", "B8"]}, (2, 1, 0)),
        ({"names": ["S2_B04", "S2_B03", "S2_B02", "S2_B08"]}, (0, 1, 2)),
        ({"names": ["nir", "red", "green"]}, None),
        ({"names": ["red edge", "green", "blue"]}, None),
        ({"names": ["B1", "B2", "B3", "B4"]}, None),  # red is 3 of Landsat 7 and 4 of Landsat 8
        ({"names": ["490 nm", "560 nm", "665 nm", "842 nm"]}, (2, 1, 0)),
        ({"wavelengths": [490, 560, 665, 705, 842]}, (2, 1, 0)),
        ({"wavelengths": [0.842, 0.665, 0.56, 0.49]}, (1, 2, 3)),
        ({"names": [None, "", "x"], "colors": ["0000FF", "#00ff00", "FF0000"]}, (2, 1, 0)),
        ({"colors": ["blue", "green", "red", "undefined"]}, (2, 1, 0)),
        ({"names": ["blue", "green", "red"], "colors": ["FF0000", "00FF00", "0000FF"]}, (2, 1, 0)),
        ({"colors": ["FFFFFF", "FFFFFF", "FFFFFF"]}, None),
        ({}, None),
    ],
)
def test_bands(said: dict[str, Any], bands: tuple[int, int, int] | None) -> None:
    assert rgb_bands(**said) == bands


@given(st.permutations(["red", "green", "blue", "nir", "swir1", "red edge 1"]))
def test_any_order(names: list[str]) -> None:
    assert rgb_bands(names) == (names.index("red"), names.index("green"), names.index("blue"))


def channels(*described: tuple[str, str]) -> dict[str, Any]:
    return {"omero": {"channels": [{"label": label, "color": color} for label, color in described]}}


BGR = channels(("blue", "0000FF"), ("green", "00FF00"), ("red", "FF0000"))


@pytest.mark.parametrize("version", [2, 3])
def test_channels_of_an_ome_zarr(tmp_path: Path, version: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    write_image(tmp_path / "i.zarr", np.ascontiguousarray(rgb.transpose(2, 0, 1)[::-1]), version=version, **BGR)
    image = open_image(tmp_path / "i.zarr")
    assert np.array_equal(image.read((0, 0, 40, 60)), rgb)
    copy = convert(image, tmp_path / "c.zarr")
    assert np.array_equal(open_image(copy).read((0, 0, 40, 60)), rgb)
    written = zarr.open_group(copy, mode="r").attrs["ome"]["omero"]["channels"]
    assert [channel["label"] for channel in written] == ["blue", "green", "red"], "for other programs"
    stated = open_image(tmp_path / "i.zarr", bands=(0, 1, 2))
    assert np.array_equal(stated.read((0, 0, 40, 60)), rgb[..., ::-1])


def test_near_infrared_is_no_opacity(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 256, (4, 40, 60)).astype(np.uint8)
    named = channels(*((name, "FFFFFF") for name in ("red", "green", "blue", "nir")))
    write_image(tmp_path / "i.zarr", stack, **named)
    assert open_image(tmp_path / "i.zarr").bands == (0, 1, 2)
