from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.figures.drawing import round_length
from fctl_napari.figures.explanation import explanation_figure
from fctl_napari.figures.files import save_figure
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.feature_ablation import Without
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.segmentation.jobs.explanation import TileExplanation

PIXEL = (210.0, 300.0)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory, make_rgb: Callable[..., np.ndarray]) -> Path:
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(make_rgb(300, 420, seed=2)).save(path)
    return path


@pytest.fixture(scope="module")
def explanation(picture: Path, tiny_checkpoint: Path) -> Callable[..., TileExplanation]:
    """``told("gpe")``: what is told of a pixel, leaving that out."""
    return lambda *names: explain(picture, tiny_checkpoint, PIXEL, device="cpu", without=Without.named(names))


def maps_of(figure: Figure) -> dict[str, list[Axes]]:
    """The axes with maps, by the title of their column, from above."""
    titled = [axes for axes in figure.axes if axes.get_title()]
    found = {}
    for first in titled:
        if "attention" in first.get_title() or "weight" in first.get_title():
            spec = first.get_subplotspec()
            assert spec is not None
            column = [
                axes
                for axes in figure.axes
                if (s := axes.get_subplotspec()) is not None
                and s.get_gridspec() is spec.get_gridspec()
                and s.colspan == spec.colspan
            ]
            found[first.get_title()] = column
    return found


def test_a_row_for_each_context_drawn_where_it_lies(explanation: Callable[..., TileExplanation]) -> None:
    explanation = explanation()
    columns = maps_of(explanation_figure(explanation))
    assert list(columns) == ["attention of the pixel", "attention received", "fusion weight"]
    for title, name in zip(columns, ("combined", "received", "weight"), strict=True):
        for axes, context in zip(columns[title], explanation.contexts, strict=True):
            image, heat = axes.images
            np.testing.assert_array_equal(heat.get_array(), getattr(context, name))
            assert heat.get_interpolation() == "nearest"
            window, footprint = (
                (explanation.tile, explanation.footprint) if name == "weight" else (context.window, context.footprint)
            )
            for drawn, location in ((image, window), (heat, footprint)):
                left, right, bottom, top = drawn.get_extent()
                assert (top, left, bottom, right) == pytest.approx(location)
            (cross,) = [line for line in axes.lines if line.get_marker() == "+"]
            assert (cross.get_ydata()[0], cross.get_xdata()[0]) == (210.5, 300.5)  # type: ignore[index]
    rows = [axes.get_ylabel() for axes in columns["attention of the pixel"]]
    assert [row.split(",")[0] for row in rows] == ["local", "medium", "large"]
    assert "420 x 300 px" in rows[2]
    assert all("sigma" in row and "gamma" in row for row in rows)


def test_windows_are_outlined_around_the_tile(explanation: Callable[..., TileExplanation]) -> None:
    explanation = explanation()
    (axes,) = [axes for axes in explanation_figure(explanation).axes if axes.get_title() == "tile and contexts"]
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    locations = [(b.get_y(), b.get_x(), b.get_y() + b.get_height(), b.get_x() + b.get_width()) for b in boxes]
    windows = {c.name: c.window for c in explanation.contexts}
    assert locations == [explanation.tile, windows["medium"], windows["large"]]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["tile", "medium", "large"]


@pytest.mark.parametrize("limits", ["shared", "each"])
def test_limits_are_shared_or_of_each_map(limits: Any, explanation: Callable[..., TileExplanation]) -> None:
    explanation = explanation("gpe")
    columns = maps_of(explanation_figure(explanation, limits=limits))
    kinds = [("attention of the pixel", True), ("attention received", True), ("fusion weight", False)]
    for kind, from_zero in kinds:
        heats = [axes.images[1] for title, column in columns.items() if title.startswith(kind) for axes in column]
        assert len(heats) == 6
        values = [np.asarray(heat.get_array()) for heat in heats]
        for heat, own in zip(heats, values, strict=True):
            seen = values if limits == "shared" else [own]
            low = 0 if from_zero else min(float(v.min()) for v in seen)
            assert heat.get_clim() == pytest.approx((low, max(float(v.max()) for v in seen)), abs=2e-6)


