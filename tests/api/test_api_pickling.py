"""Objects of the API in another process, as workers of a dask cluster get them."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import fctl_napari as fctl

WORK = """
import sys, cloudpickle
made, ask = cloudpickle.load(open(sys.argv[1], "rb"))
cloudpickle.dump(ask(made), open(sys.argv[2], "wb"))
"""


def elsewhere(made: Any, ask: Callable[[Any], Any], folder: Path) -> Any:
    """Return what another process, which works in another folder, answers about an object."""
    (folder / "in").write_bytes(cloudpickle.dumps((made, ask)))
    call = [sys.executable, "-c", WORK, folder / "in", folder / "out"]
    done = subprocess.run(call, cwd="/", capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 0, done.stderr
    return pickle.loads((folder / "out").read_bytes())


def test_maps_and_images_are_opened_again_by_their_paths(
    segmented: fctl.Map, scene: Path, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fctl.corrections(segmented, tmp_path / "c.ome.zarr") as painted:
        painted.write(0, 0, np.full((30, 40), 3, np.uint8), author="ann")
    monkeypatch.chdir(scene.parent)
    corrected = fctl.Map(segmented.path.name, corrections=tmp_path / "c.ome.zarr")
    masked = fctl.open(np.ma.masked_less(pixels, 9), value_range=(0, 200), name="array")
    made = [
        *(corrected, corrected.prediction, corrected.to_xarray()),
        *(fctl.open(scene.name, bands=(2, 1, 0)), fctl.open(scene).to_xarray(), masked),  # type: ignore[union-attr]
    ]
    read = elsewhere(made, lambda found: [np.asarray(one) for one in found], tmp_path)
    for one, other in zip(made, read, strict=True):
        assert np.array_equal(np.asarray(one), other)
    assert not np.array_equal(corrected.read(), corrected.prediction.read())
    for one in made:
        assert np.array_equal(np.asarray(copy.deepcopy(one)), np.asarray(one))


def test_what_is_known_of_a_map_is_known_elsewhere(segmented: fctl.Map, truth: Path, tmp_path: Path) -> None:
    made = [
        fctl.errors(segmented, truth, progress=False),
        fctl.errors(segmented, progress=False),
        fctl.evaluate(segmented, truth, progress=False),
        fctl.explain(segmented, (60.0, 200.0), device="cpu"),
        segmented.areas(progress=False),
        fctl.load_checkpoint("earth"),
    ]
    said = elsewhere(made, lambda found: [(repr(one), getattr(one, "_repr_html_", str)()) for one in found], tmp_path)
    assert said == [(repr(one), getattr(one, "_repr_html_", str)()) for one in made]
    first = elsewhere(made[0], lambda found: (len(found), found[0].window), tmp_path)
    assert first == (len(made[0]), made[0][0].window)


def test_two_arrays_of_one_map_are_two(segmented: fctl.Map) -> None:
    """The map may have been painted on between them."""
    assert segmented.to_xarray().data.name != segmented.to_xarray().data.name
