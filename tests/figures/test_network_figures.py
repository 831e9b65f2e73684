"""Figures of what rows of an ablation look at, weigh and add."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from fctl_napari.exceptions import ConfigError
from fctl_napari.figures.attention import attention_figure, weights_figure
from fctl_napari.figures.comparison import colorize, error_picture
from fctl_napari.figures.enhancement import enhancement_figure, lfi_window, strongest_figure
from fctl_napari.figures.masks import masks_figure
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import ClassTable
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.segmentation.jobs.explanation import TileExplanation

PIXEL = (210.0, 300.0)
Tell = Callable[[Path], TileExplanation]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, make_rgb: Callable[..., np.ndarray]) -> Pyramid:
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(make_rgb(300, 420, seed=2)).save(path)
    return open_image(path)


@pytest.fixture(scope="module")
def tell(image: Pyramid) -> Tell:
    return cache(lambda checkpoint: explain(image, checkpoint, PIXEL, device="cpu"))


def drawn(figure: Figure) -> dict[str, list[Axes]]:
    """The axes by their place in the grid's columns."""
    found: dict[str, list[Axes]] = {}
    for axes in figure.axes:
        spec = axes.get_subplotspec()
        if spec is not None:
            found.setdefault(str(spec.colspan.start), []).append(axes)
    return found


def maps(axes: Axes) -> list[np.ndarray]:
    """What lies over the picture."""
    return [np.asarray(one.get_array()) for one in axes.images[1:]]


def test_parts_of_the_attention_stand_beside_those_of_another_network(
    image: Pyramid, tell: Tell, awake_checkpoint: Path, bare_checkpoint: Path, plain_checkpoint: Path
) -> None:
    explanation, bare = tell(awake_checkpoint), tell(bare_checkpoint)
    columns = drawn(attention_figure(explanation, image, bare))
    for row, (context, other) in enumerate(zip(explanation.contexts, bare.contexts, strict=True)):
        parts = (context.content, context.positional, context.combined, other.combined)
        for column, part in enumerate(parts):
            (heat,) = columns[str(column)][row].images[1:]
            np.testing.assert_array_equal(np.asarray(heat.get_array()), part)
            y0, x0, y1, x1 = context.footprint
            assert heat.get_extent() == [x0, x1, y1, y0]
            assert heat.get_clim() == (0, pytest.approx(float(np.max(part))))
    assert len(drawn(attention_figure(explanation, image))) == 3
    lone = drawn(attention_figure(bare, image))["1"]
    assert [text.get_text() for text in lone[0].texts] == ["none"], "no position without GPE"
    with pytest.raises(ConfigError, match="no contexts"):
        attention_figure(tell(plain_checkpoint), image)


def test_weights_share_a_scale_and_the_heaviest_is_named(image: Pyramid, tell: Tell, awake_checkpoint: Path) -> None:
    explanation = tell(awake_checkpoint)
    figure = weights_figure(explanation, image)
    columns = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    for axes, context in zip(columns[1:4], explanation.contexts, strict=True):
        np.testing.assert_array_equal(maps(axes)[0], context.weight)
        assert context.name in axes.get_title()
    assert len({axes.images[1].get_clim() for axes in columns[1:4]}) == 1
    legend = columns[4].get_legend()
    assert legend is not None
    colors = {
        text.get_text(): patch.get_facecolor()[:3]
        for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    }
    best = np.stack([context.weight for context in explanation.contexts]).argmax(0)
    picture = np.asarray(columns[4].images[0].get_array()) / 255
    for number, context in enumerate(explanation.contexts):
        np.testing.assert_allclose(
            picture[best == number], np.broadcast_to(colors[context.name], picture[best == number].shape), atol=1 / 255
        )


def test_each_block_of_ale_has_its_maps_and_a_scale(
    image: Pyramid, tell: Tell, awake_checkpoint: Path, bare_checkpoint: Path
) -> None:
    explanation = tell(awake_checkpoint)
    figure = enhancement_figure(explanation, image)
    labelled = [axes for axes in figure.axes if axes.get_ylabel().startswith("step")]
    assert [axes.get_ylabel() for axes in labelled] == [
        f"step {block.step}: {block.target}" for block in explanation.enhancements
    ]
    for axes, block in zip(labelled, explanation.enhancements, strict=True):
        np.testing.assert_array_equal(maps(axes)[0], next(iter(block.maps.values())))
        assert axes.images[1].get_clim()[1] == pytest.approx(max(float(m.max()) for m in block.maps.values()))
    with pytest.raises(ConfigError, match="no blocks of local enhancement"):
        enhancement_figure(tell(bare_checkpoint), image)


def test_the_strongest_cells_stay_bright(image: Pyramid, tell: Tell, awake_checkpoint: Path) -> None:
    explanation = tell(awake_checkpoint)
    last = explanation.enhancements[-1].maps
    size = next(iter(last))
    (axes,) = strongest_figure(explanation, image, [size], share=0.25).axes
    bright = maps(axes)[0][..., 3] == 0
    assert bright.sum() == pytest.approx(0.25 * bright.size, abs=1)
    assert last[size][bright].min() >= last[size][~bright].max()
    with pytest.raises(ConfigError, match="no window of"):
        strongest_figure(explanation, image, [99])


@settings(max_examples=20, deadline=None)
@given(size=st.integers(0, 6).map(lambda half: 2 * half + 1))
def test_a_window_is_so_many_cells_around_its_own(size: int, tell: Tell, awake_checkpoint: Path) -> None:
    explanation = tell(awake_checkpoint)
    window, cell = lfi_window(explanation, size), explanation.cell_window
    for axis in (0, 1):
        assert window[axis + 2] - window[axis] == pytest.approx(size * (cell[axis + 2] - cell[axis]))
        assert window[axis + 2] + window[axis] == pytest.approx(cell[axis + 2] + cell[axis])


TABLE = ClassTable.model_validate(
    {"classes": [{"name": "sea", "color": (0, 0, 255)}, {"name": "wood", "color": (0, 128, 0)}]}
)


@pytest.mark.parametrize("number", [1, 5, 6, 12])
def test_masks_stand_above_their_errors(number: int, make_rgb: Callable[..., np.ndarray]) -> None:
    random = np.random.default_rng(number)
    picture, ground_truth = make_rgb(40, 30), random.integers(0, 2, (40, 30)).astype(np.uint8)
    ground_truth[0] = 255
    masks = {f"row {i}": random.integers(0, 2, ground_truth.shape).astype(np.uint8) for i in range(number)}
    axes = [one for one in masks_figure(picture, masks, ground_truth, TABLE).axes if one.images]
    shown = {one.get_title(): one for one in axes}
    width = max(one.get_subplotspec().colspan.start for one in axes) + 1  # type: ignore[union-attr]
    assert width <= 6
    for title, mask in masks.items():
        np.testing.assert_array_equal(np.asarray(shown[title].images[0].get_array()), colorize(mask, TABLE))
        location = shown[title].get_subplotspec()
        assert location is not None
        (below,) = [
            one
            for one in axes
            if (s := one.get_subplotspec()) is not None
            and (s.rowspan.start, s.colspan.start) == (location.rowspan.start + 1, location.colspan.start)
        ]
        assert below.get_title() == f"{100 * (mask != ground_truth)[1:].mean():.1f} % wrong"
        np.testing.assert_array_equal(
            np.asarray(below.images[0].get_array()), error_picture(picture, mask, ground_truth, TABLE)
        )
    with pytest.raises(ValueError, match="of the size of image and ground truth"):
        masks_figure(picture, {}, ground_truth, TABLE)
