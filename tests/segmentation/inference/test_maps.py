"""Maps of certainty and of the contexts' weights: what they hold, and that they are the same however they are made."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_segmentation import Local, chunk_times, done_chunks, map_pixels, pixels, save_lively_network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from fctl_napari.exceptions import ConfigError, InputError, OutputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import read_card, resolve_checkpoint
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.inference.tile_cutting import read_inputs
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.map_names import map_names
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import TileGrid

NAMES = ("entropy", "margin", "weight_local", "weight_medium", "weight_large")

Windows = list[tuple[int, int, int, int]]


@pytest.fixture
def image(make_rgb: Callable[..., np.ndarray]) -> Pyramid:
    return pyramid_from_array(make_rgb(150, 170))


@pytest.fixture
def windows(image: Pyramid) -> Windows:
    grid = TileGrid(image.shape, 64, 16)
    return [grid.window(cell) for cell in grid.cells_in((0, 0, *image.shape))]


def save_decided_network(path: Path, config: FCtLConfig, picture: np.ndarray) -> Path:
    """Save the lively network, sure of some px of a picture and unsure of others, its contexts' weights as different.

    MCF's first layer is centred and scaled on the picture as by a batch normalisation, the logits are only scaled.
    """
    model, card = load_checkpoint(save_lively_network(path, config))
    image = pyramid_from_array(picture)
    grid = TileGrid(image.shape, config.tile_size, 0)
    tiles = [grid.window(cell) for cell in grid.cells_in((0, 0, *image.shape))]
    first = None if model.lcf is None else model.lcf.fusion.squeeze or model.lcf.fusion.mix
    with torch.no_grad():
        if first is not None:
            seen: list[Tensor] = []
            hook = first.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
            list(Predictor(model, device="cpu", precision="fp32").predict(image, tiles))
            hook.remove()
            outputs = torch.cat(seen)
            assert first.bias is not None
            scale = 20 / outputs.std((0, 2, 3))
            first.bias.copy_((first.bias - outputs.mean((0, 2, 3))) * scale)
            first.weight.mul_(scale[:, None, None, None])
        logits = [tile for _, tile in Predictor(model, device="cpu", precision="fp32").predict(image, tiles)]
        centred = np.stack(logits) - np.mean(logits, axis=(0, 2, 3))[:, None, None]
        for value in model.decoder.score.parameters():
            value.mul_(3 / centred.std())
    save_checkpoint(path, model, card)
    return path


@pytest.fixture(scope="module")
def network(
    lively_config: FCtLConfig, tmp_path_factory: pytest.TempPathFactory, make_rgb: Callable[..., np.ndarray]
) -> Callable[..., FCtL]:
    """``network(encoder=..., ...)``: a decided network with these options."""
    path = tmp_path_factory.mktemp("networks") / "network.safetensors"

    def build(**options: object) -> FCtL:
        torch.set_num_threads(1)
        config = lively_config.model_copy(update=options)
        return load_checkpoint(save_decided_network(path, config, make_rgb(110, 120)))[0]

    return build


@pytest.fixture(scope="module")
def lively(
    lively_config: FCtLConfig, tmp_path_factory: pytest.TempPathFactory, make_rgb: Callable[..., np.ndarray]
) -> Path:
    path = tmp_path_factory.mktemp("decided") / "decided.safetensors"
    return save_decided_network(path, lively_config, make_rgb(150, 170))


@pytest.fixture(scope="module")
def local(lively: Path) -> Local:
    return Local(lively)


def cell_weights(model: FCtL, image: Pyramid, window: tuple[int, int, int, int]) -> Tensor:
    """MCF's weights of one tile, mean over channels, [contexts, h, w], by the network's own parts."""
    inputs = read_inputs(image, window, model.config)
    locations = {name: torch.from_numpy(location)[None] for name, location in inputs.windows.items()}
    with torch.inference_mode():
        features = {"tile": model.encode_tile(torch.from_numpy(inputs.tile)[None])[model.config.correlation_stride]}
        for name, pixels_of_context in inputs.contexts.items():
            features[name] = model.encode_context(name, torch.from_numpy(pixels_of_context)[None])
        assert model.lcf is not None
        return model.lcf.fusion.weights(model.lcf.correlate(model.grid, features, locations))[0].mean(1)


def painted(model: FCtL, weights: np.ndarray) -> np.ndarray:
    """Cells [contexts, h, w] as px [contexts, T, T]: each cell a square, the outermost ones up to the tile's edge."""
    grid, side = model.grid, model.config.tile_size
    out = np.full((len(weights), side, side), np.nan)
    edges = [round(grid.offset) + i * grid.stride for i in range(grid.size + 1)]
    low = [min(0, edges[0]) if i == 0 else edges[i] for i in range(grid.size)]
    high = [max(side, edges[-1]) if i == grid.size - 1 else edges[i + 1] for i in range(grid.size)]
    for y in range(grid.size):
        for x in range(grid.size):
            out[:, max(low[y], 0) : max(high[y], 0), max(low[x], 0) : max(high[x], 0)] = weights[:, y, x, None, None]
    assert np.isfinite(out).all()
    return out


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"encoder": "vgg16"},  # padded: its grid reaches far beyond the tile
        {"fusion": "weighted"},
        {"fusion": "average"},
        {"fusion": "released"},
    ],
    ids=str,
)
def test_maps_are_what_the_network_answered_and_used(
    options: dict[str, object], network: Callable[..., FCtL], image: Pyramid, windows: Windows
) -> None:
    if options.get("encoder") == "vgg16":
        windows = windows[::6]  # a second a tile
    model = network(**options)
    predictor = Predictor(model, device="cpu", precision="fp32")
    logits = dict(predictor.predict(image, windows))
    plain = {index: (labels, confidence) for index, labels, confidence in predictor.classify(image, windows)}
    assert map_names(model.config) == NAMES
    found = list(predictor.classify_with_maps(image, windows))
    assert [index for index, *_ in found] == list(range(len(windows)))
    varied = []
    for index, labels, confidence, maps in found:
        np.testing.assert_array_equal(labels, plain[index][0])
        np.testing.assert_array_equal(confidence, plain[index][1])
        assert (maps.dtype, maps.shape) == (np.uint8, (5, 64, 64))

        powers = np.exp(logits[index].astype(float) - logits[index].max(0))
        probabilities = powers / powers.sum(0)
        first, second = np.sort(probabilities, axis=0)[[-1, -2]]
        entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-300))).sum(0) / np.log(len(probabilities))
        for got, value in zip(maps[:2], (entropy, first - second), strict=True):
            assert np.abs(got - np.clip(value * 255, 1, 255)).max() < 0.51

        weights = cell_weights(model, image, windows[index]).numpy()
        expected = np.clip(np.rint(painted(model, weights) * 255), 1, 255)
        np.testing.assert_array_equal(maps[2:], expected)
        assert np.abs(maps[2:].sum(0, dtype=int) - 255).max() <= 2
        varied.append(maps)
    spread = np.ptp(np.stack(varied).astype(int), axis=(0, 2, 3))
    assert (spread[:2] > 30).all(), "a network that is always as sure proves nothing"
    if options.get("fusion") not in ("weighted", "average"):
        assert (spread[2:] >= 4).all(), "weights that are all alike prove nothing"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"contexts": (), "ale": "none"}, NAMES[:2]),
        ({"lcf": False}, NAMES[:2]),
    ],
    ids=["no contexts", "no LCF"],
)
def test_without_fusion_there_are_no_weights(
    options: dict[str, object], names: tuple[str, ...], network: Callable[..., FCtL], image: Pyramid, windows: Windows
) -> None:
    model = network(**options)
    assert map_names(model.config) == names
    for *_, maps in Predictor(model, device="cpu", precision="fp32").classify_with_maps(image, windows[:3]):
        assert maps.shape == (len(names), 64, 64)


