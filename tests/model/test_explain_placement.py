"""A network that looks for a bright square finds it where it is: image file, levels, windows, grids, attention."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.classes import numbered_classes
from fctl_napari.model.config import Context
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.lcf import LCC
from fctl_napari.model.model_card import Card, resolve_checkpoint
from fctl_napari.segmentation.jobs.explain import explain

from .conftest import awaken, small_config
from .helpers_plain import Box, center

Border = Literal["pad", "shift"]
IMAGE = (1024, 1536)
"""(height, width), px: whole tiles without an overlap."""
NAMES = ("local", "medium", "large")
SAMPLED_POSITIONS = [((10.5, 20.0), (0.7, 0.6)), ((1015.0, 1530.0), (0.3, 0.2)), ((500.0, 777.7), (0.35, 0.85))]
"""Pixels (in two corners and amid), and where in the context the square lies, as a share of its sides."""


def network(encoder: str, border: Border) -> FCtL:
    """The built-in network, or a random one where there is none with such an encoder."""
    if encoder == "efficientnet_lite0":  # with random weights its features say little of where they come from
        trained, card = load_checkpoint(resolve_checkpoint("earth"))
        model = FCtL(card.config.model_copy(update={"context_border": border}))
        model.load_state_dict(trained.state_dict())
        return model.eval()
    contexts = (Context(name="local"), Context(name="medium", scale=3.0), Context(name="large", scale="global"))
    fields = {"tile_size": 128, "contexts": contexts, "context_border": border, "share_encoders": "all", "ale": "none"}
    model = FCtL(small_config(encoder=encoder, **fields)).eval()
    return awaken(model) if encoder == "mit_b0" else model


def look_for_squares(model: FCtL) -> None:
    """Make every query the same, and keys answer to a bright square and to little of a black image; GPE is as new.

    The direction is that of the features' greatest change when a square appears in the middle of the network's input,
    with what features of a black image, borders included, mostly point to projected out: no grid is asked.
    """
    size, side = model.config.tile_size, model.config.correlation_stride
    images = torch.zeros(2, 3, size, size)
    images[1, :, size // 2 : size // 2 + side, size // 2 : size // 2 + side] = 255
    assert model.lcf is not None
    for name, lcc in model.lcf.correlations.items():
        assert isinstance(lcc, LCC)
        assert isinstance(lcc.query, nn.Conv2d)
        assert isinstance(lcc.key, nn.Conv2d)
        features = model.encode_tile(images)[side] if name == "local" else model.encode_context(name, images)
        dark, bright = features.double().flatten(2)
        change: Tensor = (bright - dark)[:, (bright - dark).norm(dim=0).argmax()]
        background = torch.linalg.svd(dark, full_matrices=False)[0][:, :10]
        direction = change - background @ (background.T @ change)
        for projection in (lcc.query, lcc.key):
            assert projection.bias is not None
            nn.init.zeros_(projection.weight)
            nn.init.zeros_(projection.bias)
            projection.bias[0] = 20 / lcc.scale if projection is lcc.query else 0
        lcc.key.weight[0, :, 0, 0] = (direction / (direction @ change)).float()
        assert lcc.v_pos is not None
        lcc.v_pos.copy_(torch.tensor([-1.0, 0.0, 0.0]))


def context_window(model: FCtL, name: str, pixel: tuple[float, float]) -> Box:
    """Where a context of a pixel's tile lies, px."""
    size = model.config.tile_size
    y0, x0 = (int(p) // size * size for p in pixel)
    if name == "local":
        return (y0, x0, y0 + size, x0 + size)
    if name == "large":
        return (0, 0, *IMAGE)
    (scale,) = (c.scale for c in model.config.contexts if c.name == name)
    side = float(scale) * size
    top, left = (start + size / 2 - side / 2 for start in (y0, x0))
    if model.config.context_border == "shift":
        top, left = (min(max(0, start), length - side) for start, length in zip((top, left), IMAGE, strict=True))
    return (top, left, top + side, left + side)


def draw_square(folder: Path, model: FCtL, window: Box, share: tuple[float, float]) -> tuple[Path, Box]:
    """Write a black image, as levels on disk, with one white square: a cell of the context's grid, near a place."""
    grid, size = model.grid, model.config.tile_size
    sides = window[2] - window[0], window[3] - window[1]
    cell = [round((s * size - grid.offset) / grid.stride - 0.5) for s in share]
    y, x = center(grid, window, *cell)
    half_y, half_x = (side * grid.stride / size / 2 for side in sides)
    y0, x0, y1, x1 = (round(v) for v in (y - half_y, x - half_x, y + half_y, x + half_x))
    assert min(y0, x0) >= 0
    picture = np.zeros((*IMAGE, 3), np.uint8)
    picture[y0:y1, x0:x1] = 255
    assert picture.any()
    folder.mkdir()
    Image.fromarray(picture).save(folder / "square.png")
    return convert(open_image(folder / "square.png"), folder / "square.ome.zarr"), (y0, x0, y1, x1)


def brightest(found: NDArray[np.float32], footprint: Box) -> Box:
    """Where the largest value of a map lies when the map is drawn over its footprint, px."""
    y, x = np.unravel_index(found.argmax(), found.shape)
    height, width = ((footprint[i + 2] - footprint[i]) / found.shape[i] for i in (0, 1))
    y0, x0 = footprint[0] + float(y) * height, footprint[1] + float(x) * width
    return y0, x0, y0 + height, x0 + width


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    ("encoder", "border"),
    [
        ("vgg16", "shift"),
        ("efficientnet_lite0", "pad"),
        ("mit_b0", "shift"),
        pytest.param("vgg16", "pad", marks=pytest.mark.nightly),
        pytest.param("efficientnet_lite0", "shift", marks=pytest.mark.nightly),
        pytest.param("mit_b0", "pad", marks=pytest.mark.nightly),
    ],
)
def test_the_square_is_found_where_it_is(encoder: str, border: Border, everywhere: bool, tmp_path: Path) -> None:
    """Each context is tried at one of the positions, and nightly at each of them.

    By day each encoder with one border, and each border with an encoder.
    """
    model = network(encoder, border)
    look_for_squares(model)
    card = Card(name="squares", config=model.config, classes=numbered_classes(model.config.classes))
    checkpoint = tmp_path / "squares.safetensors"
    save_checkpoint(checkpoint, model, card)
    for number, (pixel, share) in enumerate(SAMPLED_POSITIONS):
        for name in NAMES if everywhere else NAMES[number : number + 1]:
            window = context_window(model, name, pixel)
            image, square = draw_square(tmp_path / f"{number}-{name}", model, window, share)
            assert open_image(image).native_levels > 1
            told = explain(image, checkpoint, pixel, overlap=0, device="cpu", precision="fp32")
            assert told.tile == context_window(model, "local", pixel)
            (maps,) = [context for context in told.contexts if context.name == name]
            assert maps.window == pytest.approx(window)
            assert brightest(maps.content, maps.footprint) == pytest.approx(square, abs=0.6), f"{name}, {pixel}"
            assert maps.content.max() > 3 * np.sort(maps.content, axis=None)[-10], "it stands out"

            assert maps.positional is not None  # and GPE starts with a look at the pixel's own place
            y0, x0, y1, x1 = brightest(maps.positional, maps.footprint)
            cell = told.cell_window
            assert y0 <= (cell[0] + cell[2]) / 2 <= y1
            assert x0 <= (cell[1] + cell[3]) / 2 <= x1
