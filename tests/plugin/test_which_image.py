"""What lies beside an image belongs to it by its pixels: results, corrections, and the ways on where it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import rasterio
import tifffile
from helpers_commands import Fctl
from helpers_window import errors, level, mask_of
from PIL import Image
from rasterio.enums import Resampling

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import read_card
from fctl_napari.plugin.correct import edit_window
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.segment.widget import SegmentWidget
from fctl_napari.segmentation.store.identity import same_image
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

Until = Callable[..., None]
SHAPE = (128, 192)


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit_window, "SIDE", 96)
    monkeypatch.setattr(edit_window, "TAKE_MS", 30)


@pytest.fixture
def flights(make_rgb: Callable[..., np.ndarray]) -> list[np.ndarray]:
    """Two pictures of one size."""
    return [make_rgb(*SHAPE, seed=seed) for seed in (1, 2)]


def write(path: Path, pixels: np.ndarray) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb", tile=(64, 64))
    else:
        Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def window(open_window: Callable[..., Any], until: Until) -> Callable[..., tuple[napari.Viewer, Any]]:
    """``window(name, checkpoint, *paths)``: a window that shows files, with a widget of ours."""

    def open_it(name: str, checkpoint: Path, *paths: Path) -> tuple[napari.Viewer, Any]:
        viewer = open_window()
        for path in paths:
            viewer.open(path, plugin="fctl-napari")
        widget = open_tab(viewer, name)
        widget.form.checkpoint.add(checkpoint)
        viewer.reset_view()
        if name == "Correct":
            until(lambda: not widget.busy)
        return viewer, widget

    return open_it


def segment(fctl: Fctl, image: Path, out: Path, checkpoint: Path) -> Segmentation:
    done = fctl("segment", image, "--out", out, "--checkpoint", checkpoint, "--device", "cpu")
    assert done.code == 0, done.err
    return Segmentation.open(out)


def paint(widget: CorrectWidget, until: Until, at: tuple[int, int], value: int) -> None:
    widget.edit_here(at)
    until(lambda: not widget.busy and widget.edit_layer is not None)
    assert widget.edit_layer is not None
    widget.edit_layer.brush_size = 20
    widget.edit_layer.paint((40, 40), value)
    until(lambda: not widget.busy)


def correct_in_file(image: Path, checkpoint: Path, value: int = 1) -> None:
    """Store corrections beside an image, as an earlier window left them."""
    path = image.with_name(f"{image.stem}.corrections.ome.zarr")
    with Corrections.create(path, open_image(image), read_card(checkpoint).classes) as corrections:
        corrections.write(50, 50, np.full((20, 20), value, np.uint8), author="ann")


def painted(path: Path) -> set[int]:
    return set(np.unique(Corrections.open(path).labels.levels[0][:]).tolist())


def test_the_mask_of_an_earlier_picture_is_not_shown_as_this_ones(
    window: Callable[..., Any],
    until: Until,
    flights: list[np.ndarray],
    awake_checkpoint: Path,
    fctl: Fctl,
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    ortho, usual = write(tmp_path / "ortho.tif", flights[0]), tmp_path / "ortho.awake.fctl.ome.zarr"
    segment(fctl, ortho, usual, awake_checkpoint)
    write(ortho, flights[1])
    right = segment(fctl, ortho, tmp_path / "right.ome.zarr", awake_checkpoint)

    viewer, widget = window("Segment", awake_checkpoint, ortho)
    assert isinstance(widget, SegmentWidget)
    until(lambda: "of another image (ortho.tif with other pixels" in widget.form.status.text())
    assert [layer.name for layer in viewer.layers] == ["ortho"]
    own = Path(widget.form.result.text())
    assert own != usual
    assert own.parent == usual.parent

    widget.form.device.setCurrentText("cpu")
    widget.form.where.setCurrentText("Whole image")
    widget.form.run.click()
    until(lambda: not widget.running)
    assert errors(notes) == []
    assert np.array_equal(level(mask_of(viewer)), right.labels.levels[0][:])
    assert same_image(Segmentation.open(own).facts["image"], open_image(ortho))
    assert not same_image(Segmentation.open(usual).facts["image"], open_image(ortho))  # it is nobody's to be lost
    viewer.close()

    viewer, widget = window("Segment", awake_checkpoint, ortho)  # and is found again
    until(lambda: "are there already" in widget.form.status.text())
    assert np.array_equal(level(mask_of(viewer)), right.labels.levels[0][:])


def test_a_renamed_image_is_painted_on_with_its_corrections(
    window: Callable[..., Any], until: Until, flights: list[np.ndarray], awake_checkpoint: Path, tmp_path: Path
) -> None:
    ortho = write(tmp_path / "ortho.tif", flights[0])
    correct_in_file(ortho, awake_checkpoint, value=2)
    _, widget = window("Correct", awake_checkpoint, ortho.rename(tmp_path / "field.tif"))
    until(lambda: not widget.busy and widget.corrections is not None)
    paint(widget, until, (200, 200), 1)
    assert painted(tmp_path / "ortho.corrections.ome.zarr") == {0, 1, 2}
    assert not (tmp_path / "field.corrections.ome.zarr").exists()


def test_another_images_mask_is_neither_offered_nor_accepted(
    window: Callable[..., Any],
    until: Until,
    flights: list[np.ndarray],
    awake_checkpoint: Path,
    fctl: Fctl,
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    one, other = (write(tmp_path / f"{name}.tif", pixels) for name, pixels in zip("ab", flights, strict=True))
    of_other = segment(fctl, other, tmp_path / "other.ome.zarr", awake_checkpoint)
    of_one = segment(fctl, one, tmp_path / "one.ome.zarr", awake_checkpoint)

    viewer, widget = window("Correct", awake_checkpoint, one, of_other.path)
    field = widget.form.mask
    assert [field.itemText(k) for k in range(field.count())] == ["none"]
    paint(widget, until, (60, 60), 1)
    viewer.add_shapes([[[0, 0], [0, 191], [127, 191], [127, 0]]], shape_type="polygon")
    widget.form.accept.click()
    assert "there is no segmentation of this image" in errors(notes)[-1]

    viewer.open(of_one.path, plugin="fctl-napari")
    until(lambda: not widget.busy)
    assert field.currentData().metadata["fctl_store"] == str(of_one.path)
    viewer.open(of_other.path, plugin="fctl-napari")
    until(lambda: not widget.busy)
    assert field.currentData().metadata["fctl_store"] == str(of_one.path)  # nothing switches by itself
    assert len([layer for layer in viewer.layers if isinstance(layer, napari.layers.Labels)]) > 3


def test_two_files_of_one_name_keep_apart(
    window: Callable[..., Any],
    until: Until,
    flights: list[np.ndarray],
    awake_checkpoint: Path,
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    files = [write(tmp_path / f"ortho{end}", pixels) for end, pixels in zip((".tif", ".png"), flights, strict=True)]
    locations = []
    for value, path in enumerate(files, 1):
        viewer, widget = window("Correct", awake_checkpoint, path)
        paint(widget, until, (60, 60), value)
        locations.append(Path(widget.form.file.text()))
        viewer.close()
    assert locations[0] == tmp_path / "ortho.corrections.ome.zarr"
    assert [painted(location) for location in locations] == [{0, 1}, {0, 2}]
    assert errors(notes) == []
    for value, path in enumerate(files, 1):  # each finds its own again
        viewer, widget = window("Correct", awake_checkpoint, path)
        until(lambda widget=widget: widget.corrections is not None)
        assert painted(widget.corrections.path) == {0, value}
        viewer.close()


def test_corrections_stay_with_a_file_that_got_overviews_and_another_crs(
    window: Callable[..., Any],
    until: Until,
    flights: list[np.ndarray],
    awake_checkpoint: Path,
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    scene = tmp_path / "scene.tif"
    options: dict[str, Any] = {"driver": "GTiff", "count": 3, "dtype": "uint8", "tiled": True, "crs": "EPSG:32640"}
    location = rasterio.transform.from_origin(320000, 2790000, 1, 1)
    with rasterio.open(scene, "w", width=192, height=128, transform=location, **options) as file:
        file.write(flights[0].transpose(2, 0, 1))
    correct_in_file(scene, awake_checkpoint, 2)
    with rasterio.open(scene, "r+") as file:
        file.build_overviews([2], Resampling.average)
        file.crs = "EPSG:32639"
    _, widget = window("Correct", awake_checkpoint, scene)
    paint(widget, until, (90, 150), 3)
    assert errors(notes) == []
    assert painted(tmp_path / "scene.corrections.ome.zarr") == {0, 2, 3}
    assert widget.corrections is not None
    assert widget.corrections.georeference is not None
    assert widget.corrections.georeference.crs == "EPSG:32639"  # what is exported lies where the image lies now


@pytest.fixture
def rewritten(flights: list[np.ndarray], awake_checkpoint: Path, tmp_path: Path) -> Path:
    """A file that got another picture after it was corrected."""
    ortho = write(tmp_path / "ortho.tif", flights[0])
    correct_in_file(ortho, awake_checkpoint)
    return write(ortho, flights[1])


def open_rewritten(window: Callable[..., Any], until: Until, ortho: Path, checkpoint: Path) -> tuple[Any, Any]:
    """Open the file with the tab Correct, and wait until it has seen that the corrections are another picture's."""
    viewer, widget = window("Correct", checkpoint, ortho)
    until(lambda: widget.form.other.isVisible())
    assert widget.corrections is None
    return viewer, widget


