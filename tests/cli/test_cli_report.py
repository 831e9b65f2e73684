"""``fctl report``: a page of the final map, refused before anything is read if it cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.segmentation.store.store import Segmentation

TABLE = ClassTable(classes=(ClassInfo(name="kelp", color=(0, 80, 80)),))
LABELS = np.full((90, 120), 2, np.uint8)
LABELS[:30] = 1


@pytest.fixture
def land(tmp_path: Path, make_rgb: Callable[..., np.ndarray], make_segmentation: Callable[..., Segmentation]) -> Path:
    """A segmentation of scene.png, with kelp painted."""
    Image.fromarray(make_rgb(90, 120)).save(tmp_path / "scene.png")
    image = open_image(tmp_path / "scene.png")
    store = make_segmentation(LABELS, path=tmp_path / "land.ome.zarr", image=image)
    with Corrections.open_or_create(tmp_path / "scene.corrections.ome.zarr", image, TABLE) as corrections:
        corrections.write(20, 30, np.full((20, 40), 1, np.uint8), author="ann")
    return store.path


def test_the_final_map_and_the_prediction(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    code, out, err = fctl("report", land, "--out", tmp_path / "r.html")
    assert code == 0, err
    assert out.strip() == str(tmp_path / "r.html")
    assert "with 800 corrected px of scene.corrections.ome.zarr" in err
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<td>800</td>" in page
    assert "The prediction with corrections over scene.png." in page
    assert fctl("report", land, "--out", tmp_path / "raw.html", "--raw").code == 0
    raw = (tmp_path / "raw.html").read_text("utf-8")
    assert "kelp" not in raw
    assert "The prediction over scene.png." in raw
    assert fctl("report", land, "--out", tmp_path / "r.pdf").code == 0
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF-")


def test_accuracy_by_a_ground_truth_then_by_points(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    Image.fromarray(LABELS - np.uint8(1)).save(tmp_path / "truth.png")
    call = ("report", land, "--out", tmp_path / "r.html", "--truth", tmp_path / "truth.png")
    assert fctl(*call).code == 0
    assert "Compared with truth.png on 10,800 px" in (tmp_path / "r.html").read_text("utf-8")
    assert fctl("points", "draw", land, "--total", 90, "--least", 20).code == 0
    assert fctl("points", "set", land, "--truth", tmp_path / "truth.png").code == 0
    assert fctl(*call).code == 0
    assert "By 90 checked points" in (tmp_path / "r.html").read_text("utf-8")


def test_refusals(fctl: Fctl, land: Path, tmp_path: Path) -> None:
    assert "r.txt: reports are written as HTML or PDF" in fctl("report", land, "--out", tmp_path / "r.txt").sentence()
    missing = tmp_path / "none.ome.zarr"
    assert "none.ome.zarr" in fctl("report", missing, "--out", tmp_path / "r.html").sentence()
    truth = fctl("report", land, "--out", tmp_path / "r.html", "--truth", tmp_path / "none.png").sentence()
    assert "none.png" in truth
    assert not list(tmp_path.glob("r.*"))


@pytest.mark.parametrize("name", ["r.html", "r.pdf"])
def test_another_file_is_not_replaced(fctl: Fctl, land: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("a page on fctl-napari")
    sentence = fctl("report", land, "--out", path).sentence()
    assert f"{name}: exists and is not an earlier report; choose another name." in sentence
    assert path.read_text() == "a page on fctl-napari"
    path.unlink()
    for _ in range(2):  # an earlier report is replaced
        assert fctl("report", land, "--out", path).code == 0
