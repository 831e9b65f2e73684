"""Reports from the tab Export: the page is that of ``fctl report``, and no other file is replaced."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_commands import Fctl
from helpers_window import errors
from PIL import Image
from qtpy.QtGui import QDesktopServices

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui]

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


@pytest.fixture
def viewer(open_window: Callable[..., Any], land: Path) -> Any:
    viewer = open_window()
    viewer.open(land.with_name("scene.png"), plugin="fctl-napari")
    viewer.open(land, plugin="fctl-napari")
    return viewer


def page_without_time(path: Path) -> str:
    return re.sub(r"<tr><td>reported</td>.*?</tr>", "", path.read_text("utf-8"))


@pytest.mark.parametrize("what", ["Final map, with corrections", "Prediction alone"])
def test_the_report_is_that_of_the_command(
    viewer: Any,
    land: Path,
    fctl: Fctl,
    tmp_path: Path,
    notes: list[tuple[str, str]],
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    Image.fromarray(LABELS - np.uint8(1)).save(tmp_path / "truth.png")
    errors_tab = open_tab(viewer, "Errors")
    errors_tab.add_ground_truth(tmp_path / "truth.png")
    until(lambda: not errors_tab.running and errors_tab.comparison is not None)
    form = open_tab(viewer, "Export").form
    form.what.setCurrentText(what)
    out = tmp_path / "window.html"
    form.path.setText(str(out))
    assert not form.open.isVisible()
    form.export.click()
    until(lambda: "is written" in form.status.text())
    raw = what == "Prediction alone"
    assert ("with 800 corrected px" in form.status.text()) is not raw
    assert "compared with truth.png where no points are checked" in form.status.text()
    page = tmp_path / "command.html"
    code, _, err = fctl("report", land, "--out", page, "--truth", tmp_path / "truth.png", *["--raw"] * raw)
    assert code == 0, err
    assert page_without_time(out) == page_without_time(page)
    assert "Compared with truth.png on" in out.read_text("utf-8")
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    assert form.open.isVisible()
    form.open.click()
    assert opened == [str(out)]
    form.path.setText(str(tmp_path / "r.pdf"))
    form.export.click()
    until(lambda: "r.pdf: is written" in form.status.text())
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF-")
    assert errors(notes) == []


def test_corrections_are_no_ground_truth_of_a_map_that_holds_them(
    viewer: Any, land: Path, tmp_path: Path, notes: list[tuple[str, str]], until: Callable[..., None]
) -> None:
    errors_tab = open_tab(viewer, "Errors")
    errors_tab.add_ground_truth(land.with_name("scene.corrections.ome.zarr"))
    until(lambda: not errors_tab.running and errors_tab.comparison is not None)
    form = open_tab(viewer, "Export").form
    form.path.setText(str(tmp_path / "r.html"))
    form.export.click()
    until(lambda: "is written" in form.status.text())
    assert "scene.corrections.ome.zarr is part of the map" in form.status.text()
    assert "The accuracy of this map is unknown" in (tmp_path / "r.html").read_text("utf-8")
    assert errors(notes) == []


def test_a_stopped_report_leaves_the_former_one_and_no_other_file_is_replaced(
    viewer: Any, tmp_path: Path, notes: list[tuple[str, str]], until: Callable[..., None]
) -> None:
    form = open_tab(viewer, "Export").form
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine.html").write_text("<p>fctl-napari is nice</p>")
    form.path.setText(str(folder / "mine.html"))
    form.export.click()
    assert "mine.html: exists and is not an earlier report; choose another name." in errors(notes)[-1]
    form.path.setText(str(folder / "r.html"))
    form.export.click()
    until(lambda: "is written" in form.status.text())
    before = (folder / "r.html").read_bytes()
    form.export.click()
    form.cancel.click()
    until(lambda: form.status.text() == "Stopped.")
    assert not form.open.isVisible()
    assert (folder / "r.html").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["mine.html", "r.html"]
