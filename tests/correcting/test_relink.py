"""Corrections whose image is another one now: linked to it, in place or in a copy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from helpers_commands import Fctl
from helpers_corrections import SHAPE, TABLE, blank, with_author
from PIL import Image

from fctl_napari.correcting import relink as relinking
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.relink import copy_for, relink
from fctl_napari.exceptions import InputError, OtherImageError, OutputError
from fctl_napari.imagery.open import open_image
from fctl_napari.segmentation.store.identity import same_image

BEFORE, NOW = blank(seed=1), blank(seed=2)


@pytest.fixture
def corrections(tmp_path: Path) -> Path:
    path = tmp_path / "c.ome.zarr"
    with Corrections.create(path, BEFORE, TABLE) as there:
        there.write(10, 20, np.full((30, 40), 2, np.uint8), author="ann")
        there.write(20, 20, np.full((5, 5), 255, np.uint8), author="bob")
    return path


def test_they_are_refused_until_they_are_linked(corrections: Path) -> None:
    before = with_author(Corrections.open(corrections))
    with pytest.raises(OtherImageError, match=r"another image \(blank with other pixels\); choose another name, or"):
        Corrections.open(corrections, image=NOW)
    relink(corrections, NOW)
    with Corrections.open(corrections, "r+", image=NOW) as there:
        assert np.array_equal(with_author(there), before)
        assert there.undo() is not None  # the history came along
        assert there.redo() is not None
    relink(corrections, NOW)  # says nothing new
    relink(corrections, BEFORE)
    facts = Corrections.open(corrections, image=BEFORE).facts
    assert [same_image(facts["relinked"][k], image) for k, image in enumerate((BEFORE, NOW))] == [True, True]
    assert len(facts["relinked"]) == 2


def test_a_copy_leaves_the_others_alone(corrections: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.ome.zarr"
    copy_for(corrections, copy, NOW)
    with Corrections.open(copy, "r+", image=NOW) as there:
        assert np.array_equal(with_author(there), with_author(Corrections.open(corrections, image=BEFORE)))
        there.write(100, 100, np.full((5, 5), 1, np.uint8), author="ann")
    assert Corrections.open(corrections).read((100, 100, 101, 101)) == 0
    with pytest.raises(OutputError, match=r"copy\.ome\.zarr: exists; choose another name"):
        copy_for(corrections, copy, NOW)


def test_a_copy_that_fails_leaves_nothing(corrections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(relinking, "_link", full)
    with pytest.raises(OutputError, match="the disk is full"):
        copy_for(corrections, tmp_path / "copy.ome.zarr", NOW)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["c.ome.zarr"]


def test_files_that_cannot_be_copied_are_reported_in_one_sentence(corrections: Path, tmp_path: Path) -> None:
    (corrections / "0" / "c" / "0" / "broken").symlink_to("nowhere")
    with pytest.raises(OutputError, match=r"copy\.ome\.zarr: cannot be copied"):
        copy_for(corrections, tmp_path / "copy.ome.zarr", NOW)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["c.ome.zarr"]


def test_another_size_cannot_be_linked(corrections: Path, tmp_path: Path) -> None:
    smaller = blank((SHAPE[0], SHAPE[1] - 1))
    for link in (lambda: relink(corrections, smaller), lambda: copy_for(corrections, tmp_path / "o", smaller)):
        with pytest.raises(InputError, match="size, so begin new ones"):
            link()
    with pytest.raises(OtherImageError, match=r"px where this image has \d+ x \d+"):
        Corrections.open(corrections, image=smaller)


def test_they_are_not_linked_while_somebody_paints(corrections: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fctl_napari.segmentation.store.store_lock.LOCK_TIMEOUT", 0)
    with Corrections.open(corrections, "r+"), pytest.raises(OutputError, match="in use"):
        relink(corrections, NOW)


def write_geotiff(path: Path, x0: float) -> Path:
    location = rasterio.transform.from_origin(x0, 2790000, 1, 1)
    shape = {"width": SHAPE[1], "height": SHAPE[0], "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32640", transform=location, **shape) as file:
        file.write(np.full((3, *SHAPE), 1, np.uint8))
    return path


def test_a_mended_georeference_is_followed_whoever_opens_them(tmp_path: Path, fctl: Fctl) -> None:
    image, path = write_geotiff(tmp_path / "i.tif", 320000), tmp_path / "c.ome.zarr"
    Corrections.create(path, open_image(image), TABLE).close()
    with rasterio.open(image, "r+") as file:
        file.transform = rasterio.transform.from_origin(320020, 2790000, 1, 1)
    ring = [[320030, 2789990], [320040, 2789990], [320040, 2789980], [320030, 2789980], [320030, 2789990]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"class": "sea"},
    }
    crs = {"type": "name", "properties": {"name": "EPSG:32640"}}
    (tmp_path / "p.geojson").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    done = fctl("corrections", "import", path, tmp_path / "p.geojson")  # without --image
    assert done.code == 0, done.err
    expected = np.zeros(SHAPE, np.uint8)
    expected[10:20, 10:20] = 1
    assert np.array_equal(Corrections.open(path).labels.levels[0][:], expected)

    with rasterio.open(write_geotiff(tmp_path / "other.tif", 400000), "r+") as file:
        file.write(np.full((3, *SHAPE), 2, np.uint8))
    relink(path, open_image(tmp_path / "other.tif"))
    georeference = Corrections.open(path).georeference
    assert georeference is not None
    assert georeference.transform[2] == 400000
    Image.fromarray(np.full((*SHAPE, 3), 3, np.uint8)).save(tmp_path / "plain.png")
    relink(path, open_image(tmp_path / "plain.png"))
    assert Corrections.open(path).georeference is None


def test_the_image_is_found_beside_them_where_another_one_took_its_place(tmp_path: Path, fctl: Fctl) -> None:
    folder = tmp_path / "p1"
    folder.mkdir()
    Image.fromarray(np.full((*SHAPE, 3), 1, np.uint8)).save(folder / "i.png")
    Corrections.create(folder / "c.ome.zarr", open_image(folder / "i.png"), TABLE).close()
    folder.rename(tmp_path / "archive")
    folder.mkdir()
    Image.fromarray(np.full((*SHAPE, 3), 2, np.uint8)).save(folder / "i.png")
    done = fctl("info", tmp_path / "archive" / "c.ome.zarr", "--verify")
    assert done.code == 0, done.err
    assert str(tmp_path / "archive" / "i.png") in done.out.replace("\n", "")
    image = open_image(tmp_path / "archive" / "i.png")
    with Corrections.open(tmp_path / "archive" / "c.ome.zarr", "r+", image=image) as there:
        assert there.image_path == str(tmp_path / "archive" / "i.png")


def test_the_command_line_relinks(corrections: Path, fctl: Fctl, tmp_path: Path) -> None:
    image = tmp_path / "now.png"
    Image.fromarray(np.full((*SHAPE, 3), 2, np.uint8)).save(image)
    done = fctl("corrections", "relink", corrections, image, "--copy", tmp_path / "copy.ome.zarr")
    assert done.code == 0, done.err
    assert same_image(Corrections.open(tmp_path / "copy.ome.zarr").facts["image"], open_image(image))
    assert not same_image(Corrections.open(corrections).facts["image"], open_image(image))
    assert fctl("corrections", "relink", corrections, image).code == 0
    assert same_image(Corrections.open(corrections).facts["image"], open_image(image))
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(image)
    assert "belong to an image of their own size" in fctl("corrections", "relink", corrections, image).sentence()
