"""Light decoders: linear in the features of the tile and its contexts, whatever is left out or kept."""

import pytest
import torch

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.build import make_network
from fctl_napari.model.config import make_config
from fctl_napari.model.explain import explain
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.feature_ablation import Without
from fctl_napari.model.light_decoder import LightDecoder

FIELDS = {
    "encoder": "mit_b0",
    "tile_size": 64,
    "classes": 3,
    "width": 16,
    "contexts": [{"name": "local"}, {"name": "medium", "scale": 2.0}, {"name": "large", "scale": 4.0}],
    "ale_windows": [3],
    "correlation_stride": 16,
    "gate_init": 1.0,
}
WINDOWS = {
    "tile": torch.tensor([[64.0, 96.0, 128.0, 160.0]], dtype=torch.float64),
    "medium": torch.tensor([[32.0, 64.0, 160.0, 192.0]], dtype=torch.float64),
    "large": torch.tensor([[0.0, 0.0, 256.0, 256.0]], dtype=torch.float64),
}


def network(**fields: object) -> FCtL:
    torch.manual_seed(0)
    model = make_network(make_config(**FIELDS, **fields))
    assert isinstance(model, FCtL)
    return model.eval()


def encoded(model: FCtL) -> tuple:
    generator = torch.Generator().manual_seed(1)
    pixels = {name: torch.randint(0, 256, (1, 3, 64, 64), generator=generator).float() for name in WINDOWS}
    with torch.no_grad():
        contexts = {c.name: model.encode_context(c.name, pixels[c.name]) for c in model.config.outer_contexts}
        return model.encode_tile(pixels["tile"]), contexts, {k: WINDOWS[k] for k in ("tile", *contexts)}


@pytest.mark.parametrize("decoder", ["linear", "mlp"])
def test_scores_are_those_of_the_interpolated_features(decoder: str) -> None:
    model = network(decoder=decoder)
    tile, contexts, windows = encoded(model)
    head = model.decoder
    assert isinstance(head, LightDecoder)
    with torch.no_grad():
        fused = model.fused(tile, contexts, windows)
        size = head.cells.size
        rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        features = head.features_at((rows.ravel(), columns.ravel()), fused, contexts, windows)
        weight = torch.randn(head.project["8"].out_channels, features.shape[1])
        bias, center = torch.randn(len(weight)), features.mean(0)
        head.set_weights(weight, bias, center)
        expected = (features - center) @ weight.T + bias
        expected = head.score(expected.T.reshape(1, -1, size, size))
        logits = model.decode(tile, contexts, windows)
        pixels = torch.nn.functional.interpolate(expected, size=64, mode="bilinear", align_corners=False)
    assert torch.allclose(logits, pixels, rtol=1e-3, atol=1e-3 * float(pixels.abs().max()))


def test_context_that_is_left_out_counts_as_its_mean() -> None:
    model = network(decoder="linear", lcf=False, gpe=False, ale="none")
    tile, contexts, windows = encoded(model)
    head = model.decoder
    with torch.no_grad():
        width = sum(head.widths.values())
        center = torch.randn(width)
        head.set_weights(torch.randn(3, width), torch.randn(3), center)
        without = model.decode(tile, contexts, windows, Without.named(["large"]))
        mean = center[-16:][None, :, None, None].expand_as(contexts["large"])
        at_mean = model.decode(tile, {**contexts, "large": mean}, windows)
    assert torch.allclose(without, at_mean, atol=0.05)
    assert not torch.allclose(without, model.decode(tile, contexts, windows), atol=0.05)


def test_explanation_is_of_the_same_logits() -> None:
    model = network(decoder="linear")
    tile, contexts, windows = encoded(model)
    found = explain(model, tile, contexts, windows)
    assert set(found.attention) == {"local", "medium", "large"}
    assert torch.equal(found.logits, model.decode(tile, contexts, windows)[0].float())


def test_decoder_belongs_to_fctl() -> None:
    with pytest.raises(ConfigError, match="decoder is an option of fctl"):
        make_config(architecture="unet", encoder="unet", contexts=[], lcf=False, ale="none", decoder="linear")
    with pytest.raises(ConfigError, match="fc_channels"):
        make_config(**FIELDS, decoder="mlp", fc_channels=64)


def test_usual_decoder_is_left_out_of_what_is_stored() -> None:
    assert "decoder" not in network().config.model_dump()
    assert network(decoder="mlp").config.model_dump()["decoder"] == "mlp"
