"""Labels of another image are told, and not put among the labels of an image that they are not of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import OutputError
from fctl_napari.exporting.export import export
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.stored_image import note_on_image

LABELS = (np.arange(80)[None, :] // 20 % 3 + np.ones((60, 1))).astype(np.uint8)


@pytest.fixture
def stores(
    tmp_path: Path, make_rgb: Callable[..., np.ndarray], make_segmentation: Callable[..., Segmentation]
) -> list[Segmentation]:
    """Segmentations of two images of one size, ``0.ome.zarr`` and ``1.ome.zarr``."""
    made = []
    for seed in (0, 1):
        Image.fromarray(make_rgb(60, 80, seed=seed)).save(tmp_path / f"{seed}.png")
        image = convert(open_image(tmp_path / f"{seed}.png"), tmp_path / f"{seed}.ome.zarr")
        made.append(make_segmentation(LABELS, path=tmp_path / f"s{seed}.ome.zarr", image=open_image(image)))
    return made


def test_labels_say_of_which_image_they_are(stores: list[Segmentation], tmp_path: Path) -> None:
    one, other = stores
    exports = [export(one, tmp_path / "alone.ome.zarr"), export(one, tmp_path / "0.ome.zarr" / "labels" / "truth")]
    Image.fromarray(LABELS).save(tmp_path / "plain.png")
    for labels in (*exports, one.path, tmp_path / "0.ome.zarr"):
        assert note_on_image(labels, one.facts["image"]) == ""
        assert "of another image" in note_on_image(labels, other.facts["image"])
    for silent in (tmp_path / "plain.png", tmp_path / "nothing", None):
        assert note_on_image(silent, other.facts["image"]) == ""
    unknown = {"path": None, "name": None, "fingerprint": None}
    assert note_on_image(exports[0], unknown) == ""


def test_they_are_not_written_into_another_image(stores: list[Segmentation], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"labels/land: the image is another one than was segmented"):
        export(stores[0], tmp_path / "1.ome.zarr" / "labels" / "land")
    assert not (tmp_path / "1.ome.zarr" / "labels").exists()


def test_commands_report_it(stores: list[Segmentation], fctl: Fctl, tmp_path: Path) -> None:
    one, other = stores
    ground_truth = export(one, tmp_path / "0.ome.zarr" / "labels" / "truth")
    assert "of another image" not in fctl("evaluate", one.path, ground_truth).err
    done = fctl("evaluate", other.path, ground_truth)
    assert done.code == 0
    assert "labels of another image (0" in done.err
    assert "is of another image than" in fctl("compare", one.path, other.path).sentence()
    corrections = tmp_path / "c.ome.zarr"
    Corrections.create(corrections, open_image(tmp_path / "1.png"), one.class_table).close()
    done = fctl("corrections", "import", corrections, ground_truth)
    assert done.code == 0
    assert "labels of another image" in done.out + done.err
