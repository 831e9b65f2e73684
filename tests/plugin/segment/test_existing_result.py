"""Results beside an image are shown before anybody has chosen a checkpoint."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_window import Open, errors, level, mask_of
from napari.layers import Labels
from qtpy.QtWidgets import QLabel

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import checkpoint_hash, resolve_checkpoint
from fctl_napari.plugin.dock.dock import open_dock
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

Until = Callable[..., None]
Result = Callable[..., Segmentation]
SHAPE = 256, 256
TINY = "red", "green", "blue"
AERIAL = "water", "land", "road", "building", "vegetation"


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """An image that no checkpoint fits."""
    pixels = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8)
    return convert(pyramid_from_array(pixels, name="noise"), tmp_path / "noise.ome.zarr", chunk=128)


@pytest.fixture
def result(noise: Path, make_segmentation: Callable[..., Segmentation]) -> Result:
    """``result(label, class, days, hash)``: a result of the image, written so many days ago."""

    def make(label: str, value: int, days: int, of: str = "0" * 64, names: tuple[str, ...] = TINY) -> Segmentation:
        path = noise.with_name(f"noise.{label}.fctl.ome.zarr")
        stored = make_segmentation(np.full(SHAPE, value, np.uint8), names=names, path=path, image=open_image(noise))
        stored.facts["checkpoint"] = {"name": label, "hash": of}
        stored.labels.set_attributes({"fctl": stored.facts})
        for file in (path / "done").rglob("*"):
            os.utime(file, (1e9 - 86400 * days, 1e9 - 86400 * days))
        return stored

    return make


def opened(open_window: Callable[..., Any], image: Path, until: Until) -> tuple[Any, Any, Any]:
    viewer = open_window()
    dock = open_dock(viewer)
    page: Any = dock.page("Segment")
    viewer.open(image, plugin="fctl-napari")
    until(lambda: not dock.header.fitting.running and not page._result.finding)
    return viewer, dock, page


def test_the_newest_is_shown_while_no_checkpoint_is_known(
    open_window: Callable[..., Any], noise: Path, result: Result, until: Until, notes: list[tuple[str, str]]
) -> None:
    result("old", 1, days=2, of=checkpoint_hash(resolve_checkpoint("earth")))
    result("new", 2, days=1)
    viewer, dock, page = opened(open_window, noise, until)
    mask = mask_of(viewer)
    assert mask.name == "noise by new"
    assert (level(mask) == 2).all()
    assert dock.header.checkpoint.name is None
    assert not page.running
    assert "4 of 4 tiles are there already. new, which made this, is not at hand" in page.form.status.text()
    assert page.form.guide.step.text() == "Next: where is it wrong? (Errors)"
    page.form.run.click()
    assert "no checkpoint is chosen" in errors(notes)[-1]


def test_the_checkpoint_becomes_that_of_the_result(
    open_window: Callable[..., Any], noise: Path, result: Result, until: Until, notes: list[tuple[str, str]]
) -> None:
    result("gone", 2, days=2)
    result("aerial", 1, days=1, of=checkpoint_hash(resolve_checkpoint("aerial")), names=AERIAL)
    viewer, dock, page = opened(open_window, noise, until)
    until(lambda: any(isinstance(layer, Labels) for layer in viewer.layers))
    assert dock.header.checkpoint.name == "aerial"
    assert mask_of(viewer).name == "noise by aerial"
    assert not page.running
    assert errors(notes) == []


def test_a_network_that_lies_beside_the_image_is_known(
    open_window: Callable[..., Any], noise: Path, result: Result, until: Until, tiny_checkpoint: Path
) -> None:
    beside = Path(shutil.copy(tiny_checkpoint, noise.with_name("noise-1.safetensors")))
    result("noise-1", 1, days=1, of=checkpoint_hash(beside))
    viewer, dock, _ = opened(open_window, noise, until)
    until(lambda: any(isinstance(layer, Labels) for layer in viewer.layers))
    assert dock.header.checkpoint.name == str(beside)
    assert (level(mask_of(viewer)) == 1).all()


def test_what_the_user_chose_stays(
    open_window: Callable[..., Any], noise: Path, scene: Path, result: Result, until: Until
) -> None:
    result("aerial", 1, days=1, of=checkpoint_hash(resolve_checkpoint("aerial")), names=AERIAL)
    viewer, dock, page = opened(open_window, scene, until)
    dock.header.checkpoint.setCurrentText("aerial")
    dock.header.checkpoint.setCurrentText("earth")
    viewer.open(noise, plugin="fctl-napari")
    until(lambda: page.image is viewer.layers["noise"] and not page._result.finding)
    assert dock.header.checkpoint.name == "earth"
    assert not any(isinstance(layer, Labels) for layer in viewer.layers)


def test_a_result_of_another_image_is_not_shown(
    open_window: Callable[..., Any], noise: Path, result: Result, until: Until
) -> None:
    result("gone", 1, days=1)
    shutil.rmtree(noise)
    pixels = np.random.default_rng(1).integers(0, 255, (*SHAPE, 3), np.uint8)
    convert(pyramid_from_array(pixels, name="noise"), noise, chunk=128)
    viewer, dock, page = opened(open_window, noise, until)
    assert dock.header.fitting.none_fits
    assert not any(isinstance(layer, Labels) for layer in viewer.layers)
    assert "choose one yourself" in page.form.guide.text()


def test_what_is_said_of_one_image_is_not_left_for_another(open_scene: Open, until: Callable[..., None]) -> None:
    viewer, widget = open_scene()
    widget.form.where.setCurrentText("View")
    widget.start()
    until(lambda: not widget.running and widget.form.status.text().startswith("Done"))
    viewer.add_image(np.zeros((90, 80, 3), np.uint8), name="other")
    assert widget.image is viewer.layers["other"]
    assert widget.form.status.text() == ""
    until(lambda: "%" not in " ".join(label.text() for label in widget.form.legend.findChildren(QLabel)))
