"""A wrapped SegFormer is segmented and explained as any FCtL, and until it is trained as the SegFormer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_segmentation import OVERLAP, Local, pixels
from PIL import Image

from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.config import Context
from fctl_napari.model.model_card import Card
from fctl_napari.model.presets import preset
from fctl_napari.model.wrap import wrap_checkpoint
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.segmentation.store.store import Segmentation

SIZE = (150, 170)
CONTEXTS = (Context(name="local"), Context(name="medium", scale=2.0), Context(name="large", scale="global"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, make_rgb: Callable[..., np.ndarray]) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.png"
    Image.fromarray(make_rgb(*SIZE, seed=3)).save(path)
    return path


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SegFormer of random weights, whose answer varies."""
    config = preset("segformer_b0", tile_size=64, classes=3)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = make_network(config).eval()
        for name, value in model.named_parameters():
            if name.startswith("decoder") and value.dim() > 1:
                torch.nn.init.normal_(value, std=2 / np.sqrt(value[0].numel()))
    classes = ClassTable.model_validate({"classes": [{"name": f"c{k}", "color": (40 * k, 99, 0)} for k in range(3)]})
    path = tmp_path_factory.mktemp("parent") / "parent.safetensors"
    return save_checkpoint(path, model, Card(name="parent", config=config, classes=classes))


@pytest.fixture(scope="module")
def wrapped(parent: Path) -> Path:
    return wrap_checkpoint(parent, parent.with_name("wrapped.safetensors"), CONTEXTS)


@pytest.fixture(scope="module")
def trained(wrapped: Path) -> Path:
    """As after a training: its contexts take part."""
    model, card = load_checkpoint(wrapped)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for name, value in model.named_parameters():
            if name.startswith(("lcf.", "ale.")) and value.dim() > 1:
                torch.nn.init.normal_(value, std=1 / np.sqrt(value[0].numel()))
    return save_checkpoint(wrapped.with_name("trained.safetensors"), model, card)


@pytest.mark.parametrize("merge", ["crop", "average"])
def test_it_stores_what_the_segformer_stores(
    merge: str, image: Path, parent: Path, wrapped: Path, trained: Path, tmp_path: Path
) -> None:
    first, second, third = (
        pixels(Local(checkpoint).segment(tmp_path / f"{checkpoint.stem}.ome.zarr", image, merge))
        for checkpoint in (parent, wrapped, trained)
    )
    assert len(np.unique(first[0])) == 3
    np.testing.assert_array_equal(second, first)
    assert (third[0] != first[0]).mean() > 0.05


@pytest.mark.parametrize("merge", ["crop", "average"])
def test_a_region_is_the_whole_there(merge: str, image: Path, trained: Path, tmp_path: Path) -> None:
    local, region = Local(trained), (40, 55, 110, 160)
    whole = local.segment(tmp_path / "whole.ome.zarr", image, merge)
    part = local.segment(tmp_path / "part.ome.zarr", image, merge, region=region, batch=3, workers=2)
    np.testing.assert_array_equal(pixels(part, region), pixels(whole, region))


def test_an_explained_tile_is_the_segmented_one(image: Path, trained: Path, tmp_path: Path) -> None:
    Local(trained).segment(tmp_path / "whole.ome.zarr", image)
    store = Segmentation.open(tmp_path / "whole.ome.zarr")
    told = explain(image, trained, (70, 90), overlap=OVERLAP, device="cpu", precision="fp32")
    y0, x0, y1, x1 = told.core
    part = told.labels[y0 - told.tile[0] : y1 - told.tile[0], x0 - told.tile[1] : x1 - told.tile[1]]
    np.testing.assert_array_equal(part, store.labels.read(told.core))
    assert [context.name for context in told.contexts] == ["local", "medium", "large"]
    shares = sum(context.weight for context in told.contexts)
    np.testing.assert_allclose(shares, 1, atol=1e-5)
