"""Forms that magicgui makes of public functions, and of functions that take our classes."""

from __future__ import annotations

import gc
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from magicgui import magicgui
from magicgui.widgets import EmptyWidget
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QTextEdit

import fctl_napari as fctl
from fctl_napari.api import running
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.layers import magic_types
from fctl_napari.windows import Window

pytestmark = pytest.mark.gui
PAGE = Path(__file__).parents[3] / "docs" / "api.md"
FORMS = ("open", "sample", "segment", "refine", "explain", "evaluate", "errors", "export", "corrections")


@pytest.fixture(autouse=True)
def _collect_forms() -> Iterator[None]:
    """Remove forms, which hold themselves, in this thread: Qt's objects may not end in any other."""
    yield
    gc.collect()


@pytest.fixture
def _end_worker() -> Iterator[None]:
    yield
    for engine in running._engines.values():
        engine.close()
    running._engines.clear()


@pytest.mark.parametrize("name", [*FORMS, "load_checkpoint"])
def test_each_argument_has_a_field(qapp: object, name: str) -> None:
    form = magicgui(getattr(fctl, name))
    assert [one.name for one in form if isinstance(one, EmptyWidget)] == (["losses"] if name == "export" else [])


def test_a_form_says_what_the_function_says_of_itself(qapp: object) -> None:
    given: list[dict[str, Any]] = []

    def take(*positional: Any, **named: Any) -> None:
        given.append(inspect.signature(fctl.segment).bind(*positional, **named).arguments)

    take.__signature__ = inspect.signature(fctl.segment)  # type: ignore[attr-defined]
    form = magicgui(take)
    form.image.value = "a/scene.tif"
    form()
    form.region.value = (0, 1, 20, 30)
    form.value_range.value = (0, 4000)
    form.checkpoint.value = "b/own.safetensors"
    form.out.value = "/tmp/out.ome.zarr"
    form()
    first, second = given
    assert (first["image"], first["checkpoint"], first["out"]) == ("a/scene.tif", "earth", None)
    assert (first["region"], first["batch"], first["bands"], first["scheduler"]) == (None,) * 4
    assert (first["merge"], first["maps"], first["progress"]) == ("crop", False, True)
    assert second["region"] == Window(0, 1, 20, 30)
    assert second["value_range"] == (0, 4000)
    assert second["checkpoint"] == "b/own.safetensors"
    assert second["out"] == Path("/tmp/out.ome.zarr")


def test_fields_take_large_numbers(qapp: object) -> None:
    explain, export = magicgui(fctl.explain), magicgui(fctl.export)
    explain.pixel.value = (50_000, 70_000.5)
    export.min_area.value = 50_000
    assert explain.pixel.value == (50_000, 70_000.5)
    assert export.min_area.value == 50_000
    assert (
        magicgui(fctl.evaluate).boundary_px.value == inspect.signature(fctl.evaluate).parameters["boundary_px"].default
    )


def test_a_cleared_field_is_left_out_or_named(qapp: object, rgb_png: Path) -> None:
    export, evaluate, explain = magicgui(fctl.export), magicgui(fctl.evaluate), magicgui(fctl.explain)
    for field, left_out in (
        (export.min_area, 0),
        (export.simplify, None),
        (evaluate.boundary_px, None),
        (explain.without, ()),
        (explain.channel, None),
    ):
        field.value = 7
        assert field.value == 7
        for text in ("", "  "):
            field.native.setText(text)
            assert field.value == left_out
    explain.image.value = str(rgb_png)
    for text, said in (("", "explain: pixel cannot be ''; give tuple of 2 float."), ("(7,", "pixel cannot be '(7,'")):
        explain.pixel.native.setText(text)
        with pytest.raises(InputError, match=re.escape(said)):
            explain()
    sample = magicgui(fctl.sample)
    for folder in ("a", " "):
        sample.folder.line_edit.value = folder
        assert sample.folder.value == (Path("a") if folder == "a" else "")
    with pytest.raises(InputError, match="sample: folder cannot be ''; give Path or str"):
        sample()
    explain.without.native.setText("gpe")  # a name needs no quotation marks
    assert explain.without.value == "gpe"