@pytest.mark.parametrize("batch", [1, 3])
def test_in_bf16_too(batch: int) -> None:
    checkpoint = resolve_checkpoint("earth")
    image = open_image(sample_files().image)
    side = read_card(checkpoint).config.tile_size
    windows = [(500, x, 500 + side, x + side) for x in (2600, 2900, 3200, 3500)]
    exact = Predictor(load_checkpoint(checkpoint)[0], device="cpu", precision="fp32")
    reference = np.stack([maps for *_, maps in exact.classify_with_maps(image, windows)]).astype(int)
    predictor = Predictor(load_checkpoint(checkpoint)[0], device="cpu", precision="bf16", batch=batch)
    plain = list(predictor.classify(image, windows))
    found = list(predictor.classify_with_maps(image, windows))
    for (_, labels, confidence), (_, same_labels, same_confidence, maps) in zip(plain, found, strict=True):
        np.testing.assert_array_equal(labels, same_labels)
        np.testing.assert_array_equal(confidence, same_confidence)
        assert np.abs(maps[2:].sum(0, dtype=int) - 255).max() <= 2
    difference = np.abs(np.stack([maps for *_, maps in found]) - reference)
    assert difference.mean() < 2
    assert np.ptp(reference, axis=(0, 2, 3)).min() > 10


