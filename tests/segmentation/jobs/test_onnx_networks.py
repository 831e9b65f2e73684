"""Networks of ONNX files in runs with a real worker process: what onnxruntime computes of the tiles, nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import rasterio
import torch
from helpers_commands import Fctl
from helpers_onnx import deepness, network, run
from helpers_segmentation import pixels
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch.nn import functional as F

import fctl_napari as fctl_api
from fctl_napari.api import running
from fctl_napari.exceptions import CheckpointError, ConfigError
from fctl_napari.finetuning.finetune import Finetuner
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.trainable_parts import sizes_of_parts
from fctl_napari.model.build import make_network
from fctl_napari.model.model_card import read_card
from fctl_napari.model.onnx_files.read import import_onnx
from fctl_napari.model.presets import preset
from fctl_napari.segmentation.jobs.engine import Engine, RunProgress, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.training.config import load_train_config
from fctl_napari.training.weight_init import start_from

pytestmark = pytest.mark.slow

NAMES = ("water", "land", "road")
ENOUGH = 200
SHAPE = (200, 310)
Pixels = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    """Have the public functions use the worker of the other tests."""
    monkeypatch.setitem(running._engines, None, engine)


@pytest.fixture(scope="session")
def image(make_rgb: Callable[..., Pixels]) -> Pixels:
    return make_rgb(*SHAPE, seed=3)


@pytest.fixture
def png(tmp_path: Path, image: Pixels) -> Path:
    path = tmp_path / "scene.png"
    Image.fromarray(image).save(path)
    return path


def geotiff(path: Path, image: Pixels, side: float) -> Path:
    """A file with px of a size on the ground, m."""
    transform = rasterio.Affine(side, 0, 5e5, 0, -side, 5e6)
    profile = {"driver": "GTiff", "count": 3, "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:32631", transform=transform, photometric="rgb", **profile) as file:
        file.write(image.transpose(2, 0, 1))
    return path


def plain_loop(path: Path, image: Pixels, size: int, overlap: int) -> NDArray[np.float32]:
    """Probabilities [classes, H, W]: tiles of ``size`` px, seen as 64 px, each of which gives the px in its middle."""
    result = np.zeros((3, *image.shape[:2]), np.float32)
    step, (height, width) = size - overlap, image.shape[:2]
    for y in range(0, height, step):
        for x in range(0, width, step):
            top, left = (max(0, min(a - overlap // 2, b - size)) for a, b in ((y, height), (x, width)))
            cut = Image.fromarray(image[top : top + size, left : left + size])
            seen = np.asarray(cut.resize((64, 64), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
            logits = torch.from_numpy(run(path, np.float32(seen / 255)))[None]
            whole = F.interpolate(logits, (size, size), mode="bilinear").softmax(1)[0].numpy()
            result[:, y : y + step, x : x + step] = whole[:, y - top : y - top + step, x - left : x - left + step]
    return result


def check(store: Path, expected: NDArray[np.float32]) -> None:
    """Labels and confidence of a segmentation are those of these probabilities, but for ties."""
    labels, confidence = pixels(Segmentation.open(store))
    best = np.sort(expected, 0)
    clear = best[-1] - best[-2] > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(labels[clear], (expected.argmax(0) + 1)[clear])
    assert np.abs(confidence - expected.max(0) * 255).max() <= 0.51
    assert len(np.unique(labels)) == 3


def test_commands(tmp_path: Path, png: Path, image: Pixels, fctl: Fctl) -> None:
    path = network(tmp_path / "net.onnx", metadata=deepness(*NAMES, tiles_overlap=50))
    checkpoint, out = tmp_path / "networks" / "net.safetensors", tmp_path / "out.ome.zarr"
    checkpoint.parent.mkdir()
    assert fctl("model", "import", path, "--out", checkpoint).out.strip() == str(checkpoint)
    assert fctl("segment", png, "--out", out, "--checkpoint", checkpoint, "--engine", "auto").code == 0
    check(out, plain_loop(path, image, 64, 32))
    assert "ONNX network" in fctl("info", checkpoint).out
    assert fctl("model", "list", checkpoint.parent, "--json", tmp_path / "list.json").code == 0
    listed = {one["name"]: one for one in json.loads((tmp_path / "list.json").read_text())}
    assert (listed["net"]["kind"], listed["net"]["network"]) == ("imported", "ONNX network")
    assert fctl("model", "onnx", checkpoint, tmp_path / "back.onnx").code == 0
    assert (tmp_path / "back.onnx").read_bytes() == path.read_bytes()
    truth = tmp_path / "truth.png"
    Image.fromarray(np.uint8(image[..., 0] // 86)).save(truth)
    assert fctl("evaluate", out, truth, "--json", tmp_path / "figures.json").code == 0
    assert json.loads((tmp_path / "figures.json").read_text())["context_reliance"] == 0


def test_merge_average(tmp_path: Path, png: Path, image: Pixels, engine: Engine) -> None:
    """Logits are averaged where tiles overlap, as those of other networks."""
    path = network(tmp_path / "net.onnx", metadata=deepness(*NAMES))
    checkpoint = import_onnx(path, tmp_path / "net.safetensors")
    request = SegmentationRequest(
        str(png), str(tmp_path / "out.ome.zarr"), str(checkpoint), merge="average", maps=False
    )
    assert engine.start(request).wait(ENOUGH).state == "done"
    # One convolution: tiles differ at their rims alone.
    whole = run(network(tmp_path / "any.onnx", size=None), np.float32(image.transpose(2, 0, 1) / 255))
    labels = pixels(Segmentation.open(request.out))[0]
    assert (labels == whole.argmax(0) + 1).mean() > 0.97


@pytest.mark.parametrize(("side", "size"), [(0.5, 128), (1.25, 51), (1.01, 64)])
def test_image_is_resampled(tmp_path: Path, image: Pixels, engine: Engine, side: float, size: int) -> None:
    """A network of 1 m sees px of 1 m, and gives px of the image."""
    path = network(tmp_path / "net.onnx", metadata=deepness(*NAMES, resolution=100))
    checkpoint = import_onnx(path, tmp_path / "net.safetensors")
    source = geotiff(tmp_path / "scene.tif", image, side)
    request = SegmentationRequest(str(source), str(tmp_path / "out.ome.zarr"), str(checkpoint), maps=True)
    assert engine.start(request).wait(ENOUGH).state == "done"
    overlap = {128: 32, 51: 19, 64: 16}[size]
    expected = plain_loop(path, image, size, overlap)
    check(tmp_path / "out.ome.zarr", expected)
    assert Segmentation.open(request.out).grid.facts() == {"tile_size": size, "overlap": overlap}
    part = SegmentationRequest(
        str(source), str(tmp_path / "part.ome.zarr"), str(checkpoint), region=(90, 100, 120, 140), merge="crop"
    )
    assert engine.start(part).wait(ENOUGH).state == "done"
    np.testing.assert_array_equal(*(pixels(Segmentation.open(one.out), part.region) for one in (request, part)))
    averaged = SegmentationRequest(str(source), str(tmp_path / "mean.ome.zarr"), str(checkpoint), merge="average")
    assert engine.start(averaged).wait(ENOUGH).state == "done"
    agreed = pixels(Segmentation.open(averaged.out))[0] == expected.argmax(0) + 1
    assert agreed.mean() > 0.9
    explained = fctl_api.explain(source, (100.5, 200.5), checkpoint, device="cpu")
    found = np.array([explained.probabilities[name] for name in NAMES])
    np.testing.assert_allclose(found, expected[:, 100, 200], atol=1e-3)


def test_image_that_cannot_be_resampled(tmp_path: Path, image: Pixels, png: Path, fctl: Fctl) -> None:
    path = network(tmp_path / "net.onnx", metadata=deepness(*NAMES, resolution=100))
    checkpoint = import_onnx(path, tmp_path / "net.safetensors")
    for side, words in (
        (0.005, "too fine for a network of 1 m px; take a coarser copy"),
        (5, "too coarse for a network"),
    ):
        source = geotiff(tmp_path / f"{side}.tif", image, side)
        command = "segment", source, "--out", tmp_path / "out.ome.zarr", "--checkpoint", checkpoint
        assert words in fctl(*command).sentence()
    assert not (tmp_path / "out.ome.zarr").exists()
    done = fctl("segment", png, "--out", tmp_path / "out.ome.zarr", "--checkpoint", checkpoint)
    assert done.code == 0
    assert "its px size is not known, so it is not resampled to their 1 m" in " ".join(done.err.split())


def test_px_that_are_not_square_on_the_ground_are_warned_of(tmp_path: Path, image: Pixels, fctl: Fctl) -> None:
    path = network(tmp_path / "net.onnx", metadata=deepness(*NAMES, resolution=100))
    checkpoint = import_onnx(path, tmp_path / "net.safetensors")
    source, degrees = tmp_path / "north.tif", 1 / 111_195
    height, width = image.shape[:2]
    facts = {"crs": "EPSG:4326", "transform": rasterio.Affine(degrees, 0, 10, 0, -degrees, 60)}
    with rasterio.open(source, "w", "GTiff", width, height, 3, dtype="uint8", **facts) as file:
        file.write(image.transpose(2, 0, 1))
    done = fctl("segment", source, "--out", tmp_path / "out.ome.zarr", "--checkpoint", checkpoint)
    assert done.code == 0
    assert "its px are 1 m high and 0.5 m wide on the ground" in " ".join(done.err.split())


def test_values_that_are_no_numbers_are_no_classes(tmp_path: Path, image: Pixels, fctl: Fctl) -> None:
    """A network that is fine on noise and fails on dark tiles."""
    path, source = tmp_path / "net.onnx", tmp_path / "dark.png"
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3]),
        helper.make_node("Sub", ["mean", "floor"], ["above"]),
        helper.make_node("Sqrt", ["above"], ["root"]),
        helper.make_node("Add", ["x", "root"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 64, 64]) for name in "xy"]
    floor = numpy_helper.from_array(np.array(0.2, np.float32), "floor")
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [floor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    settings = tmp_path / "net.toml"
    settings.write_text(f"classes = {list(NAMES)}")
    checkpoint = import_onnx(path, tmp_path / "net.safetensors", settings=settings)
    Image.fromarray(image // 16).save(source)
    for merge in ("crop", "average"):
        command = "segment", source, "--out", tmp_path / "out.ome.zarr", "--checkpoint", checkpoint, "--merge", merge
        assert "gives values that are no numbers for the tile at row" in fctl(*command).sentence()


def test_live_errors_and_evaluation(tmp_path: Path, png: Path, image: Pixels, engine: Engine) -> None:
    path = network(tmp_path / "net.onnx", head="softmax", metadata=deepness(*NAMES))
    checkpoint = import_onnx(path, tmp_path / "net.safetensors")
    out = tmp_path / "out.ome.zarr"
    seen = threading.Event()

    def hear(event: RunProgress) -> None:
        if event.view is not None and event.view.done == event.view.total:
            seen.set()

    live = engine.start(SegmentationRequest(str(png), str(out), str(checkpoint), live=True), hear)
    live.look((0, 0, 40, 40))
    assert seen.wait(ENOUGH)
    live.cancel()
    live.wait(ENOUGH)
    looked_at = pixels(Segmentation.open(out), (0, 0, 40, 40))
    assert looked_at.all()
    land = fctl_api.segment(png, checkpoint, out, progress=False)
    np.testing.assert_array_equal(pixels(Segmentation.open(out), (0, 0, 40, 40)), looked_at)
    predicted = pixels(Segmentation.open(out))[0] - 1
    truth = predicted.copy()
    truth[50:90, 60:100] = (truth[50:90, 60:100] + 1) % 3
    Image.fromarray(truth).save(tmp_path / "truth.png")
    figures = fctl_api.evaluate(land, tmp_path / "truth.png", progress=False)
    assert figures.accuracy == pytest.approx(1 - 1600 / truth.size)
    errors = fctl_api.errors(land, tmp_path / "truth.png", progress=False)
    assert errors.regions
    assert all(50 <= y0 < y1 <= 90 and 60 <= x0 < x1 <= 100 for y0, x0, y1, x1 in (r.window for r in errors.regions))
    assert "doubts" in repr(fctl_api.errors(land, progress=False))


def test_refused_where_its_weights_are_needed(tmp_path: Path, png: Path, fctl: Fctl) -> None:
    checkpoint = import_onnx(network(tmp_path / "net.onnx", metadata=deepness(*NAMES)), tmp_path / "net.safetensors")
    segment = "segment", png, "--out", tmp_path / "out.ome.zarr", "--checkpoint", checkpoint
    assert "openvino cannot run ONNX network; use torch" in fctl(*segment, "--engine", "openvino").sentence()
    assert "in a precision of its own; leave out --device" in fctl(*segment, "--precision", "bf16").sentence()
    assert not (tmp_path / "out.ome.zarr").exists()
    sentence = fctl("model", "onnx", checkpoint, tmp_path / "n.onnx", "--deepness").sentence()
    assert "is written as it is; leave out --deepness" in sentence
    assert "of which no folder is made" in fctl("model", "folder", checkpoint, "--out", tmp_path / "folder").sentence()
    own = r"net\.safetensors: came as an ONNX file, which is run as it is: it cannot learn"
    with pytest.raises(CheckpointError, match=own):
        start_from(make_network(preset("unet", tile_size=64, classes=3)), checkpoint)
    asked = {
        "image": str(png),
        "checkpoint": str(checkpoint),
        "corrections": "c",
        "out": str(tmp_path / "o.safetensors"),
    }
    with pytest.raises(CheckpointError, match=own):
        Finetuner(FinetuneRequest(**asked))
    with pytest.raises(CheckpointError, match=own):
        sizes_of_parts(checkpoint)
    with pytest.raises(ConfigError, match="onnx holds the settings of the architecture onnx"):
        preset("unet", tile_size=64, classes=3, architecture="onnx")
    of_the_file = read_card(checkpoint).config.model_dump(include={"architecture", "onnx"})
    recipe = load_train_config("aerial").model_copy(update={"preset": "unet", "network": of_the_file})
    with pytest.raises(ConfigError, match=r"network\.onnx: a network of an ONNX file is run as it is"):
        recipe.network_config(3)
