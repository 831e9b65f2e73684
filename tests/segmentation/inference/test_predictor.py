from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fctl_napari.exceptions import ConfigError, InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.fctl import FCtL
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.inference.tile_cutting import read_inputs
from fctl_napari.segmentation.tiling.grid import TileGrid
from fctl_napari.segmentation.tiling.merge import classify


@pytest.fixture
def model(lively: Path) -> FCtL:
    torch.set_num_threads(1)
    return load_checkpoint(lively)[0]


@pytest.fixture
def image(make_rgb: Callable[..., np.ndarray]) -> Pyramid:
    return pyramid_from_array(make_rgb(150, 170))


@pytest.fixture
def windows(image: Pyramid) -> list[tuple[int, int, int, int]]:
    grid = TileGrid(image.shape, 64, 16)
    return [grid.window(cell) for cell in grid.cells_in((0, 0, *image.shape))]


def test_logits_are_those_of_the_network_on_the_inputs(
    model: FCtL, image: Pyramid, windows: list[tuple[int, int, int, int]]
) -> None:
    found = dict(Predictor(model, device="cpu", precision="fp32").predict(image, windows))
    assert sorted(found) == list(range(len(windows)))
    for index, window in enumerate(windows):
        inputs = read_inputs(image, window, model.config)
        contexts = {name: torch.from_numpy(context)[None] for name, context in inputs.contexts.items()}
        locations = {name: torch.from_numpy(location)[None] for name, location in inputs.windows.items()}
        with torch.inference_mode():
            expected = model(torch.from_numpy(inputs.tile)[None], contexts, locations)[0]
        np.testing.assert_array_equal(found[index], expected.numpy())


def test_inputs_lie_where_they_say(lively: Path, model: FCtL, make_rgb: Callable[..., np.ndarray]) -> None:
    pixels = make_rgb(150, 170)
    inputs = read_inputs(pyramid_from_array(pixels), (0, 40, 64, 104), model.config, exact=True)
    np.testing.assert_array_equal(inputs.tile.transpose(1, 2, 0), pixels[0:64, 40:104])
    np.testing.assert_array_equal(inputs.windows["medium"], (-32, 8, 96, 136))
    np.testing.assert_array_equal(inputs.windows["large"], (0, 0, 150, 170))
    assert {name: context.shape for name, context in inputs.contexts.items()} == {
        "medium": (3, 64, 64),
        "large": (3, 64, 64),
    }
    assert not inputs.contexts["medium"][:, :14].any(), "black above the image"
    assert inputs.contexts["medium"][:, 18:].any()


def test_classify_on_the_device_and_in_numpy_agree(
    model: FCtL, image: Pyramid, windows: list[tuple[int, int, int, int]]
) -> None:
    predictor = Predictor(model, device="cpu", precision="fp32")
    logits = dict(predictor.predict(image, windows))
    for index, labels, confidence in predictor.classify(image, windows):
        expected, certainty = classify(logits[index].astype(np.float64))
        np.testing.assert_array_equal(labels, expected)
        assert np.abs(confidence.astype(int) - certainty).max() <= 1
        assert confidence.min() >= 1


def test_a_shared_context_is_encoded_once(
    model: FCtL, image: Pyramid, windows: list[tuple[int, int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = model.encode_context

    def counting(name: str, images: Tensor) -> Tensor:
        encoded.append(name)
        return encode(name, images)

    monkeypatch.setattr(model, "encode_context", counting)
    predictor = Predictor(model, device="cpu", precision="fp32")
    for _ in range(2):
        list(predictor.predict(image, windows))
    assert encoded.count("large") == 1
    assert encoded.count("medium") == len(set(windows))


def test_another_image_does_not_take_the_first_ones_context(
    model: FCtL, image: Pyramid, windows: list[tuple[int, int, int, int]], make_rgb: Callable[..., np.ndarray]
) -> None:
    other = pyramid_from_array(make_rgb(150, 170, seed=5))
    predictor = Predictor(model, device="cpu", precision="fp32")
    list(predictor.predict(image, windows))
    after = dict(predictor.predict(other, windows[:2]))
    alone = dict(Predictor(model, device="cpu", precision="fp32").predict(other, windows[:2]))
    np.testing.assert_array_equal(after[1], alone[1])


@pytest.mark.parametrize("fits", [1, 2, 5])
def test_the_batch_is_halved_until_it_fits(
    model: FCtL,
    image: Pyramid,
    windows: list[tuple[int, int, int, int]],
    monkeypatch: pytest.MonkeyPatch,
    fits: int,
) -> None:
    encode = model.encode_tile
    sizes: list[int] = []

    def small_memory(images: Tensor) -> dict[int, Tensor]:
        sizes.append(len(images))
        if len(images) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(images)

    monkeypatch.setattr(model, "encode_tile", small_memory)
    predictor = Predictor(model, device="cpu", precision="bf16", batch=8)
    found = [index for index, _ in predictor.predict(image, windows)]
    assert found == list(range(len(windows)))
    assert predictor.batch <= fits
    assert sum(size > fits for size in sizes) == {1: 3, 2: 2, 5: 1}[fits], "too large a batch was tried again"


def test_one_tile_that_does_not_fit_is_an_error_of_ours(
    model: FCtL, image: Pyramid, windows: list[tuple[int, int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(images: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "encode_tile", no_memory)
    with pytest.raises(ConfigError, match="does not suffice for one tile of 64 px"):
        list(Predictor(model, device="cpu", precision="bf16", batch=4).predict(image, windows))


@pytest.mark.parametrize("batch", [1, 4])
def test_bf16_gives_nearly_the_same_mask(
    lively: Path, image: Pyramid, windows: list[tuple[int, int, int, int]], batch: int
) -> None:
    masks = []
    for precision, size in (("fp32", 1), ("bf16", batch)):
        predictor = Predictor(load_checkpoint(lively)[0], device="cpu", precision=precision, batch=size)
        masks.append(np.stack([labels for _, labels, _ in predictor.classify(image, windows)]))
    assert (masks[0] == masks[1]).mean() > 0.95


def test_no_tiles_is_no_work(model: FCtL, image: Pyramid) -> None:
    assert list(Predictor(model, device="cpu").predict(image, [])) == []


def test_an_array_that_cannot_be_read_is_said_to_be(model: FCtL, windows: list[tuple[int, int, int, int]]) -> None:
    class Damaged:
        shape, dtype = (150, 170, 3), np.dtype(np.uint8)

        def __getitem__(self, key: object) -> np.ndarray:
            raise OSError("bad chunk")

    with pytest.raises(InputError, match=r"holes: cannot be computed or read at rows .*bad chunk"):
        list(Predictor(model, device="cpu").predict(pyramid_from_array(Damaged(), name="holes"), windows))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"device": "cuda:99"}, "not available"),
        ({"device": "cpu", "precision": "fp8"}, "no precision"),
        ({"device": "cpu", "batch": 0}, "batch of 0"),
    ],
)
def test_settings_that_cannot_be(model: FCtL, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Predictor(model, **settings)
