"""A PNG that the window gave a pyramid: window and command line resume each other's results and corrections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_commands import Fctl, Outcome
from helpers_window import errors, level, mask_of
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import OutputError
from fctl_napari.model.model_card import read_card
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct import edit_window
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.roi import VIEW
from fctl_napari.plugin.segment.widget import SegmentWidget
from fctl_napari.segmentation.jobs.engine import SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.store_lock import lock_store

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

Until = Callable[..., None]


@pytest.fixture
def photo(tmp_path: Path, make_rgb: Callable[..., np.ndarray]) -> Path:
    """Large enough to be shown by a pyramid."""
    path = tmp_path / "photo.png"
    Image.fromarray(make_rgb(128, 4160)).save(path, compress_level=1)
    return path


def shown_by_its_pyramid(viewer: Any, until: Until, path: Path) -> Any:
    (image,) = viewer.open(path, plugin="fctl-napari")
    source = image_source(image)
    assert source is not None
    until(lambda: source.job is None)
    assert source.path == f"{path}.pyramid.ome.zarr"
    return image


def nobody_writes(path: Path) -> bool:
    try:
        lock_store(path, timeout=0).release()
    except OutputError:
        return False
    return True


@pytest.fixture
def run(fctl: Fctl) -> Callable[..., Outcome]:
    """Run a command that must succeed."""

    def run_it(*arguments: object) -> Outcome:
        done = fctl(*arguments)
        assert done.code == 0, done.err
        return done

    return run_it


def test_what_was_painted_in_the_window_is_learnt_from_the_file(
    open_window: Callable[..., Any],
    until: Until,
    photo: Path,
    awake_checkpoint: Path,
    run: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(edit_window, "SIDE", 128)
    corrections, labels = tmp_path / "photo.corrections.ome.zarr", tmp_path / "labels.png"
    values = np.full((128, 4160), 255, np.uint8)
    values[10:40, 2000:2040] = 2
    Image.fromarray(values).save(labels)
    command = ("corrections", "import", corrections, labels, "--image", photo, "--checkpoint", awake_checkpoint)
    run(*command)  # made by the command line, painted on in the window

    viewer = open_window()
    shown_by_its_pyramid(viewer, until, photo)
    paint(viewer, until, awake_checkpoint, (300, 3500))
    assert errors(notes) == []
    until(lambda: nobody_writes(corrections))  # an opening that was under way is closed when its answer arrives
    painted = Corrections.open(corrections)
    assert painted.read((10, 2000, 11, 2001)) == 3
    assert len(painted.regions()) == 3

    target = tmp_path / "new.safetensors"
    settings = ("--checkpoint", awake_checkpoint, "--out", target, "--steps", 1, "--device", "cpu", "--keep-anyway")
    run("finetune", photo, corrections, *settings)
    assert read_card(target).provenance["finetuning"]["settings"]["image"] == photo.name
    done = run(*command)
    assert "there already: 1200 px" in done.out + done.err


def paint(viewer: Any, until: Until, checkpoint: Path, columns: tuple[int, ...]) -> None:
    """Paint spots with the tab Correct, which is left then."""
    widget = open_tab(viewer, "Correct")
    assert isinstance(widget, CorrectWidget)
    widget.form.checkpoint.add(checkpoint)
    for x in columns:
        widget.edit_here((64, x))
        until(lambda: not widget.busy and widget.edit_layer is not None)
        assert widget.edit_layer is not None
        widget.edit_layer.brush_size = 30
        widget.edit_layer.paint((60, 60), 1)
        until(lambda: not widget.busy)
    widget.leave(layers=True)


def test_a_result_of_the_command_line_is_resumed_in_the_window_and_back(
    open_window: Callable[..., Any],
    until: Until,
    photo: Path,
    tiny_checkpoint: Path,
    run: Callable[..., Outcome],
    notes: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    result = tmp_path / "photo.tiny.fctl.ome.zarr"
    command = ("segment", photo, "--checkpoint", tiny_checkpoint, "--out", result, "--device", "cpu")
    run(*command, "--region", 0, 0, 128, 100)
    made = Segmentation.open(result).done()
    assert 0 < made.sum() < made.size

    viewer = open_window()
    shown_by_its_pyramid(viewer, until, photo)
    widget = open_tab(viewer, "Segment")
    assert isinstance(widget, SegmentWidget)
    widget.form.add_checkpoint(tiny_checkpoint)
    widget.form.device.setCurrentText("cpu")
    viewer.scene.camera.center = (0, 64, 2000)
    viewer.scene.camera.zoom = max(viewer.canvas.size) / 200
    widget.form.where.setCurrentText(VIEW)
    assert widget.form.result.text() == str(result)
    widget.form.run.click()
    until(lambda: not widget.running)
    assert errors(notes) == []
    store = Segmentation.open(result)
    assert store.done()[made].all()
    assert made.sum() < store.done().sum() < made.size
    assert np.array_equal(level(mask_of(viewer)), np.asarray(store.labels.levels[0][:]))

    before = store.done().sum()
    region = (0, 3000, 128, 3100)
    request = SegmentationRequest(str(photo), str(result), str(tiny_checkpoint), region=region, device="cpu")
    end = session().engine().start(request).wait()  # as `fctl segment` does, without another worker
    assert end.error is None
    assert store.done().sum() > before
