"""OpenVINO computes what torch computes, tile by tile, whatever else it computes beside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_training import NETWORK

from fctl_napari.evaluation.cost import random_inputs
from fctl_napari.exceptions import ConfigError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.build import make_network
from fctl_napari.model.config import FCtLConfig, make_config
from fctl_napari.model.model_card import checkpoint_hash
from fctl_napari.model.network import Network
from fctl_napari.model.presets import preset
from fctl_napari.segmentation.inference.engines import resolve_engine
from fctl_napari.segmentation.inference.hardware import Precision
from fctl_napari.segmentation.inference.pixel_maps import classify_tiles, tile_maps
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.jobs import loaded_networks
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.merge import classify
from fctl_napari.windows import FloatWindow

pytest.importorskip("openvino")

from fctl_napari.segmentation.inference.openvino_cache import drop_oldest
from fctl_napari.segmentation.inference.openvino_conversion import convert_network
from fctl_napari.segmentation.inference.openvino_network import RESULTS, OpenVinoNetwork
from fctl_napari.segmentation.inference.openvino_parts import Parts, load_parts, save_parts
from fctl_napari.segmentation.inference.openvino_predictor import OpenVinoPredictor
from fctl_napari.segmentation.inference.openvino_runtime import ov

SMALL: dict[str, Any] = {**NETWORK, "classes": 3}
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"encoder": "efficientnet_lite0", "bands": ["red", "green", "blue", "nir"]},
    {"contexts": [], "ale": "none"},
)
"""By day: all parts, another encoder with other bands, and nothing but the tile."""

OTHERS: tuple[dict[str, Any], ...] = (
    {"gpe": False},
    {"ale": "none"},
    {"ale": "e", "fusion": "weighted"},
    {"lcf": False, "correlation_stride": 16},
    {"fusion": "released", "scale_logits": True},
    {"values_from": "local", "share_encoders": "all"},
    {"decoder": "segformer", "correlation_stride": 16},
)
SMP = ("unet_resnet", "fpn", "deeplabv3plus_separable")
BASELINES = ("icnet", "refiner", "segformer_b0", "glnet", "unet", "segnet", "pspnet", "deeplabv3plus", *SMP)
ENCODERS = ("vgg16", "resnet50")


def configs() -> list[Any]:
    """Settings of small networks: FCtL with its options, and by night each baseline and encoder."""
    found = [pytest.param(make_config(**(SMALL | fields)), id=str(fields)) for fields in OPTIONS]
    nightly = pytest.mark.nightly
    whole = preset("unet", tile_size=64, classes=3, inference="global")
    found.append(pytest.param(whole, id="global", marks=nightly))
    found += [pytest.param(make_config(**(SMALL | fields)), id=str(fields), marks=nightly) for fields in OTHERS]
    for name in BASELINES + ENCODERS:
        fields: dict[str, Any] = {"tile_size": 64, "classes": 3}
        own = name in ENCODERS
        config = make_config(**(SMALL | {"encoder": name})) if own else preset(name, **fields)
        found.append(pytest.param(config, id=name, marks=nightly))
    return found


def awake(config: FCtLConfig) -> Network:
    """A network with open gates, so that every part takes part."""
    torch.manual_seed(0)
    network = make_network(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("gamma", ".z")):
                parameter.fill_(0.5)
    return network


@pytest.mark.filterwarnings("ignore:ALE's windows")
@pytest.mark.parametrize("config", configs())
def test_every_network_says_the_same(config: FCtLConfig, tmp_path: Path) -> None:
    network = awake(config)
    save_parts(convert_network(network), tmp_path / "parts")
    core = ov.Core()
    other = OpenVinoNetwork(load_parts(tmp_path / "parts", core), config, "fp32", 1, core)
    for result in RESULTS:
        other.compile(result)
    tile, contexts, windows = random_inputs(config, "cpu")
    if config.refines:
        tile[:, -1] %= 4
    windows = {name: window.double() + 123456.25 for name, window in windows.items()}
    fusion: list[torch.Tensor] = []
    with torch.no_grad():
        encoded = {name: network.encode_context(name, pixels) for name, pixels in contexts.items()}
        logits = network.decode(network.encode_tile(tile), encoded, windows, fusion=fusion)
        tiles = classify_tiles(logits)
        maps = tile_maps(tiles, fusion[0].mean(2) if fusion else None, network.grid)[0].numpy()
    features = {name: other.encode_context(name, pixels[0].numpy()) for name, pixels in contexts.items()}
    places = {name: tuple(window[0].tolist()) for name, window in windows.items()}
    found = {result: other.run(result, tile[0].numpy(), features, places) for result in RESULTS}
    np.testing.assert_allclose(found["logits"][0], logits[0], rtol=1e-3, atol=1e-3 * float(logits.abs().max()))
    for labels, confidence, *others in (found["classes"], found["classes with maps"]):
        assert (labels == tiles.labels()[0].numpy()).mean() > 0.999
        for own, same in zip((confidence, *others), (tiles.confidence()[0].numpy(), maps), strict=False):
            assert np.abs(own.astype(int) - same).max() <= 1


@pytest.fixture(scope="module")
def image() -> Pyramid:
    return pyramid_from_array(np.random.default_rng(0).integers(0, 256, (200, 260, 3)).astype(np.uint8))


WINDOWS: list[FloatWindow] = [(y, x, y + 64.0, x + 64.0) for y in (0.0, 48.0, 96.0) for x in (0.0, 48.0, 96.0, 144.0)]


@pytest.fixture(scope="module")
def networks() -> tuple[Network, Parts]:
    """A network, and its parts."""
    network = awake(make_config(**SMALL))
    return network, convert_network(network)


def predictor(networks: tuple[Network, Parts], streams: int, precision: Precision = "fp32") -> OpenVinoPredictor:
    network, parts = networks
    return OpenVinoPredictor(OpenVinoNetwork(parts, network.config, precision, streams, ov.Core()))


@pytest.fixture(scope="module")
def two_streams(networks: tuple[Network, Parts]) -> OpenVinoPredictor:
    return predictor(networks, 2)


@pytest.mark.filterwarnings("ignore:ALE's windows")
def test_a_tile_does_not_depend_on_its_company(
    image: Pyramid, networks: tuple[Network, Parts], two_streams: OpenVinoPredictor
) -> None:
    one = predictor(networks, 1)
    together = dict(two_streams.predict(image, WINDOWS))
    assert list(together) == list(range(len(WINDOWS)))
    for index in (0, 5, 11):
        (_, alone), *_ = one.predict(image, [WINDOWS[index]])
        np.testing.assert_array_equal(alone, together[index])


@pytest.mark.filterwarnings("ignore:ALE's windows")
def test_maps_are_those_of_torch(
    image: Pyramid, networks: tuple[Network, Parts], two_streams: OpenVinoPredictor
) -> None:
    found = list(two_streams.classify_with_maps(image, WINDOWS[:4]))
    torch_itself = Predictor(networks[0], device="cpu", precision="fp32")
    expected = list(torch_itself.classify_with_maps(image, WINDOWS[:4]))
    for (index, labels, confidence, maps), (other, *others) in zip(found, expected, strict=True):
        assert index == other
        assert (labels == others[0]).mean() > 0.999
        for own, same in ((confidence, others[1]), (maps, others[2])):
            assert np.abs(own.astype(int) - same).max() <= 1


@pytest.mark.filterwarnings("ignore:ALE's windows")
def test_what_was_compiled_before_gives_the_same_bits(
    image: Pyramid, networks: tuple[Network, Parts], two_streams: OpenVinoPredictor, tmp_path: Path
) -> None:
    network, parts = networks
    expected = dict(two_streams.predict(image, WINDOWS[:2]))
    for damaged in (False, False, True):  # compiled, read, read where the files are damaged
        for blob in tmp_path.glob("*.blob") if damaged else ():
            content = blob.read_bytes()
            middle = len(content) // 2
            blob.chmod(0o600)
            blob.write_bytes(content[:middle] + bytes(1000) + content[middle + 1000 :])
        again = OpenVinoPredictor(OpenVinoNetwork(parts, network.config, "fp32", 2, ov.Core(), tmp_path))
        for index, logits in again.predict(image, WINDOWS[:2]):
            np.testing.assert_array_equal(logits, expected[index])
    assert len(list(tmp_path.glob("*.blob"))) == 1 + len(parts.contexts)


@pytest.mark.filterwarnings("ignore:ALE's windows")
def test_classes_are_those_of_the_logits_in_bf16(image: Pyramid, networks: tuple[Network, Parts]) -> None:
    """Only the network computes in bf16; what is made of its logits does not."""
    half = predictor(networks, 1, "bf16")
    for (_, logits), (_, labels, confidence) in zip(
        half.predict(image, WINDOWS), half.classify(image, WINDOWS), strict=True
    ):
        expected, sure = classify(logits.astype(np.float64))
        assert (labels == expected).mean() > 0.999
        assert np.abs(confidence.astype(int) - sure).max() <= 1


def test_nothing_is_reported(tmp_path: Path) -> None:
    """OpenVINO's telemetry begins by writing an identity into the user's folder."""
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | {"HOME": str(tmp_path)}
    code = (
        "import fctl_napari.segmentation.inference.openvino_conversion, sys; print(sys.modules['openvino_telemetry'])"
    )
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "None"
    assert not (tmp_path / "intel").exists()


def test_engines_are_chosen_by_device_and_network(monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(**SMALL)
    assert resolve_engine("auto", "cpu", config) == "openvino"
    assert resolve_engine("auto", "cuda", config) == "torch"
    assert resolve_engine("auto", "cpu", make_config(**(SMALL | {"encoder": "vgg16"}))) == "torch"
    with pytest.raises(ConfigError, match="runs on the CPU"):
        resolve_engine("openvino", "cuda", config)
    with pytest.raises(ConfigError, match="no engine 'onnx'"):
        resolve_engine("onnx", "cpu", config)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert resolve_engine("auto", "cpu", config) == "torch"
    with pytest.raises(ConfigError, match="fast-cpu"):
        resolve_engine("openvino", "cpu", config)


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that the tests of this file share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, cached: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cached))
    monkeypatch.setattr(loaded_networks, "loaded", {})


def openvino_network(checkpoint: Path) -> loaded_networks.Network:
    return loaded_networks.Network(str(checkpoint), checkpoint_hash(checkpoint), "cpu", "fp32", engine="openvino")


@pytest.mark.usefixtures("in_this_process")
def test_parts_are_converted_once_and_made_anew_where_damaged(
    plain_checkpoint: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = openvino_network(plain_checkpoint)
    assert "OpenVINO" in loaded_networks.prepare(network)
    (folder,) = (cached / "fctl-napari" / "openvino").iterdir()
    written = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setattr(loaded_networks, "loaded", {})
    loaded_networks.prepare(network)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == written
    weights = (folder / "tile.bin").read_bytes()
    (folder / "tile.bin").write_bytes(bytes(100) + weights[100:])
    monkeypatch.setattr(loaded_networks, "loaded", {})
    loaded_networks.prepare(network)
    assert (folder / "tile.bin").read_bytes() == weights
    shutil.rmtree(folder)
    folder.write_text("a file")
    monkeypatch.setattr(loaded_networks, "loaded", {})
    loaded_networks.prepare(network)
    assert folder.is_dir()


def test_the_networks_used_last_are_kept(tmp_path: Path, networks: tuple[Network, Parts]) -> None:
    save_parts(networks[1], tmp_path / "used")
    for number in range(9):
        (tmp_path / f"{number}").mkdir()
        os.utime(tmp_path / f"{number}", (number, number))
    os.utime(tmp_path / "used", (0, 0))
    load_parts(tmp_path / "used", ov.Core())
    drop_oldest(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"used", *(str(number) for number in range(2, 9))}


def test_a_segmentation_is_that_of_torch(
    tiny_checkpoint: Path, tmp_path: Path, image: Pyramid, command_engine: Engine
) -> None:
    region = (0, 0, 130, 150)
    np.save(tmp_path / "image.npy", image.read(region))
    found = []
    for engine in ("torch", "openvino"):
        request = SegmentationRequest(
            image=str(tmp_path / "image.npy"),
            out=str(tmp_path / f"{engine}.ome.zarr"),
            checkpoint=str(tiny_checkpoint),
            engine=engine,
            device="cpu",
            precision="fp32",
        )
        final = command_engine.start(request).wait()
        assert final.error is None
        assert ("OpenVINO" in final.device) == (engine == "openvino")
        found.append(Segmentation.open(request.out).labels.read(region))
    assert (found[0] == found[1]).mean() > 0.999
    assert (found[0] > 0).all()


def test_a_worker_segments_without_torch(plain_checkpoint: Path, tmp_path: Path, image: Pyramid) -> None:
    network = openvino_network(plain_checkpoint)
    np.save(tmp_path / "image.npy", image.read((0, 0, 130, 150)))
    code = f"""
import sys
from fctl_napari.imagery.open import open_image
from fctl_napari.segmentation.jobs import loaded_networks
loaded_networks.prepare(loaded_networks.Network({network.checkpoint!r}, {network.hash!r}))
predictor = loaded_networks.loaded["openvino"].predictor
for found in predictor.classify_with_maps(open_image({str(tmp_path / "image.npy")!r}), [(0.0, 0.0, 64.0, 64.0)]):
    assert found[1].min() > 0
print("torch" in sys.modules)
"""
    own = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}  # nothing is converted yet
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own)
    assert found.stdout.strip() == "False"


@pytest.mark.usefixtures("in_this_process")
def test_explanations_are_computed_by_torch_beside_it(plain_checkpoint: Path, image: Pyramid) -> None:
    network = openvino_network(plain_checkpoint)
    loaded_networks.prepare(network)
    explained = explain(image, plain_checkpoint, (70, 90), device="cpu", precision="fp32")
    assert set(loaded_networks.loaded) == {"torch", "openvino"}
    _, labels, _ = next(loaded_networks.loaded["openvino"].predictor.classify(image, [explained.tile]))
    assert (labels == explained.labels).mean() > 0.999