def test_functions_of_others_take_our_classes(qapp: object, tiny_checkpoint: Path, rgb_png: Path) -> None:
    def take(image: Any, network: Any, classes: Any, region: Any) -> None: ...

    take.__annotations__ = {"image": fctl.Image, "network": fctl.Checkpoint, "classes": ClassTable, "region": Window}
    sizes = magicgui(take)
    assert {"earth", "aerial"} <= set(sizes.network._box.choices)
    sizes.image.value = str(rgb_png)
    sizes.network.value = tiny_checkpoint
    sizes.classes.value = "earth"
    sizes.region.value = (1, 2, 3, 4)
    assert isinstance(sizes.image.value, fctl.Image)
    assert sizes.image.value.path == str(rgb_png)
    assert sizes.network.value.path == tiny_checkpoint
    assert sizes.classes.value == fctl.load_checkpoint("earth").classes
    assert sizes.region.value == Window(1, 2, 3, 4)
    for wrong in ("1 2 3", "1 2 3 x", "5 5 5 9"):
        magic_types.LineEdit.set_value(sizes.region, wrong)
        with pytest.raises(InputError, match="window"):
            _ = sizes.region.value


@pytest.mark.usefixtures("_end_worker")
def test_the_script_of_the_page(open_window: Callable[..., Any], scene: Path, tiny_checkpoint: Path) -> None:
    (script,) = re.findall(r"```python\n(import napari\n.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(script.splitlines()) == 10
    made = open_window()  # what the script would make
    names: dict[str, Any] = {}
    exec(script.replace("napari.Viewer()", "made").replace("napari.run()", ""), {"made": made}, names)
    viewer, form = names["viewer"], names["form"]
    viewer.open(str(scene), plugin="fctl-napari")
    form.reset_choices()
    assert form.image._box.choices == (viewer.layers["scene"],)
    assert form.image.value.path == str(scene)
    assert form.native.minimumSizeHint().width() <= 320
    form.checkpoint.value = tiny_checkpoint
    form.region.value = (0, 0, 60, 60)
    form.device.value = "cpu"
    found = form()
    assert isinstance(found, fctl.Map)
    assert (found.read((0, 0, 60, 60)) != 255).all()
    (shown,) = (layer for layer in viewer.layers if isinstance(layer, Labels))
    assert shown.metadata[magic_types.STORE_KEY] == str(found.path)
    assert np.array_equal(np.asarray(shown.data[0][0:60, 0:60]), found.read((0, 0, 60, 60)) + 1)


@pytest.mark.parametrize("error", [InputError("a.tif: is damaged; fetch it again."), ValueError("seven")])
def test_what_a_function_raises_is_what_the_notification_says(
    open_window: Callable[..., Any], qtbot: QtBot, error: Exception
) -> None:
    def fail() -> None:
        raise error

    viewer = open_window()
    form = magicgui(fail)
    viewer.window.add_dock_widget(form)
    with qtbot.capture_exceptions() as caught:
        form.call_button.native.click()
    assert form.call_button.enabled
    notification_manager.receive_error(*caught[0])  # as napari does with what a slot raises
    (toast,) = viewer.window._qt_window.findChildren(NapariQtNotification)
    assert toast.message.text() == (str(error) if isinstance(error, InputError) else "ValueError: seven")
    toast.close()


@pytest.mark.usefixtures("_end_worker")
def test_figures_are_shown_below_the_fields(
    open_window: Callable[..., Any], strip: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    viewer = open_window()
    land = fctl.segment(strip, tiny_checkpoint, region=(0, 0, 60, 60), device="cpu", progress=False)
    viewer.open(str(land.path), plugin="fctl-napari")
    truth = tmp_path / "truth.png"
    Image.fromarray(np.zeros(land.shape, np.uint8)).save(truth)
    form, listed = magicgui(fctl.evaluate), magicgui(fctl.errors)
    for one in (form, listed):
        viewer.window.add_dock_widget(one)
        one.reset_choices()
    assert form.source.value == str(land.path)
    assert form.ground_truth.value is None  # the map is not compared with itself unless the user chooses it
    with pytest.raises(InputError, match="no ground truth"):
        form()
    form.ground_truth.value = str(land.path)
    with pytest.raises(InputError, match="is the map itself"):
        form()
    form.ground_truth.value = listed.ground_truth.value = str(truth)
    figures = form()
    form()
    found = listed()
    for one, shown in ((form, f"{figures.accuracy:.4f}"), (listed, f"{found.regions.found} regions")):
        (page,) = one.native.findChildren(QTextEdit)
        assert shown in page.toPlainText()
    assert form.native.minimumSizeHint().width() <= 320
