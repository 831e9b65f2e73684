"""Groups of several images: all are named, and each can be opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from helpers_commands import Fctl
from helpers_ngff import write_image, write_labels

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats.ome_zarr import collection
from fctl_napari.imagery.naming import beside
from fctl_napari.imagery.open import open_image


def write_collection(path: Path, names: list[str], version: Any, listed: list[str] | None) -> Path:
    layout = {"bioformats2raw.layout": 3}
    attributes = layout if version == 2 else {"ome": {"version": "0.5", **layout}}
    zarr.create_group(path, zarr_format=version, attributes=attributes)
    if listed is not None:
        series = {"series": listed}
        zarr.create_group(path / "OME", zarr_format=version, attributes=series if version == 2 else {"ome": series})
    for index, name in enumerate(names):
        write_image(path / name, np.full((3, 20, 30), index, np.uint8), version=version)
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["0", "1", "2"], None),
        (["0", "1"], ["0", "1"]),
        (["slide", "label"], ["slide", "label"]),
        (["b", "a"], ["b", "a"]),
    ],
)
def test_series(tmp_path: Path, names: list[str], listed: list[str] | None, version: int) -> None:
    path = write_collection(tmp_path / "c.ome.zarr", names, version, listed)
    assert collection(path) == names
    assert open_image(path).levels[0][0, 0, 0] == 0
    for index, name in enumerate(names):
        assert open_image(path / name).levels[0][0, 0, 0] == index
        assert collection(path / name) == []


def test_series_at_an_address(tmp_path: Path, serve: Any) -> None:
    write_collection(tmp_path / "c.zarr", ["left", "right"], 3, ["left", "right"])
    url = f"{serve(tmp_path).url}/c.zarr"
    assert collection(f"{url}?sig=1") == ["left", "right"]
    assert open_image(f"{url}/right?sig=1").levels[0][0, 0, 0] == 1


def test_a_folder_of_images(tmp_path: Path) -> None:
    for name in ("images/p10", "images/p9"):
        write_image(tmp_path / "s.zarr" / name, np.zeros((3, 20, 30), np.uint8))
    write_labels(tmp_path / "s.zarr" / "images" / "p9", "truth", np.zeros((20, 30), np.uint8))
    zarr.open_group(tmp_path / "s.zarr", mode="a")
    zarr.open_group(tmp_path / "s.zarr" / "images", mode="a")
    assert collection(tmp_path / "s.zarr") == ["images/p9", "images/p10"]


def test_wells_and_plates(tmp_path: Path) -> None:
    well = {"well": {"images": [{"path": "f1"}, {"path": "f2"}]}}
    zarr.create_group(tmp_path / "p.zarr", attributes={"ome": {"plate": {"wells": [{"path": "B/3"}]}}})
    zarr.create_group(tmp_path / "p.zarr" / "B" / "3", attributes={"ome": well})
    for name in ("f1", "f2"):
        write_image(tmp_path / "p.zarr" / "B" / "3" / name, np.zeros((3, 20, 30), np.uint8))
    assert collection(tmp_path / "p.zarr" / "B" / "3") == ["f1", "f2"]
    with pytest.raises(InputError, match=r"is a plate of 1 well; give one of its images, say .*p\.zarr/B/3/0"):
        open_image(tmp_path / "p.zarr")


def test_commands_name_all_images(tmp_path: Path, fctl: Fctl) -> None:
    path = write_collection(tmp_path / "c.ome.zarr", ["0", "1"], 3, None)
    words = "2 images: 0, 1; 0 is open, another with --image N"
    assert words in fctl("info", path).out
    assert f"{path}: holds {words}" in fctl("convert", path, tmp_path / "out.ome.zarr").err
    assert "images" not in fctl("info", path / "1").out
    assert open_image(tmp_path / "out.ome.zarr").levels[0][0, 0, 0] == 0


def test_results_of_an_image_in_a_collection_lie_beside_it(tmp_path: Path) -> None:
    path = write_collection(tmp_path / "c.ome.zarr", ["0", "1"], 3, None)
    assert beside(path / "1", ".x") == tmp_path / "c.1.x"
    assert beside(path, ".x") == tmp_path / "c.x"
    (path / "1.x").mkdir()
    assert beside(path / "1", ".x") == path / "1.x", "one that is there already is found"
