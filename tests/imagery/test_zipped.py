"""An OME-Zarr in one zip file (RFC-9) opens as the folder does."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_ngff import write_image, write_labels

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.naming import beside, stem
from fctl_napari.imagery.open import open_image

CYX = np.random.default_rng(0).integers(0, 256, (3, 40, 60)).astype(np.uint8)


def zipped(folder: Path, out: Path, prefix: str = "", **options: Any) -> Path:
    with zipfile.ZipFile(out, "w", **options) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"{prefix}{path.relative_to(folder)}")
    return out


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("prefix", ["", "scene.zarr/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zipped_image(tmp_path: Path, version: int, prefix: str, compression: int) -> None:
    write_image(tmp_path / "scene.zarr", CYX, size=0.5, unit="meter", version=version, shapes=2)
    path = zipped(tmp_path / "scene.zarr", tmp_path / "scene.ozx", prefix, compression=compression)
    for image in (open_image(path), open_image(str(path))):
        assert np.array_equal(image.levels[0][...], CYX.transpose(1, 2, 0))
        assert (image.name, image.pixel_size, len(image.levels)) == ("scene", (0.5, 0.5), 2)
    assert stem(path) == "scene"
    with pytest.raises(InputError, match="is a single array"):
        open_image(path / "0")


def test_labels_and_collections_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "c.zarr"
    write_image(folder / "a", CYX)
    write_image(folder / "b", 255 - CYX)
    write_labels(folder / "a", "truth", (CYX[0] > 128).astype(np.uint8))
    (folder / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    path = zipped(folder, tmp_path / "c.ozx")
    assert np.array_equal(open_image(path / "b").levels[0][...], (255 - CYX).transpose(1, 2, 0))
    assert open_image(path).name == "c"
    copy = convert(open_image(path / "b"), tmp_path / "copy.ome.zarr")
    assert np.array_equal(open_image(copy).levels[0][...], (255 - CYX).transpose(1, 2, 0))
    assert beside(path / "b", ".x") == tmp_path / "c.b.x"
    truth = open_ground_truth(path / "a")
    assert np.array_equal(truth.read((0, 0, 40, 60)), np.where(CYX[0] > 128, 0, 255))


def test_other_zip_files_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "scene.zarr", CYX)
    path = zipped(tmp_path / "scene.zarr", tmp_path / "cut.ozx")
    path.write_bytes(path.read_bytes()[:-30])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no image")
    zipped(tmp_path / "texts", tmp_path / "texts.zip")
    for name, words in {"cut.ozx": "truncated or damaged", "texts.zip": "without an OME-Zarr"}.items():
        with pytest.raises(InputError, match=words) as raised:
            open_image(tmp_path / name)
        assert str(raised.value).startswith(str(tmp_path / name))
    with pytest.raises(InputError, match="no OME-Zarr at this path"):
        open_image(zipped(tmp_path / "scene.zarr", tmp_path / "s.ozx") / "missing")
