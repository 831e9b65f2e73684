"""GLNet that shares features at every layer: what goes down to tiles, what comes back from them, and its runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_training import make, write_scene
from torch import Tensor

from fctl_napari.evaluation.cost import count_flops, count_parameters
from fctl_napari.exceptions import ConfigError
from fctl_napari.finetuning.steps.tile_network import TileNetwork
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.open import open_image
from fctl_napari.model.baselines.glnet import GlobalLocal
from fctl_napari.model.baselines.glnet_sharing import SharedGlobalLocal
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.config import make_config
from fctl_napari.model.feature_ablation import Without
from fctl_napari.model.presets import preset
from fctl_napari.model.windows import Dihedral
from fctl_napari.segmentation.inference.engines import resolve_engine
from fctl_napari.segmentation.inference.image_tiles import image_tiles
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.training.train import train
from fctl_napari.training.trainer import Trainer

SIDE = 160
WHOLE = torch.tensor([[0.0, 0.0, SIDE, SIDE]]).double()


def network(sharing: str = "both") -> SharedGlobalLocal:
    torch.manual_seed(0)
    model = make_network(preset("glnet_both", tile_size=64, classes=3, sharing=sharing)).eval()
    assert isinstance(model, SharedGlobalLocal)
    return model


def image_and_tiles(step: int = 48) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """An image of noise, 160 px, resampled to 64, and tiles of 64 px that cover it."""
    torch.manual_seed(1)
    pixels = torch.randint(0, 256, (1, 3, SIDE, SIDE)).float()
    tiles = [
        (pixels[..., y : y + 64, x : x + 64], torch.tensor([[y, x, y + 64, x + 64]]).double())
        for y in range(0, SIDE - 63, step)
        for x in range(0, SIDE - 63, step)
    ]
    return torch.nn.functional.interpolate(pixels, (64, 64), mode="area"), tiles


# -- the network ---------------------------------------------------------------------------------------------------


def test_the_earlier_glnet_is_as_it_was() -> None:
    assert isinstance(make_network(preset("glnet")), GlobalLocal)
    assert "sharing" not in preset("glnet").model_dump()
    stored = preset("glnet_both").model_dump(mode="json")
    assert make_config(**stored) == preset("glnet_both")
    with pytest.raises(ConfigError, match="sharing is an option of glnet, not of pspnet"):
        preset("pspnet", sharing="both")


@pytest.mark.parametrize("size", [65, 508])
def test_tiles_may_have_any_size(size: int) -> None:
    with torch.device("meta"):
        model = make_network(preset("glnet_both", tile_size=size, classes=5)).eval()
        tile, windows = torch.zeros(2, 3, size, size), {name: torch.zeros(2, 4) for name in ("tile", "large")}
        row = model.with_tiles(model.encode_context("large", tile[:1]), [(tile, windows["tile"])], windows["large"][:1])
        assert model.decode(model.encode_tile(tile), {"large": row}, windows).shape == (2, 5, size, size)


def test_maps_of_an_image_are_packed_and_unpacked() -> None:
    model = network("down")
    image, _ = image_and_tiles()
    row = model.context_features("large", image)
    layers, stacked = model.unpack(row)
    assert [[x.shape[1] for x in layer] for layer in layers] == [
        [256, 512, 1024, 2048],
        [256] * 4,
        [256] * 4,
        [128] * 4,
    ]
    assert stacked.shape == (1, 512, 16, 16)
    assert torch.equal(model.pack(layers, stacked), row)


@torch.no_grad()
@pytest.mark.parametrize("layer", range(4))
def test_every_layer_of_the_image_reaches_the_tile(layer: int) -> None:
    model = network("down")
    image, tiles = image_and_tiles()
    windows = {"tile": tiles[4][1], "large": WHOLE}
    encoded = model.tile_features(tiles[4][0])
    row = model.context_features("large", image)
    layers, stacked = model.unpack(row)
    for k in range(4):
        other = [list(maps) for maps in layers]
        other[layer][k] = other[layer][k] + 1
        changed = model.logits(encoded, {"large": model.pack(other, stacked)}, windows)
        assert not torch.allclose(changed, model.logits(encoded, {"large": row}, windows)), k
    zeros = model.logits(encoded, {"large": row * 0}, windows)
    assert torch.equal(model.logits(encoded, {"large": row}, windows, Without.named(["large"])), zeros)


@torch.no_grad()
def test_what_comes_back_is_the_mean_of_the_tiles_at_each_cell() -> None:
    model = network()
    image, tiles = image_and_tiles()
    seen: list[list[list[Tensor]]] = []
    model.back.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    model.encoder("tile").forward = lambda images: {  # type: ignore[method-assign]
        stride: images.mean() * torch.ones(len(images), width, 64 // stride, 64 // stride)
        for stride, width in ((4, 256), (8, 512), (16, 1024), (32, 2048))
    }
    means = [float(pixels.mean()) for pixels, _ in tiles]
    model.with_tiles(model.context_features("large", image), iter(tiles), WHOLE)
    for k, grid in enumerate(model.grids):
        centers = grid.centers(WHOLE)[0][0].tolist()
        expected = [
            [
                np.mean(
                    [
                        m
                        for m, (_, w) in zip(means, tiles, strict=True)
                        if w[0, 0] < y < w[0, 2] and w[0, 1] < x < w[0, 3]
                    ]
                )
                for x in centers
            ]
            for y in centers
        ]
        found = seen[0][0][k][0]
        torch.testing.assert_close(found[0], torch.tensor(expected).float(), rtol=1e-4, atol=1e-3)
        assert torch.equal(found[0], found[-1])


@torch.no_grad()
def test_every_tile_changes_what_is_scored_beside_another() -> None:
    model = network()
    image, tiles = image_and_tiles()
    alone = model.context_features("large", image)
    row = model.with_tiles(alone, tiles, WHOLE)
    assert row.shape == alone.shape
    encoded, windows = model.tile_features(tiles[0][0]), {"tile": tiles[0][1], "large": WHOLE}
    before = model.logits(encoded, {"large": row}, windows)
    assert not torch.allclose(before, model.logits(encoded, {"large": alone}, windows))
    others = [*tiles[:-1], (255 - tiles[-1][0], tiles[-1][1])]  # the far corner
    changed = model.with_tiles(alone, others, WHOLE)
    assert not torch.equal(before, model.logits(encoded, {"large": changed}, windows))
    # the layers that tiles see are those of the image by itself
    assert all(torch.equal(a, b) for a, b in zip(model.unpack(row)[0][1], model.unpack(alone)[0][1], strict=True))
    together = model.with_tiles(alone, [(torch.cat([t for t, _ in tiles]), torch.cat([w for _, w in tiles]))], WHOLE)
    torch.testing.assert_close(together, row, rtol=1e-3, atol=1e-3)


def test_gradients_reach_all_but_the_tiles_that_give_back() -> None:
    model = network()
    image, tiles = image_and_tiles()
    row = model.with_tiles(model.context_features("large", image), tiles, WHOLE)
    model.unpack(row)[1].square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.back.parameters())
    assert all(p.grad is None for p in model.encoder("tile").parameters())
    assert any(p.grad is not None for p in model.encoder("large").parameters())


# -- its runs ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene"))


def config(**fields: Any) -> Any:
    usual = {"preset": "glnet_both", "network": {"tile_size": 64}, "measured": False, "steps": 1, "batch": 2}
    return make(**usual | fields)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Path:
    """Trained in its two stages, a step each."""
    stages = [
        {"name": "down", "network": {"sharing": "down"}},
        {"name": "both", "init_from": "down", "frozen": ["encoders", "necks"]},
    ]
    return train(config(stages=stages), folder / "run", data_folder=folder, device="cpu")


def test_stages_train_what_goes_down_and_then_what_comes_back(checkpoint: Path, folder: Path) -> None:
    down, card = load_checkpoint(folder / "run" / "down" / "tiny-down.safetensors")
    assert card.config.sharing == "down"
    both, card = load_checkpoint(checkpoint)
    assert card.config.sharing == "both"
    before, after = down.state_dict(), both.state_dict()
    assert {key for key in after if key not in before} == {key for key in after if key.startswith("back.")}
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == {"decoder.score.weight", "decoder.score.bias"}


def test_a_training_batch_is_what_the_predictor_computes(folder: Path, tmp_path: Path) -> None:
    """Both look at all tiles; the predictor reads them by itself."""
    augment = {"dihedral": False, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
    run = Trainer(config(augment=augment), tmp_path, data_folder=folder, device="cpu")
    run.model.eval()
    sample = run.sampler.batch(0, 2)[0]
    batch = run._load(0)
    (tiles,) = batch.tiles
    assert len(tiles.pixels) == len(list(image_tiles(run.scenes[0].pyramid, run.model.config)))
    with torch.no_grad():
        logits = run._forward(batch)[0].numpy()
    predictor = Predictor(run.model, device="cpu", precision="fp32")
    window = tuple(sample.inputs.windows["tile"].tolist())
    (_, found), *_ = predictor.predict(run.scenes[0].pyramid, [window])  # type: ignore[list-item]
    np.testing.assert_allclose(found, logits, rtol=1e-3, atol=1e-3 * float(np.abs(logits).max()))


def test_a_turned_tile_is_one_of_the_turned_image() -> None:
    predictor = Predictor(network(), device="cpu", precision="fp32")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    turn, window = Dihedral(True, 1), (0.0, 0.0, 64.0, 64.0)
    ((_, found),) = predictor.predict(pyramid_from_array(pixels), [window], [turn])
    turned = np.ascontiguousarray(turn.pixels(pixels.transpose(2, 0, 1)).transpose(1, 2, 0))
    ((_, expected),) = predictor.predict(pyramid_from_array(turned), [window])
    np.testing.assert_allclose(turn.pixels(found), expected, rtol=1e-3, atol=1e-3 * float(np.abs(expected).max()))


def test_tiles_are_turned_and_colored_in_training_as_their_image_is(folder: Path, tmp_path: Path) -> None:
    augment = {"dihedral": True, "brightness": 0.5, "contrast": 0.0, "saturation": 0.0}
    run = Trainer(config(augment=augment), tmp_path, data_folder=folder, device="cpu")
    for number in range(4):
        batch = run._load(number)
        (tiles,) = batch.tiles
        y0, x0, y1, x1 = tiles.whole[0].tolist()
        mosaic, count = torch.zeros(3, round(y1 - y0), round(x1 - x0)), torch.zeros(round(y1 - y0), round(x1 - x0))
        for images, windows in tiles.on(torch.device("cpu")):
            top, left = round(float(windows[0, 0]) - y0), round(float(windows[0, 1]) - x0)
            mosaic[:, top : top + 64, left : left + 64] += images[0]
            count[top : top + 64, left : left + 64] += 1
        assert (count > 0).all()
        small = torch.nn.functional.interpolate((mosaic / count)[None], (16, 16), mode="area")
        seen = torch.nn.functional.interpolate(batch.contexts["large"], (16, 16), mode="area")
        assert float((small - seen).abs().mean()) < 2


def test_what_it_costs_counts_the_pass_over_all_tiles() -> None:
    one, three = (sum(count_flops(preset("glnet_both"), tiles=n).values()) for n in (1, 3))
    alone = sum(count_flops(preset("glnet_both", sharing="down")).values())
    assert one > 1.5 * alone
    assert three - one > 0.9 * alone  # two tiles more
    counts = count_parameters(preset("glnet_both"))
    assert counts.live == counts.total


def test_a_region_is_the_whole_there_and_is_explained_so(
    checkpoint: Path, folder: Path, command_engine: Engine, tmp_path: Path
) -> None:
    region, found = (30, 70, 100, 200), []
    for name, part in (("whole", None), ("part", region)):
        request = SegmentationRequest(
            image=str(folder / "scene.png"),
            out=str(tmp_path / f"{name}.ome.zarr"),
            checkpoint=str(checkpoint),
            region=part,
            device="cpu",
            precision="fp32",
        )
        assert command_engine.start(request).wait(120).error is None
        found.append(Segmentation.open(request.out))
    whole, some = found
    np.testing.assert_array_equal(some.labels.read(region), whole.labels.read(region))
    np.testing.assert_array_equal(some.confidence.read(region), whole.confidence.read(region))
    told = explain(folder / "scene.png", checkpoint, (40, 80), device="cpu", precision="fp32")
    assert told.labels[40 - int(told.tile[0]), 80 - int(told.tile[1])] == whole.labels.read((40, 80, 41, 81))[0, 0]


def test_what_cannot_look_at_all_tiles_says_so(checkpoint: Path, folder: Path) -> None:
    model, card = load_checkpoint(checkpoint)
    image = open_image(folder / "scene.png")
    with pytest.raises(ConfigError, match="looks at all tiles of an image before it segments one"):
        TileNetwork(model, [image], ["decoder"], None, torch.device("cpu"), "fp32")
    assert resolve_engine("auto", "cpu", card.config) == "torch"


def test_tiles_cover_an_image(folder: Path) -> None:
    image = open_image(folder / "scene.png")
    count = np.zeros(image.shape, int)
    tiles: Iterator[tuple[np.ndarray, tuple[int, int, int, int]]] = image_tiles(
        image, preset("glnet_both", tile_size=64)
    )
    for pixels, (y0, x0, y1, x1) in tiles:
        np.testing.assert_array_equal(pixels, image.read((y0, x0, y1, x1)).transpose(2, 0, 1))
        count[y0:y1, x0:x1] += 1
    assert (count > 0).all()
