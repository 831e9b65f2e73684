"""``fctl info --verify``: every pixel of an image, compared with what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from helpers_commands import Fctl

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery import fingerprint as fingerprints
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.open import open_image
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.store_lock import lock_store

SHAPE = (1500, 1600)
"""More px than are sampled whole."""


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)


@pytest.fixture
def scene(tmp_path: Path, pixels: np.ndarray) -> Path:
    return write(tmp_path / "scene.tif", pixels)


def write(path: Path, pixels: np.ndarray) -> Path:
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(256, 256))
    return path


def retouched(pixels: np.ndarray) -> np.ndarray:
    """Change one px that is not sampled."""
    sampled = np.zeros(SHAPE, bool)
    for number in range(fingerprints.BLOCKS):
        y0, x0, y1, x1 = fingerprints._block(number, SHAPE)
        sampled[y0:y1, x0:x1] = True
    changed = pixels.copy()
    changed[tuple(np.argwhere(~sampled)[12345])] ^= 1
    return changed


def test_an_image_says_its_fingerprint(fctl: Fctl, scene: Path) -> None:
    assert fingerprint(open_image(scene)) in fctl("info", scene).out
    done = fctl("info", scene, "--verify")
    assert done.code == 0
    assert "every pixel can be read" in done.out
    assert "all1-" in done.out


def test_a_conversion_is_compared_with_its_source(fctl: Fctl, scene: Path, tmp_path: Path) -> None:
    made = convert(open_image(scene), tmp_path / "made.ome.zarr")
    done = fctl("info", made, "--verify")
    assert done.code == 0
    assert f"the same as {scene}" in done.out
    array = zarr.open_array(made / "0", mode="r+")
    array[0, 700, 3] = 255 - array[0, 700, 3]
    done = fctl("info", made, "--verify")
    assert done.code == 1
    assert "NOT the same" in done.out


@pytest.mark.parametrize("kind", ["segmentation", "corrections"])
def test_what_is_kept_of_an_image_notices_a_px_that_is_not_sampled(
    kind: str, fctl: Fctl, scene: Path, pixels: np.ndarray, make_segmentation: Callable[..., Segmentation]
) -> None:
    store = scene.with_name("s.ome.zarr")
    made = make_segmentation(np.ones(SHAPE, np.uint8), path=store, image=open_image(scene))
    if kind == "corrections":
        store = scene.with_name("c.ome.zarr")
        Corrections.create(store, open_image(scene), made.class_table).close()
    assert str(scene) in fctl("info", store).out
    first = fctl("info", store, "--verify")
    assert first.code == 0
    assert "kept for the next time" in first.out
    again = fctl("info", store, "--verify")
    assert again.code == 0
    assert "the same as on" in again.out

    write(scene, retouched(pixels))
    assert str(scene) in fctl("info", store).out  # the sampled pixels are the same
    found = fctl("info", store, "--verify")
    assert found.code == 1
    assert "NOT the same, outside the pixels that are sampled" in found.out

    write(scene, pixels[::-1])
    assert "is not the image that" in fctl("info", store).out
    assert "is not the image that" in fctl("info", store, "--verify").sentence()
    scene.unlink()
    assert fctl("info", store).code == 0  # the rest can be read all the same


def test_a_store_that_cannot_be_written_is_verified_too(
    fctl: Fctl, scene: Path, make_segmentation: Callable[..., Segmentation]
) -> None:
    store = make_segmentation(np.ones(SHAPE, np.uint8), image=open_image(scene)).path
    lock = lock_store(store)  # as if another program wrote to it
    done = fctl("info", store, "--verify")
    lock.release()
    assert done.code == 0
    assert "not kept for the next time" in done.out
    assert "kept for the next time" in fctl("info", store, "--verify").out


def test_a_checkpoint_has_no_pixels(fctl: Fctl) -> None:
    assert "leave --verify out" in fctl("info", "earth", "--verify").sentence()
