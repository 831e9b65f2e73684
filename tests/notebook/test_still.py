"""The picture in the place of the viewer, for pages on which widgets cannot run."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

import fctl_napari as fctl
from fctl_napari.segmentation.store.store import Segmentation


@pytest.mark.parametrize(("shape", "scale"), [((300, 500), 1), ((900, 2000), 4)])
def test_a_viewer_has_a_picture_of_the_whole(
    make_segmentation: Callable[..., Segmentation], shape: tuple[int, int], scale: int
) -> None:
    labels = np.ones(shape, np.uint8)
    labels[:, shape[1] // 2 :] = 3
    labels[-100:] = 0
    viewer = fctl.show(np.full((*shape, 3), 120, np.uint8), make_segmentation(labels).path)
    bundle, _ = viewer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))).astype(int)
    assert seen.shape == (-(-shape[0] // scale), -(-shape[1] // scale), 3)
    left, right, below = seen[20, 20], seen[20, -20], seen[-4, 20]
    assert left[0] > left[2] + 40
    assert right[2] > right[0] + 40
    assert np.abs(below - 120).max() < 8
