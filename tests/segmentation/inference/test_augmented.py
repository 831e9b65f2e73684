"""Test-time augmentation: the sum over eight orientations of the whole image, on any shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fctl_napari.exceptions import ConfigError
from fctl_napari.exporting.logits import export_logits
from fctl_napari.model.windows import TURNS
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation


def logits(engine: Engine, image: Path, checkpoint: Path, out: Path, **settings: object) -> np.ndarray:
    request = SegmentationRequest(
        str(image), str(out), str(checkpoint), merge="released", keep_logits=True, precision="fp32", **settings
    )
    final = engine.start(request).wait()
    assert final.error is None
    store = Segmentation.open(out)
    found = np.asarray(store.logits[:])
    height, width = store.shape
    np.testing.assert_array_equal(store.labels.read((0, 0, height, width)), found.argmax(0) + 1)
    return found


@pytest.mark.parametrize("shape", [(70, 90), (64, 64), (30, 77)])
def test_eight_orientations_are_eight_runs_turned_back(
    shape: tuple[int, int], engine: Engine, lively: Path, make_rgb: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    picture = make_rgb(*shape)
    expected = 0.0
    for number, turn in enumerate(TURNS):
        turned = np.moveaxis(turn.pixels(np.moveaxis(picture, -1, 0)), 0, -1)
        image = tmp_path / f"{number}.png"
        Image.fromarray(np.ascontiguousarray(turned)).save(image)
        expected = expected + turn.back(logits(engine, image, lively, tmp_path / f"{number}.ome.zarr").astype(float))
    got = logits(engine, tmp_path / "0.png", lively, tmp_path / "all.ome.zarr", augment=True)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3 * np.abs(expected).max())


def test_logits_are_written_as_one_array(engine: Engine, lively: Path, scene: Path, tmp_path: Path) -> None:
    region = (0, 0, 300, 100)
    target = tmp_path / "l.npy"
    out = tmp_path / "s.ome.zarr"
    request = SegmentationRequest(
        str(scene), str(out), str(lively), region=region, merge="average", keep_logits=True, precision="fp32"
    )
    assert engine.start(request).wait().error is None
    store = Segmentation.open(out)
    export_logits(store, target)
    array = np.load(target, mmap_mode="r")
    assert array.dtype == np.float32
    assert array.shape == (len(store.class_table.scored), *store.shape)
    done = store.labels.read((0, 0, *store.shape)) > 0
    assert 0 < done.mean() < 1
    np.testing.assert_array_equal(np.isfinite(array).all(0), done)
    np.testing.assert_array_equal(array.argmax(0)[done] + 1, store.labels.read((0, 0, *store.shape))[done])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"merge": "average", "augment": True}, "go with the merge 'released' only"),
        ({"merge": "crop", "keep_logits": True}, "'crop' sums no logits to keep"),
    ],
)
def test_what_does_not_go_together_is_refused(
    settings: dict, message: str, engine: Engine, lively: Path, scene: Path, tmp_path: Path
) -> None:
    final = engine.start(SegmentationRequest(str(scene), str(tmp_path / "s.ome.zarr"), str(lively), **settings)).wait()
    assert isinstance(final.error, ConfigError)
    assert message in str(final.error)
    assert not (tmp_path / "s.ome.zarr").exists()
