"""Settings: what is refused, and the sentence that says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.build import make_network
from fctl_napari.model.config import Context, FCtLConfig, make_config
from fctl_napari.model.presets import PRESETS, preset

from .conftest import small_config

LOCAL = Context(name="local")
MEDIUM = Context(name="medium", scale=2.0)
LARGE = Context(name="large", scale="global")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"contexts": ({"name": "medium", "scale": 0.5},)}, r"context 'medium' \(scale 0.5\) is smaller than the tile"),
        ({"contexts": ({"name": "local", "scale": "global"},)}, r"local context is the tile or a region around it"),
        ({"contexts": ({"name": "huge", "scale": 2.0},)}, r"contexts\.0\.name: .*'local', 'medium' or 'large'"),
        ({"contexts": (MEDIUM, MEDIUM), "ale": "none"}, r"each context may stand once"),
        ({"contexts": (LOCAL, MEDIUM)}, r"ale structure 'd' needs the medium and the large context"),
        ({"contexts": (LOCAL, LARGE), "ale": "a"}, r"ale structure 'a' refers to the medium context"),
        ({"contexts": ()}, r"ale needs contexts"),
        ({"lcf": False, "ale": "none"}, r"contexts without lcf and ale would be unused"),
        ({"lcf": False, "ale": "b"}, r"the large context would be unused"),
        ({"ale_windows": (3, 4)}, r"ale_windows must be odd sizes, got \(3, 4\)"),
        ({"ale_windows": ()}, r"ale_windows must be odd sizes"),
        ({"top_down": True, "width": 16}, r"top_down needs a correlation_stride under 32 and a width"),
        ({"top_down": True, "correlation_stride": 16}, r"top_down needs a correlation_stride under 32 and a width"),
        ({"encoder": "resnet7"}, r"encoder: .*'vgg16'"),
        ({"tile_size": 8}, r"tile_size: .*at least 32"),
        ({"classes": 1}, r"classes: .*at least 2"),
        ({"correlation_stride": 4}, r"correlation_stride: .*8, 16 or 32"),
        ({"tilesize": 512}, r"tilesize: "),
        ({"contexts": ({"name": "medium", "scale": float("nan")},)}, r"scale: cannot be nan; give a finite number"),
        ({"contexts": ({"name": "medium", "scale": float("inf")},)}, r"scale: cannot be inf; give a finite number"),
        ({"decoder": "segformer"}, r"the decoder segformer is for mit_b0, .*, not for vgg16; choose one of them"),
        ({"decoder": "segformer", "encoder": "mit_b0", "finest_skip": 4}, r"finest_skip is .* not of segformer"),
        ({"decoder": "segformer", "encoder": "mit_b0", "fc_channels": 8}, r"fc_channels is .* not of segformer"),
        ({"gpe_unit": "context", "gpe": False}, r"gpe_unit is an option of GPE, which is off here; leave it out"),
        ({"gpe_unit": "context", "lcf": False}, r"gpe_unit is an option of GPE"),
    ],
)
def test_contradictions_are_refused_with_a_sentence(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_config(**fields)
    text = str(caught.value)
    assert text.startswith("network settings: ")
    assert text.endswith(".")
    assert "\n" not in text


@pytest.mark.parametrize("name", ["unet", "glnet", "refiner", "cascadepsp", "lcc_released"])
def test_an_option_of_what_a_network_has_not_is_refused_and_still_read(name: str) -> None:
    with pytest.raises(ConfigError, match="gpe_unit is an option of GPE"):
        preset(name, gpe_unit="context")
    stored = preset(name).model_dump() | {"gpe_unit": "context"}  # in a checkpoint of an earlier version
    assert FCtLConfig.model_validate(stored).gpe_unit == "context"


def test_settings_of_onnx_files_are_left_out_of_others() -> None:
    assert "onnx" not in FCtLConfig().model_dump()
    assert "onnx" not in FCtLConfig().model_dump_json()


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"there is no preset 'fctl_resnet'; choose one of fctl_vgg16, .*refiner, cascadepsp\.$"
    ):
        preset("fctl_resnet")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        *((name, {}) for name in PRESETS),
        ("fcn8s", {"encoder": "mit_b2"}),
        ("fcn8s", {"encoder": "efficientnet_lite0"}),
        ("fctl_mit_b5", {"decoder": "segformer"}),
    ],
)
@pytest.mark.filterwarnings("ignore:ALE's windows")
def test_presets_build(name: str, fields: dict[str, Any]) -> None:
    config = preset(name, **fields)
    with torch.device("meta"):
        model = make_network(config)
    assert (model.lcf is None) == (not (config.contexts and config.lcf))
    shared = name == "cascadepsp"  # one module does both steps
    assert len(model.encoders) == 1 + (0 if shared else len(config.outer_contexts))


def test_overrides_win() -> None:
    config = preset("fctl_lite", tile_size=512, classes=5)
    assert (config.tile_size, config.classes, config.correlation_stride) == (512, 5, 16)
    with pytest.raises(ConfigError, match="smaller than the tile"):
        preset("fctl_lite", contexts=({"name": "medium", "scale": 0.9},))


@pytest.mark.parametrize("encoder", ["mit_b0", "mit_b2", "efficientnet_lite0"])
def test_a_tile_size_that_does_not_fit_the_encoder_is_refused(encoder: Any) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=r"tile_size 500 does not fit .* 512 is the nearest\.$"):
        make_network(small_config(encoder=encoder, tile_size=500))


def test_vgg16_takes_any_tile_size() -> None:
    with torch.device("meta"):
        assert make_network(small_config(encoder="vgg16", tile_size=501, correlation_stride=32)).grid.size == 22


@pytest.mark.parametrize("ale", ["a", "d"])
def test_windows_larger_than_the_grid_are_warned_of(ale: Any) -> None:
    config = small_config(tile_size=256, correlation_stride=32, ale=ale, ale_windows=(3, 9, 11))
    with torch.device("meta"), pytest.warns(UserWarning, match=r"\[9, 11\] exceed the 8 x 8 feature grid"):
        make_network(config)


@pytest.mark.parametrize("fields", [{"ale": "none"}, {"ale": "concat"}, {"correlation_stride": 16}, {"tile_size": 512}])
def test_windows_that_fit_or_are_not_used_are_not(fields: dict[str, Any], recwarn: pytest.WarningsRecorder) -> None:
    defaults = {"tile_size": 256, "correlation_stride": 32, "ale_windows": (3, 5, 7, 9)}
    with torch.device("meta"):
        make_network(small_config(**(defaults | fields)))
    assert not [w for w in recwarn if "feature grid" in str(w.message)]
