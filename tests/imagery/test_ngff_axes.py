"""OME-Zarr of other versions and writers: axes by name or type, and where an image lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from helpers_commands import Fctl
from helpers_ngff import axes_of, write_image
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.formats.ngff_axes import axis_letters
from fctl_napari.imagery.open import open_image

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
CYX = np.ascontiguousarray(RGB.transpose(2, 0, 1))
SCALE = {"type": "scale", "scale": [1.0, 0.5, 0.25]}
MOVED = {"type": "translation", "translation": [0.0, 10.0, 20.0]}


def write_06(path: Path, *transformations: dict[str, Any], old: bool = False, **more: Any) -> Path:
    """An image of version 0.6: its axes in a coordinate system, that may not be the first, and a transformation."""
    group = zarr.create_group(path)
    group.create_array("s0", data=CYX)
    ends = {"input": "s0", "output": "um"} if old else {"input": {"path": "s0"}, "output": {"name": "um"}}
    systems = [{"name": "other", "axes": axes_of("abc")}, {"name": "um", "axes": axes_of("cyx", "micrometer")}]
    datasets = [{"path": "s0", "coordinateTransformations": [{**each, **ends} for each in transformations]}]
    multiscale = {"coordinateSystems": systems, "datasets": datasets, **more}
    group.attrs["ome"] = {"version": "0.6", "multiscales": [multiscale]}
    return path


AFFINE = {"type": "affine", "affine": [[1, 0, 0, 0], [0, 0.5, 0, 10], [0, 0, 0.25, 20]]}


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize(
    ("transformation", "size", "translation"),
    [
        (SCALE, (0.5, 0.25), (0, 0)),
        ({"type": "identity"}, (1, 1), (0, 0)),
        ({"type": "sequence", "transformations": [SCALE, MOVED]}, (0.5, 0.25), (10, 20)),
        ({"type": "sequence", "transformations": [MOVED, SCALE]}, (0.5, 0.25), (5, 5)),
        (
            {"type": "sequence", "transformations": [{"type": "sequence", "transformations": [SCALE]}]},
            (0.5, 0.25),
            (0, 0),
        ),
        (AFFINE, (0.5, 0.25), (10, 20)),
    ],
)
def test_version_06(tmp_path: Path, transformation: dict, size: tuple, translation: tuple, old: bool) -> None:
    """The transformations of the whole image lead to other systems, and do not count."""
    whole = {"type": "rotation", "input": {"name": "um"}, "output": {"name": "other"}, "rotation": []}
    image = open_image(write_06(tmp_path / "i.zarr", transformation, old=old, coordinateTransformations=[whole]))
    assert np.array_equal(image.levels[0][...], RGB)
    assert (image.pixel_size, image.translation, image.unit) == (size, translation, "micrometer")


@pytest.mark.parametrize(
    ("transformation", "words"),
    [
        ({"type": "rotation", "rotation": [[1, 0], [0, 1]]}, "type rotation"),
        ({"type": "affine", "affine": [[1, 0, 0, 0], [0, 1, 0.1, 0], [0, 0, 1, 0]]}, "type affine"),
        ({"type": "displacements", "path": "field"}, "type displacements"),
        ({"type": "scale", "scale": ["a", "b", "c"]}, "cannot be read"),
        ({"scale": [1, 1, 1]}, "cannot be read"),
    ],
)
def test_other_transformations_are_refused(tmp_path: Path, transformation: dict[str, Any], words: str) -> None:
    path = write_06(tmp_path / "i.zarr", transformation)
    with pytest.raises(InputError, match=words) as raised:
        open_image(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_transformations_in_an_array_and_of_the_whole_image(tmp_path: Path) -> None:
    group = write_image(tmp_path / "i.zarr", CYX, size=None)
    group.create_array("factors", data=np.array([1.0, 0.5, 0.25]))
    ome = group.attrs["ome"]
    multiscale = ome["multiscales"][0]
    multiscale["datasets"][0]["coordinateTransformations"] = [{"type": "scale", "path": "factors"}]
    multiscale["coordinateTransformations"] = [{"type": "scale", "scale": [1, 2, 2]}, MOVED]
    group.attrs["ome"] = ome
    image = open_image(tmp_path / "i.zarr")
    assert (image.pixel_size, image.translation) == ((1.0, 0.5), (10, 20))


@pytest.mark.parametrize(
    "names", [("band", "lat", "lon"), ("wavelength", "northing", "easting"), ("C", "Y", "X"), ("k", "v", "u")]
)
def test_axes_of_other_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    group = write_image(tmp_path / "i.zarr", CYX)
    ome = group.attrs["ome"]
    for name, axis in zip(names, ome["multiscales"][0]["axes"], strict=True):
        axis["name"] = name
    group.attrs["ome"] = ome
    assert np.array_equal(open_image(tmp_path / "i.zarr").levels[0][...], RGB)


@given(st.permutations([("lat", "space"), ("lon", "space"), ("band", "channel"), ("depth", "space"), ("time", "time")]))
def test_names_count_in_any_order(axes: list[tuple[str, str]]) -> None:
    letters = axis_letters([{"name": name, "type": kind} for name, kind in axes], "")
    assert sorted(letters) == sorted("yxctz")
    assert [name for (name, _), letter in zip(axes, letters, strict=True) if letter in "yx"] == [
        name for name, _ in axes if name in ("lat", "lon")
    ]
    assert letters[[name for name, _ in axes].index("lon")] == "x"


def test_axes_that_are_not_told_apart_are_refused(tmp_path: Path) -> None:
    group = write_image(tmp_path / "i.zarr", CYX)
    ome = group.attrs["ome"]
    ome["multiscales"][0]["axes"] = [{"name": name} for name in ("c", "first", "second")]
    group.attrs["ome"] = ome
    with pytest.raises(InputError, match="its axes are c, first, second"):
        open_image(tmp_path / "i.zarr")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("slash", ["", "0"])
def test_an_array_alone_is_named_as_such(tmp_path: Path, version: Any, slash: str) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path / slash, data=CYX, zarr_format=version)
    with pytest.raises(InputError, match=r"is a single array of a Zarr"):
        open_image(path / slash)


def test_translation_is_kept_by_a_conversion(tmp_path: Path, fctl: Fctl) -> None:
    write_image(tmp_path / "i.zarr", CYX, size=0.5, translation=(10, 20), unit="micrometer")
    image = open_image(tmp_path / "i.zarr")
    converted = open_image(convert(image, tmp_path / "c.ome.zarr"))
    assert (converted.pixel_size, converted.translation, converted.unit) == ((0.5, 0.5), (10, 20), "micrometer")
    assert converted.translation == image.translation
    assert "at 20, 10 micrometer (x, y)" in fctl("info", tmp_path / "c.ome.zarr").out
