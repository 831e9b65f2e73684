"""The px of a region that is reviewed are those that were counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.measure import label

from fctl_napari.evaluation.error_regions import find_errors
from fctl_napari.evaluation.selected_region import SelectedRegion
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.segmentation.store.store import Segmentation


def test_its_px_are_those_of_the_listed_error(make_segmentation: Callable[..., Segmentation], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    predicted, truth = random.integers(1, 4, (60, 90)), random.integers(0, 3, (60, 90))
    predicted[:, 40:], truth[:, 40:] = 1, 1
    predicted[20:30, 50:60] = 3
    Image.fromarray(truth.astype(np.uint8)).save(tmp_path / "truth.png")
    segmentation, there = make_segmentation(predicted), open_ground_truth(tmp_path / "truth.png")
    parts = label(np.where(predicted - 1 != truth, predicted * 3 + truth, 0), background=0, connectivity=1)
    regions = find_errors(segmentation, there, smallest=1)
    assert len(regions) == parts.max() > 100
    for region in regions:
        selected = SelectedRegion(region, segmentation, there)
        whole = selected.mask((0, 0, 60, 90))
        assert np.array_equal(whole, parts == parts[region.point])
        assert np.count_nonzero(whole) == region.pixels
        assert np.array_equal(selected.mask((10, 20, 45, 95))[:, :70], whole[10:45, 20:])