def test_one_pass_gives_all_and_a_plain_run_keeps_nothing(
    network: Callable[..., FCtL], image: Pyramid, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    assert model.lcf is not None
    counted: list[str] = []
    for owner, name in (
        (model, "encode_tile"),
        (model, "decode"),
        (model.lcf, "correlate"),
        (model.lcf.fusion, "weights"),
    ):
        function = getattr(owner, name)

        def counting(*arguments: object, name: str = name, function: Callable = function, **options: object) -> object:
            counted.append(name if options.get("fusion") is None else f"{name} with weights")
            return function(*arguments, **options)

        monkeypatch.setattr(owner, name, counting)
    predictor = Predictor(model, device="cpu", precision="fp32")
    list(predictor.classify_with_maps(image, windows))
    assert sorted(counted) == sorted(["encode_tile", "decode with weights", "correlate", "weights"] * len(windows))
    counted.clear()
    list(predictor.classify(image, windows))
    assert "decode with weights" not in counted


images = given(height=st.integers(1, 180), width=st.integers(1, 180), data=st.data())
few = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@images
def test_a_region_is_the_whole_there(
    height: int, width: int, data: st.DataObject, local: Local, make_rgb: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    check_region(height, width, data, local, make_rgb, tmp_path)


@pytest.mark.nightly
@settings(few, max_examples=50)
@images
def test_many_regions_are_the_whole_there(
    height: int, width: int, data: st.DataObject, local: Local, make_rgb: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    """By day a few."""
    check_region(height, width, data, local, make_rgb, tmp_path)


def check_region(
    height: int, width: int, data: st.DataObject, local: Local, make_rgb: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    """Segment an image, and a region of it; both hold the same maps there."""
    for leftover in tmp_path.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    image = tmp_path / "image.png"
    Image.fromarray(make_rgb(height, width)).save(image)
    plain = local.segment(tmp_path / "plain.ome.zarr", image)
    whole = local.segment(tmp_path / "whole.ome.zarr", image, maps=True)
    np.testing.assert_array_equal(pixels(whole), pixels(plain))

    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    region = (y0, x0, data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width)))
    part = local.segment(
        tmp_path / "part.ome.zarr",
        image,
        region=region,
        order=random.Random(data.draw(st.integers(0, 99))),
        batch=data.draw(st.sampled_from([None, 1, 3])),
        workers=data.draw(st.integers(1, 3)),
        maps=True,
    )
    np.testing.assert_array_equal(map_pixels(part, region), map_pixels(whole, region))
    everywhere = map_pixels(part)
    done = part.labels.read((0, 0, height, width)) > 0
    for values in everywhere:
        np.testing.assert_array_equal(values > 0, done)
    assert np.abs(everywhere[2:].sum(0, dtype=int)[done] - 255).max() <= 2


def test_a_run_is_resumed_and_levels_stay_synchronized(
    engine: Engine, lively: Path, local: Local, make_rgb: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    scene, out = tmp_path / "scene.png", tmp_path / "s.ome.zarr"
    Image.fromarray(make_rgb(180, 250)).save(scene)
    request = SegmentationRequest(
        str(scene), str(out), str(lively), region=(0, 0, 100, 120), device="cpu", precision="fp32", maps=True
    )
    assert engine.start(request).wait(250).error is None
    first = Segmentation.open(out)
    assert tuple(first.maps) == NAMES
    assert first.settings["kept_output"] == "maps"
    assert 0 < first.done().mean() < 1
    for pyramid in first.maps.values():
        assert [level.chunks for level in pyramid.levels] == [level.chunks for level in first.confidence.levels]
        assert [level.shape for level in pyramid.levels] == [level.shape for level in first.confidence.levels]
        multiscales = pyramid.attributes["ome"]["multiscales"][0]["datasets"]
        assert multiscales == first.confidence.attributes["ome"]["multiscales"][0]["datasets"]
    kept, times = done_chunks(first), chunk_times(first)

    # whoever goes on with it keeps the maps up
    for maps in (False, True):
        going_on = SegmentationRequest(**(vars(request) | {"region": None, "maps": maps}))
        assert engine.start(going_on).wait(250).error is None
    store = Segmentation.open(out)
    assert store.done().all()
    after = chunk_times(store)
    assert {name: after[name] for name in kept} == {name: times[name] for name in kept}
    whole = local.segment(tmp_path / "whole.ome.zarr", scene, maps=True)
    np.testing.assert_array_equal(map_pixels(store), map_pixels(whole))
    for pyramid in store.maps.values():
        for finer, coarser in zip(pyramid.levels, pyramid.levels[1:], strict=False):
            np.testing.assert_array_equal(coarser[:], finer[::2, ::2])


def test_a_segmentation_without_maps_gets_none(engine: Engine, lively: Path, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.ome.zarr"
    request = SegmentationRequest(str(scene), str(out), str(lively), region=(0, 0, 40, 40), precision="fp32")
    assert engine.start(request).wait(250).error is None
    plain = Segmentation.open(out)
    assert plain.maps == {}
    assert "maps" not in plain.facts
    assert not (out / "maps").exists()
    refused = engine.start(SegmentationRequest(**(vars(request) | {"maps": True}))).wait(250)
    assert isinstance(refused.error, OutputError)
    assert "holds a segmentation with another kept output" in str(refused.error)


@pytest.mark.parametrize("merge", ["average", "released"])
def test_other_merges_are_refused(merge: str, engine: Engine, lively: Path, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.ome.zarr"
    request = SegmentationRequest(str(scene), str(out), str(lively), merge=merge, maps=True)
    final = engine.start(request).wait(250)
    assert isinstance(final.error, ConfigError)
    assert "use the merge 'crop'" in str(final.error)
    assert not out.exists()


def test_maps_that_are_gone_are_reported(local: Local, scene: Path, tmp_path: Path) -> None:
    store = local.create(tmp_path / "s.ome.zarr", scene, "crop", maps=True)
    shutil.rmtree(store.path / "maps" / "margin")
    with pytest.raises(InputError, match="parts of this segmentation are missing"):
        Segmentation.open(store.path)


@pytest.mark.nightly
def test_the_compiled_step_gives_the_same_maps() -> None:
    image = open_image(sample_files().image)
    windows = [(500, x, 756, x + 256) for x in (2600, 2900)]
    found = []
    for compiled in (False, True):
        model, card = load_checkpoint(resolve_checkpoint("earth"))
        assert card.config.tile_size == 256
        for step in ("encode_tile", "encode_context", "decode") if compiled else ():
            setattr(model, step, torch.compile(getattr(model, step), fullgraph=True))
        predictor = Predictor(model, device="cpu", precision="fp32")
        found.append(np.stack([maps for *_, maps in predictor.classify_with_maps(image, windows)]).astype(int))
    assert np.abs(found[0] - found[1]).max() <= 1
