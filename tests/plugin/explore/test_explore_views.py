"""What the tab Explore shows of an explanation: views, what-ifs, maps of a region, the figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import PIL.Image
import pytest
from helpers_explore import NAMES, OpenExplore, choose, covers, layer, shown
from helpers_window import errors, level

from fctl_napari.plugin.explore.widget import ExploreWidget
from fctl_napari.plugin.layers.explanation_maps import (
    ALL,
    ATTENTION,
    CHANGES,
    CONTENT,
    ENHANCEMENT,
    MASK_WITHOUT,
    POSITIONAL,
    RECEIVED,
    REGION,
    VIEWS,
    WEIGHTS,
    WHAT_IF,
    WINNER,
)
from fctl_napari.plugin.layers.map_layers import MAP_KEY
from fctl_napari.plugin.layers.roi import WHOLE
from fctl_napari.plugin.layers.viewport import view_region
from fctl_napari.segmentation.jobs.engine import RunProgress
from fctl_napari.segmentation.store.map_names import map_title
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


@pytest.fixture
def explained(open_explore: OpenExplore, until: Callable[..., None]) -> tuple[napari.Viewer, ExploreWidget]:
    """The scene in a window, with an explanation of one pixel."""
    viewer, widget = open_explore()
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    return viewer, widget


def test_views_of_attention_switch_between_groups_of_layers(
    explained: tuple[napari.Viewer, ExploreWidget], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = explained
    form, explanation = widget.form, widget.explanation
    choose(form.part, POSITIONAL)
    for context in explanation.contexts:
        assert np.array_equal(layer(viewer, f"attention {context.name}").data, context.positional)
    choose(form.item, "medium")
    assert shown(viewer) == {"attention medium"}
    form.shared.click()
    medium = explanation.contexts[1].positional
    assert layer(viewer, "attention medium").contrast_limits == pytest.approx([medium.min(), medium.max()])
    assert form.scales.texts[0].startswith("medium")
    assert len(form.scales.texts) == 1

    form.view.setCurrentText(RECEIVED)
    assert form.item.currentText() == ALL
    choose(form.part, CONTENT)
    assert shown(viewer) == {f"received {name}" for name in NAMES}
    for context in explanation.contexts:
        assert np.array_equal(layer(viewer, f"received {context.name}").data, context.received_content)
        assert covers(viewer, widget, f"received {context.name}", context.footprint)

    form.view.setCurrentText(ATTENTION)  # as it was left
    assert form.item.currentText() == "medium"
    assert not form.shared.isChecked()
    assert shown(viewer) == {"attention medium"}
    assert errors(notes) == []


def test_views_of_weights_and_enhancement(
    explained: tuple[napari.Viewer, ExploreWidget], until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = explained
    form, explanation = widget.form, widget.explanation
    form.view.setCurrentText(WEIGHTS)
    assert form.item.currentText() == WINNER
    assert shown(viewer) == {"weights RGB"}
    assert covers(viewer, widget, "weights RGB", explanation.footprint)
    picture = layer(viewer, "weights RGB").data
    weights = np.stack([context.weight for context in explanation.contexts])
    low, high = weights.min(), weights.max()  # one scale, so that the strongest color is the largest weight
    for channel, context in enumerate(explanation.contexts):
        assert np.allclose(picture[..., channel], (context.weight - low) / (high - low) * 255, atol=0.51)
    choose(form.item, "large")
    assert shown(viewer) == {"weight large"}
    assert np.array_equal(layer(viewer, "weight large").data, explanation.contexts[2].weight)
    form.channel.setValue(3)
    until(lambda: widget.explanation is not explanation)
    assert widget.explanation.request.channel == 3
    assert not np.array_equal(widget.explanation.contexts[2].weight, explanation.contexts[2].weight)
    assert np.array_equal(layer(viewer, "weight large").data, widget.explanation.contexts[2].weight)

    form.view.setCurrentText(ENHANCEMENT)
    steps = widget.explanation.enhancements
    assert form.item.count() == sum(len(step.maps) for step in steps) > 1
    choose(form.item, form.item.itemText(form.item.count() - 1))
    assert shown(viewer) == {"ALE"}
    assert np.array_equal(layer(viewer, "ALE").data, steps[-1].maps[max(steps[-1].maps)])
    assert covers(viewer, widget, "ALE", explanation.footprint)
    assert errors(notes) == []


def test_what_if_a_part_is_left_out(
    explained: tuple[napari.Viewer, ExploreWidget], until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = explained
    form = widget.form
    assert widget.explanation.without is None
    for name in ("large", "gpe", "ale"):
        form.without[name].click()
    until(lambda: widget.explanation.without is not None and not widget.busy)
    explanation = widget.explanation
    assert set(explanation.request.without.names) == {"large", "gpe", "ale"}
    assert form.view.currentText() == WHAT_IF
    assert form.item.currentText() == CHANGES
    assert shown(viewer) == {CHANGES}
    differs = explanation.labels != explanation.without.labels
    changes = layer(viewer, CHANGES).data
    assert differs.any(), "a network with random weights changes somewhere"
    assert np.array_equal(changes > 0, differs)
    assert np.array_equal(changes[differs], explanation.without.labels[differs])
    assert covers(viewer, widget, CHANGES, explanation.tile)
    assert f"{differs.sum()} of {differs.size} px" in form.changed.text()
    assert [text.split()[1:] for text in form.probabilities.texts] == [
        [f"{a:.1%}", "→", f"{b:.1%}"]
        for a, b in zip(explanation.probabilities, explanation.without.probabilities, strict=True)
    ]
    choose(form.item, MASK_WITHOUT)
    assert shown(viewer) == {MASK_WITHOUT}
    assert np.array_equal(layer(viewer, MASK_WITHOUT).data, explanation.without.labels)

    for name in ("large", "gpe", "ale"):
        form.without[name].click()
    until(lambda: widget.explanation.without is None and not widget.busy)
    assert form.changed.text() == ""
    assert shown(viewer) == {"mask"}
    assert np.array_equal(layer(viewer, "mask").data, explanation.labels)
    assert errors(notes) == []


def compute_maps(
    viewer: napari.Viewer, widget: ExploreWidget, until: Callable[..., None]
) -> tuple[RunProgress, IntWindow]:
    """Compute the maps of the few tiles in view; return how it ended and what was in view."""
    ended: list[RunProgress] = []
    widget.computed.connect(ended.append)
    viewer.scene.camera.center = (0, 150, 400)
    viewer.scene.camera.zoom = max(viewer.canvas.size) / 100
    region = view_region(viewer, widget.image)
    widget.form.compute.click()
    assert widget.form.view.currentText() == REGION
    assert widget.form.cancel.isEnabled()
    assert not widget.form.compute.isEnabled()
    until(lambda: bool(ended))
    return ended[0], region


def map_layers(viewer: napari.Viewer) -> dict[str, napari.layers.Image]:
    return {entry.metadata[MAP_KEY]: entry for entry in viewer.layers if MAP_KEY in entry.metadata}


@pytest.mark.usefixtures("layer_controls")
def test_maps_of_a_region(
    open_explore: OpenExplore, until: Callable[..., None], scene: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    form = widget.form
    progress, region = compute_maps(viewer, widget, until)
    assert progress.state == "done"
    assert errors(notes) == []
    assert form.compute.isEnabled()
    assert form.region_status.text().startswith("Done")

    store = Segmentation.open(scene.with_name("scene.awake.maps.fctl.ome.zarr"))
    assert sorted(map(tuple, np.argwhere(store.done()).tolist())) == sorted(store.grid.cells_in(region))
    titles = [form.item.itemText(index) for index in range(form.item.count())]
    assert titles == ["entropy", "margin", *(f"weight of {name}" for name in NAMES)]
    for name, stored in store.maps.items():
        choose(form.item, map_title(name))
        ((shown_name, entry),) = map_layers(viewer).items()
        assert shown_name == name
        assert np.array_equal(level(entry), np.asarray(stored.levels[0][:]))
        assert form.scales.texts[0].startswith(map_title(name))
    assert not [entry for entry in viewer.layers if isinstance(entry, napari.layers.Labels)]
    choose(form.item, map_title("weight_large"))
    assert map_layers(viewer)["weight_large"].colormap.name != "fctl plasma 0.000 1.000"
    form.shared.click()
    assert map_layers(viewer)["weight_large"].colormap.name == "fctl plasma 0.000 1.000"


def test_maps_that_are_there_are_not_computed_again(
    explained: tuple[napari.Viewer, ExploreWidget], until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    viewer, widget = explained
    compute_maps(viewer, widget, until)
    choose(widget.form.item, map_title("weight_large"))
    widget.form.view.setCurrentText(ATTENTION)
    assert not map_layers(viewer)
    assert shown(viewer) == {f"attention {name}" for name in NAMES}
    compute_maps(viewer, widget, until)
    assert list(map_layers(viewer)) == ["weight_large"]
    assert errors(notes) == []


def test_maps_of_a_drawn_region_and_cancel(
    open_explore: OpenExplore, until: Callable[..., None], scene: Path, notes: list[tuple[str, str]]
) -> None:
    viewer, widget = open_explore()
    form = widget.form
    ended: list[Any] = []
    widget.computed.connect(ended.append)
    form.draw.click()
    assert not form.pick.isChecked()
    (region,) = (entry for entry in viewer.layers if isinstance(entry, napari.layers.Shapes))
    region.add_rectangles(np.array([[100, 100], [100, 200], [180, 200], [180, 100]]))
    form.compute.click()
    until(lambda: bool(ended))
    store = Segmentation.open(scene.with_name("scene.awake.maps.fctl.ome.zarr"))
    assert store.done().sum() == len(store.grid.cells_in((100, 100, 181, 201)))
    assert form.item.currentText() == "entropy"
    (entropy,) = (entry for entry in viewer.layers if entry.metadata.get(MAP_KEY) == "entropy")
    assert entropy.visible
    assert (level(entropy) > 0).any()
    assert not (level(entropy) > 0).all()

    form.where.setCurrentText(WHOLE)
    form.compute.click()
    until(lambda: form.progress.maximum() > 1 and form.progress.value() > 4)
    form.cancel.click()
    until(lambda: len(ended) == 2)
    assert ended[1].state == "cancelled"
    assert errors(notes) == []


def test_the_figure_is_saved(
    open_explore: OpenExplore, until: Callable[..., None], tmp_path: Path, notes: list[tuple[str, str]]
) -> None:
    _, widget = open_explore()
    assert not widget.form.save.isEnabled()
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    assert widget.form.save.isEnabled()
    saved: list[str] = []
    widget.saved.connect(saved.append)
    for count, kind in enumerate(("png", "svg"), 1):
        widget.save_figure(str(tmp_path / f"figure.{kind}"))
        until(lambda count=count: len(saved) == count)
    assert errors(notes) == []
    assert min(PIL.Image.open(tmp_path / "figure.png").size) > 300
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    widget.save_figure(str(tmp_path / "figure.doc"))
    until(lambda: bool(errors(notes)))
    assert "figure.doc" in errors(notes)[0]


def test_what_a_network_without_contexts_lacks_is_reported(
    open_explore: OpenExplore, until: Callable[..., None], plain_checkpoint: Path, notes: list[tuple[str, str]]
) -> None:
    _, widget = open_explore()
    form = widget.form
    form.checkpoint.add(plain_checkpoint)
    assert "no contexts" in form.lacks.text()
    model = form.view.model()
    usable = [VIEWS[index] for index in range(form.view.count()) if model.item(index).isEnabled()]
    assert ATTENTION not in usable
    assert form.view.currentText() in usable
    assert not any(box.isEnabled() for box in form.without.values())
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    assert widget.explanation.contexts == ()
    assert len(form.probabilities.texts) == 3
    assert errors(notes) == []


def test_another_checkpoint_is_explained_anew(
    open_explore: OpenExplore, until: Callable[..., None], bare_checkpoint: Path, notes: list[tuple[str, str]]
) -> None:
    """One without GPE and ALE: attention is by content, and the panel says so."""
    viewer, widget = open_explore()
    form = widget.form
    widget.explain((100.5, 300.5))
    until(lambda: widget.explanation is not None)
    choose(form.part, POSITIONAL)
    form.checkpoint.add(bare_checkpoint)
    assert "GPE" in form.lacks.text()
    assert "ALE" in form.lacks.text()
    assert not form.without["gpe"].isEnabled()
    assert not form.without["ale"].isEnabled()
    assert form.without["large"].isEnabled()
    until(lambda: widget.explanation.request.checkpoint == str(bare_checkpoint))
    assert widget.explanation.contexts[0].positional is None
    assert shown(viewer) == {f"attention {name}" for name in NAMES}
    assert all("σ" not in text for text in form.scales.texts)
    assert errors(notes) == []
