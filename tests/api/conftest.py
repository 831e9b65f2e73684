"""A small scene with its truth, and a small network, for the public functions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

import fctl_napari as fctl
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert

SHAPE = (128, 320)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """A scene of colors, uint8 [y, x, 3]."""
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> Path:
    """The scene as an OME-Zarr."""
    return convert(
        pyramid_from_array(pixels, name="scene"), tmp_path_factory.mktemp("api") / "scene.ome.zarr", chunk=128
    )


@pytest.fixture(scope="module")
def truth(scene: Path) -> Path:
    """Ground truth: class 0 on the left, 2 on the right, nothing in the last columns."""
    values = np.zeros(SHAPE, np.uint8)
    values[:, 160:] = 2
    values[:, 300:] = 255
    path = scene.with_name("truth.png")
    Image.fromarray(values).save(path)
    return path


@pytest.fixture(scope="module")
def network(scene: Path, awake_checkpoint: Path) -> Path:
    """A small network beside the scene."""
    return Path(shutil.copy(awake_checkpoint, scene.with_name("awake.safetensors")))


@pytest.fixture
def command(fctl: Fctl) -> Fctl:
    """``command("info", path)``: run a command in this process."""
    return fctl


@pytest.fixture(scope="module", autouse=True)
def _one_worker() -> Iterator[None]:
    """End the worker of this file's tests with them."""
    from fctl_napari.api import running

    yield
    for engine in running._engines.values():
        engine.close()
    running._engines.clear()


@pytest.fixture(scope="module")
def segmented(scene: Path, network: Path) -> fctl.Map:
    """The scene, segmented as a user would."""
    return fctl.segment(scene, network, device="cpu", progress=False)
