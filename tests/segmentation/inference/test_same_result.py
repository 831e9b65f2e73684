"""segment(region) == segment(whole)[region], to the bit, for any order of tiles, batch size and number of workers."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster
from helpers_segmentation import Local, pixels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation

awkward = st.one_of(st.integers(1, 180), st.sampled_from([1, 16, 48, 63, 64, 65, 96, 97, 112, 113]))


merges = pytest.mark.parametrize("merge", ["crop", "average"])
images = given(height=awkward, width=awkward, data=st.data())
few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@merges
@few
@images
def test_a_region_is_the_whole_there(
    height: int,
    width: int,
    data: st.DataObject,
    merge: str,
    local: Local,
    make_rgb: Callable[..., np.ndarray],
    tmp_path: Path,
) -> None:
    check_region(height, width, data, merge, local, make_rgb, tmp_path)


@pytest.mark.nightly
@merges
@settings(few, max_examples=50)
@images
def test_many_regions_are_the_whole_there(
    height: int,
    width: int,
    data: st.DataObject,
    merge: str,
    local: Local,
    make_rgb: Callable[..., np.ndarray],
    tmp_path: Path,
) -> None:
    """By day a few."""
    check_region(height, width, data, merge, local, make_rgb, tmp_path)


def check_region(
    height: int,
    width: int,
    data: st.DataObject,
    merge: str,
    local: Local,
    make_rgb: Callable[..., np.ndarray],
    tmp_path: Path,
) -> None:
    """Segment an image, and a region of it in some order; both are the same there."""
    for leftover in tmp_path.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    image = tmp_path / "image.png"
    Image.fromarray(make_rgb(height, width)).save(image)
    whole = local.segment(tmp_path / "whole.ome.zarr", image, merge)
    assert whole.done().all()
    assert whole.labels.read((0, 0, height, width)).min() >= 1

    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    region = (y0, x0, data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width)))
    part = local.segment(
        tmp_path / "part.ome.zarr",
        image,
        merge,
        region=region,
        order=random.Random(data.draw(st.integers(0, 99))),
        batch=data.draw(st.sampled_from([None, 1, 3])),
        workers=data.draw(st.integers(1, 3)),
    )
    np.testing.assert_array_equal(pixels(part, region), pixels(whole, region))
    owned = np.zeros((height, width), bool)
    for cell in part.grid.cells_in(region):
        a, b, c, d = part.grid.core(cell)
        owned[a:c, b:d] = True
    np.testing.assert_array_equal(part.labels.read((0, 0, height, width)) > 0, owned)
    np.testing.assert_array_equal(part.confidence.read((0, 0, height, width)) > 0, owned)
    assert not list(part.scratch.glob("*")), "logits that nobody needs lie about"


@pytest.mark.nightly
@pytest.mark.parametrize("merge", ["crop", "average"])
def test_two_workers_of_a_cluster_and_one_of_our_own_agree(
    merge: str,
    engine: Engine,
    cluster: LocalCluster,
    lively: Path,
    scene: Path,
    reference: Callable[[str], np.ndarray],
    tmp_path: Path,
) -> None:
    """By day `test_kill.py::test_of_two_workers_of_a_cluster_one_killed_costs_only_its_own_tiles` stands in."""
    request = SegmentationRequest(
        str(scene), str(tmp_path / "one.ome.zarr"), str(lively), merge=merge, device="cpu", precision="fp32"
    )
    final = engine.start(request).wait(250)
    assert (final.state, final.error) == ("done", None)
    one = Segmentation.open(request.out)
    np.testing.assert_array_equal(pixels(one), reference(merge))

    with Engine(cluster.scheduler_address, threads=1) as pair:
        out = str(tmp_path / "two.ome.zarr")
        final = pair.start(SegmentationRequest(**(vars(request) | {"out": out}))).wait(250)
        assert (final.state, final.error) == ("done", None)
        two = Segmentation.open(out)
        np.testing.assert_array_equal(pixels(two), reference(merge))
        for level in range(1, len(one.labels.levels)):
            np.testing.assert_array_equal(one.labels.levels[level][:], two.labels.levels[level][:])