def press(widget: CorrectWidget, until: Until, way: str) -> None:
    widget.form.other.buttons[way].click()
    until(lambda: not widget.busy)


def test_corrections_of_another_picture_are_only_looked_at(
    window: Callable[..., Any], until: Until, rewritten: Path, awake_checkpoint: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_rewritten(window, until, rewritten, awake_checkpoint)
    page = widget.form.other
    assert "ortho.tif with other pixels" in page.words.text()
    widget.edit_here((60, 60))
    until(lambda: not widget.busy)
    assert "ortho.corrections.ome.zarr" in errors(notes)[-1]
    assert page.isVisible()
    press(widget, until, "look")
    (layer,) = (each for each in viewer.layers if "read only" in each.name)
    assert set(np.unique(level(layer))) == {0, 1}
    assert not layer.editable


@pytest.mark.parametrize("way", ["relink", "copy", "new"])
def test_painting_resumes_where_the_corrections_are_another_pictures(
    way: str, window: Callable[..., Any], until: Until, rewritten: Path, awake_checkpoint: Path, tmp_path: Path
) -> None:
    usual = tmp_path / "ortho.corrections.ome.zarr"
    before = Corrections.open(usual).facts["image"]
    viewer, widget = open_rewritten(window, until, rewritten, awake_checkpoint)
    press(widget, until, way)
    until(lambda: widget.corrections is not None)
    assert not widget.form.other.isVisible()
    paint(widget, until, (90, 150), 2)
    own = widget.corrections.path
    assert (own == usual) == (way == "relink")
    assert painted(own) == ({0, 2} if way == "new" else {0, 1, 2})
    assert same_image(Corrections.open(own).facts["image"], open_image(rewritten))
    viewer.close()
    if way != "relink":
        assert painted(usual) == {0, 1}
        assert Corrections.open(usual).facts["image"] == before
    else:
        (earlier,) = Corrections.open(usual).facts["relinked"]
        assert earlier["fingerprint"] == before["fingerprint"]
    _, widget = window("Correct", awake_checkpoint, rewritten)  # it need not be said twice
    until(lambda: widget.corrections is not None)
    assert widget.corrections.path == own


def test_new_classes_are_kept_when_the_corrections_are_another_pictures(
    window: Callable[..., Any], until: Until, rewritten: Path, awake_checkpoint: Path, tmp_path: Path
) -> None:
    _, widget = open_rewritten(window, until, rewritten, awake_checkpoint)
    widget.form.new_classes.click()
    dialog = widget._editing.dialog
    assert dialog is not None
    dialog.begin("LoveDA")
    dialog.accept()
    until(lambda: not widget.busy)
    assert widget.corrections is None
    press(widget, until, "new")
    until(lambda: widget.corrections is not None)
    assert widget.corrections.path != tmp_path / "ortho.corrections.ome.zarr"
    assert widget.corrections.own_classes
    assert widget.corrections.class_table.names[1] == "building"
    assert painted(tmp_path / "ortho.corrections.ome.zarr") == {0, 1}


def test_corrections_of_another_size_leave_three_ways_refused_and_one_open(
    window: Callable[..., Any],
    until: Until,
    flights: list[np.ndarray],
    rewritten: Path,
    awake_checkpoint: Path,
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    write(rewritten, flights[1][:100])
    _, widget = open_rewritten(window, until, rewritten, awake_checkpoint)
    assert "128 x 192 px where this image has 100 x 192" in widget.form.other.words.text()
    for way in ("relink", "copy", "look"):
        press(widget, until, way)
        assert "size" in errors(notes)[-1]
    press(widget, until, "new")
    until(lambda: widget.corrections is not None)
    paint(widget, until, (60, 60), 2)
    assert painted(tmp_path / "ortho.corrections.ome.zarr") == {0, 1}


def test_a_file_that_is_written_anew_while_it_is_shown_is_not_taken_for_the_picture(
    window: Callable[..., Any],
    until: Until,
    flights: list[np.ndarray],
    awake_checkpoint: Path,
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    ortho = write(tmp_path / "ortho.png", flights[0])
    viewer, widget = window("Segment", awake_checkpoint, ortho)
    correct = open_tab(viewer, "Correct")
    correct.form.checkpoint.add(awake_checkpoint)
    until(lambda: not correct.busy)
    write(ortho, flights[1])
    widget.form.device.setCurrentText("cpu")
    widget.form.run.click()
    until(lambda: not widget.running)
    assert "ortho.png: holds another picture than when it was opened here; open it again" in errors(notes)[-1]
    correct.edit_here((60, 60))
    until(lambda: not correct.busy)
    assert len(errors(notes)) == 2
    assert sorted(path.name for path in tmp_path.glob("ortho*")) == ["ortho.png"]

    write(ortho, flights[0])  # the same picture, written anew
    correct.edit_here((60, 60))
    until(lambda: not correct.busy and correct.edit_layer is not None)
    widget.form.run.click()
    until(lambda: not widget.running)
    assert len(errors(notes)) == 2
