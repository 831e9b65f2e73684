"""The published parity case: the authors' own code, its files, its image, its logits (``pytest -m parity``).

About 5 GB on disk and 4 GB of memory; some minutes.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import released_reference
import torch
from PIL import Image

from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.classes import numbered_classes
from fctl_napari.model.explain import explain
from fctl_napari.model.released import import_released
from fctl_napari.segmentation.inference.tile_cutting import read_inputs
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation

SHARED = Path(__file__).parents[3] / "shared" / "parity"
pytestmark = [
    pytest.mark.parity,
    pytest.mark.nightly,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there: the parity case lies beside the project"),
]


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_weights", SHARED / "make_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


def write_files(recipe: ModuleType, folder: Path, seed: int, classes: int = 2) -> list[Path]:
    paths = []
    for name, shapes in json.loads((SHARED / "keys.json").read_text()).items():
        shapes = {key: [classes if n == 2 else n for n in shape] for key, shape in shapes.items()}
        paths.append(folder / f"{name}.epoch.pth")
        torch.save(recipe.state_dict(seed, name, shapes), paths[-1])
    return paths


def segment(engine: Engine, image: Path, checkpoint: Path, out: Path, **settings: object) -> Segmentation:
    request = SegmentationRequest(
        str(image), str(out), str(checkpoint), merge="released", keep_logits=True, precision="fp32", **settings
    )
    final = engine.start(request).wait()
    assert final.error is None
    return Segmentation.open(out)


def assert_same(store: Segmentation, logits: np.ndarray) -> None:
    assert store.logits is not None
    got = np.asarray(store.logits[:])
    assert np.abs(got - logits).max() <= 1e-3 * np.abs(logits).max()
    height, width = logits.shape[1:]
    labels = store.labels.read((0, 0, height, width))
    assert (labels == logits.argmax(0) + 1).mean() >= 0.999


@pytest.fixture(scope="module")
def published(recipe: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("published")
    files = write_files(recipe, folder, seed=7)
    yield import_released(*files, folder / "published.safetensors", numbered_classes(2))
    for file in folder.iterdir():
        file.unlink()


def test_logits_and_mask_are_the_authors(published: Path, engine: Engine, tmp_path: Path) -> None:
    store = segment(engine, SHARED / "image.png", published, tmp_path / "s.ome.zarr")
    with np.load(SHARED / "expected.npz") as expected:
        assert_same(store, expected["logits"])
    mask = np.asarray(Image.open(SHARED / "mask.png"))
    assert (store.labels.read((0, 0, *mask.shape)) == mask + 1).mean() >= 0.999


@torch.no_grad()
def test_attention_and_fusion_are_the_authors(published: Path) -> None:
    from fctl_napari.imagery.open import open_image

    model, _ = load_checkpoint(published)
    top, left = json.loads((SHARED / "coords.json").read_text())["top_left"][4]
    window = (top, left, top + 508, left + 508)
    found = read_inputs(open_image(SHARED / "image.png"), window, model.config, exact=True)
    tile = torch.from_numpy(found.tile)[None]
    encoded = {
        name: model.encode_context(name, torch.from_numpy(pixels)[None]) for name, pixels in found.contexts.items()
    }
    windows = {name: torch.from_numpy(location)[None] for name, location in found.windows.items()}
    explained = explain(model, model.encode_tile(tile), encoded, windows)
    with np.load(SHARED / "expected.npz") as expected:
        for pixel in ((top + 3, left + 5), (top + 250, left + 301), (top + 500, left + 80)):
            y, x = model.cell_at(windows["tile"], pixel)
            for i, name in enumerate(("medium", "large", "local")):
                row = explained.attention[name].row((y, x)).combined.flatten().numpy()
                np.testing.assert_allclose(row, expected[f"attention_{name}"][23 * y + x], rtol=0, atol=1e-4)
                theirs = expected["fusion"][i]  # float16, so half of its last digit may differ besides
                apart = np.abs(explained.fusion[name].numpy() - theirs) - np.spacing(theirs).astype(float) / 2
                assert apart.max() <= 1e-4


def test_other_seeds_sizes_and_class_counts(recipe: ModuleType, engine: Engine, tmp_path: Path) -> None:
    files = write_files(recipe, tmp_path, seed=11, classes=7)
    checkpoint = import_released(*files, tmp_path / "other.safetensors", numbered_classes(7))
    states = {
        name: {k.removeprefix("module."): v for k, v in torch.load(path, weights_only=True).items()}
        for name, path in zip(("all", "B10", "B15"), files, strict=True)
    }
    picture = np.asarray(Image.open(SHARED / "image.png").convert("RGB"))
    # one tile exactly, narrower than a tile, shorter than a tile, and two tiles wide
    for height, width in ((508, 508), (520, 300), (200, 508), (400, 509)):
        part = picture[100 : 100 + height, 200 : 200 + width]
        image = tmp_path / "part.png"
        Image.fromarray(part).save(image)
        store = segment(engine, image, checkpoint, tmp_path / f"{height}-{width}.ome.zarr")
        assert_same(store, released_reference.summed(states, part))
