"""A tiny network, an image, and one worker process for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import LocalCluster
from helpers_segmentation import SCENE, Local, pixels, save_lively_network
from PIL import Image

from fctl_napari.model.config import FCtLConfig
from fctl_napari.segmentation.jobs.engine import Engine
from fctl_napari.segmentation.jobs.worker_process import SELDOM


@pytest.fixture(scope="session")
def lively_config(tiny_config: FCtLConfig) -> FCtLConfig:
    return tiny_config.model_copy(update={"share_encoders": "all", "width": 16})


@pytest.fixture(scope="session")
def lively(lively_config: FCtLConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_lively_network(tmp_path_factory.mktemp("network") / "lively.safetensors", lively_config)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory, make_rgb: Callable[..., np.ndarray]) -> Path:
    """An image of ``CELLS`` cells, the last of them cut."""
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    Image.fromarray(make_rgb(*SCENE, seed=7)).save(path)
    return path


@pytest.fixture(scope="session")
def engine(command_engine: Engine) -> Engine:
    return command_engine


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Two workers of a dask cluster that is not ours; one that is killed is started again."""
    with (
        dask.config.set({"distributed.worker.profile.enabled": False, **SELDOM}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=0
        ) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="session")
def local(lively: Path) -> Local:
    return Local(lively)


@pytest.fixture(scope="session")
def reference(local: Local, scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], np.ndarray]:
    """``reference(merge)``: labels and confidence of the scene, [2, y, x], computed in one go in this process."""
    made: dict[str, np.ndarray] = {}

    def get(merge: str) -> np.ndarray:
        if merge not in made:
            store = local.segment(tmp_path_factory.mktemp("reference") / f"{merge}.ome.zarr", scene, merge)
            made[merge] = pixels(store)
            assert len(np.unique(made[merge][0])) == 3, "a network with one answer proves nothing"
        return made[merge]

    return get