def test_without_gpe_stands_beside(explanation: Callable[..., TileExplanation]) -> None:
    explanation = explanation("gpe", "large")
    figure = explanation_figure(explanation)
    columns = maps_of(figure)
    assert list(columns) == [
        "attention of the pixel", "attention of the pixel, no GPE", "attention received",
        "attention received, no GPE", "fusion weight", "fusion weight, without",
    ]  # fmt: skip
    assert explanation.without is not None
    for axes, context in zip(columns["attention of the pixel, no GPE"], explanation.without.contexts, strict=False):
        np.testing.assert_array_equal(axes.images[1].get_array(), context.content)
    assert [text.get_text() for text in columns["fusion weight, without"][2].texts] == ["left out"]
    assert len(columns["fusion weight, without"][2].images) == 1
    titles = [axes.get_title() for axes in figure.axes]
    share = 100 * (explanation.labels != explanation.without.labels).mean()
    assert f"without large, gpe: {share:.1f} % changed" in titles
    (bars,) = [axes for axes in figure.axes if axes.get_title() == "probabilities at the pixel"]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(
        [*explanation.probabilities, *explanation.without.probabilities]
    )


@pytest.mark.parametrize("part", ["content", "positional"])
def test_a_part_of_the_attention(part: Any, explanation: Callable[..., TileExplanation]) -> None:
    explanation = explanation()
    columns = maps_of(explanation_figure(explanation, part=part))
    assert list(columns) == [f"attention of the pixel, {part}", f"attention received, {part}", "fusion weight"]
    for title, prefix in zip(columns, ("", "received_"), strict=False):
        for axes, context in zip(columns[title], explanation.contexts, strict=True):
            np.testing.assert_array_equal(axes.images[1].get_array(), getattr(context, prefix + part))
    plain = tuple(replace(c, positional=None, received_positional=None, gate=1.0) for c in explanation.contexts)
    drawn = maps_of(explanation_figure(replace(explanation, contexts=plain), part=part, limits="each"))
    if part == "positional":
        assert all(a.texts[0].get_text() == "no GPE" for a in drawn["attention received, positional"])


def test_a_network_without_contexts_has_the_upper_row(explanation: Callable[..., TileExplanation]) -> None:
    figure = explanation_figure(replace(explanation(), contexts=(), enhancements=()))
    assert [axes.get_title() for axes in figure.axes] == ["tile and contexts", "mask", "probabilities at the pixel"]


def test_it_is_saved_whole_as_png_or_svg(explanation: Callable[..., TileExplanation], tmp_path: Path) -> None:
    figure = explanation_figure(explanation("large"))
    save_figure(figure, tmp_path / "new" / "figure.PNG")
    drawn = np.asarray(Image.open(tmp_path / "new" / "figure.PNG").convert("RGB")).reshape(-1, 3)
    most = int(np.bincount(explanation().labels.ravel()).argmax())
    assert (drawn == explanation().class_table.classes[most - 1].color).all(axis=1).sum() > 500
    save_figure(figure, tmp_path / "figure.svg")
    text = (tmp_path / "figure.svg").read_text()
    assert text.rstrip().endswith("</svg>")
    with pytest.raises(OutputError, match="PNG, SVG or PDF"):
        save_figure(figure, tmp_path / "figure.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.svg", "new"]


def test_the_scale_bar_is_in_the_images_unit(explanation: Callable[..., TileExplanation], picture: Path) -> None:
    plain = open_image(picture)
    metres = Pyramid("metres", plain.levels, path=plain.path, pixel_size=(30.0, 30.0), unit="meter")
    for image, words, length in ((plain, "100 px", 100), (metres, "2 km", 2000 / 30)):
        (axes,) = [a for a in explanation_figure(explanation(), image).axes if a.get_title() == "tile and contexts"]
        assert words in [text.get_text() for text in axes.texts]
        (bar,) = [line for line in axes.lines if line.get_marker() != "+"]
        left, right = (float(x) for x in bar.get_xdata())  # type: ignore[union-attr]
        assert right - left == pytest.approx(length)


@given(st.floats(1e-3, 1e6), st.sampled_from([None, "meter", "micrometer", "furlong"]))
def test_round_lengths(length: float, unit: str | None) -> None:
    found, words = round_length(length, unit)
    assert length / 2.5 < found * (1 + 1e-6)
    assert found <= length * (1 + 1e-6)
    number, name = words.split(" ")
    assert name == {None: "px", "meter": "m", "micrometer": "µm"}.get(unit, unit) or (name, unit) == ("km", "meter")
    assert float(number) * (1000 if name == "km" else 1) == pytest.approx(found, rel=1e-5)
    assert f"{found:.0e}"[0] in "125"


def test_an_image_that_is_gone_is_a_sentence(explanation: Callable[..., TileExplanation]) -> None:
    explanation = explanation()
    with pytest.raises(InputError, match=r"gone\.png"):
        explanation_figure(replace(explanation, request=replace(explanation.request, image="gone.png")))
