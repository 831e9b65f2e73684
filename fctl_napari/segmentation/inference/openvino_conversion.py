"""Conversion of a network to parts in OpenVINO's format."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from fctl_napari.model.encoders.vgg16 import VGG16
from fctl_napari.model.network import Network
from fctl_napari.segmentation.inference.openvino_parts import TILE, Parts
from fctl_napari.segmentation.inference.openvino_runtime import FrontEndManager, ov
from fctl_napari.segmentation.inference.pixel_maps import as_bytes, certainty_maps, classify_tiles


class _Part(nn.Module):
    """Part of a network that is traced.

    The network is no submodule of it, so that weights are traced as constants: tracing makes a copy of every submodule,
    whether the part uses it or not.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._networks = [network]

    @property
    def network(self) -> Network:
        return self._networks[0]


class _ContextPart(_Part):
    def __init__(self, network: Network, name: str) -> None:
        super().__init__(network)
        self.name = name

    def forward(self, images: Tensor) -> Tensor:
        """Encode a context."""
        return self.network.encode_context(self.name, images).float()


class _TilePart(_Part):
    def forward(self, images: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """Compute ``OUTPUTS`` from a tile, then contexts, then windows."""
        names: list[str] = [context.name for context in self.network.config.outer_contexts]
        contexts = dict(zip(names, others[: len(names)], strict=True))
        windows = dict(zip((TILE, *names), others[len(names) :], strict=True))
        fusion: list[Tensor] = []
        logits = self.network.decode(self.network.encode_tile(images), contexts, windows, fusion=fusion).float()
        tiles = classify_tiles(logits)
        weights = [as_bytes(found.float().mean(2)) for found in fusion]
        return logits, tiles.labels(), tiles.confidence(), certainty_maps(tiles), *weights


@torch.no_grad()
def convert_network(network: Network) -> Parts:
    """Convert a network for single tiles.

    Parameters
    ----------
    network : Network
        The network, in float32 and evaluation mode. Its weights need no gradients from then on.

    Returns
    -------
    Parts
        The parts, in float32.
    """
    network.requires_grad_(False)
    for encoder in network.encoders.values():
        if isinstance(encoder, VGG16):
            encoder.skip_constant_border = False  # it writes into parts of arrays, which conversion mistakes
    size, names = network.config.tile_size, [context.name for context in network.config.outer_contexts]
    channels = network.config.in_channels
    tile = torch.zeros((1, channels + network.config.refines, size, size), dtype=torch.uint8)
    image = tile[:, :channels]
    encoded = [network.encode_context(name, image).float() for name in names]
    # one tensor for each window: tracing takes a tensor that is given twice for one input
    windows = [torch.tensor([[0.0, 0.0, float(size), float(size)]]) for _ in range(1 + len(names))]
    return Parts(
        _convert(_TilePart(network), tile, *encoded, *windows),
        {name: _convert(_ContextPart(network, name), image) for name in names},
        network.grid.cells_of_pixels().numpy(),
    )


def _convert(part: nn.Module, *inputs: Tensor) -> ov.Model:
    # Loaded after the runtime, and itself: `ov.convert_model` loads much more, and reports its use.
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing takes sizes for constants, which they are here
        decoder = TorchScriptPythonDecoder(
            part.eval(), example_input=inputs if len(inputs) > 1 else inputs[0], trace_kwargs={"check_trace": False}
        )
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.load(decoder)
    for given, one in zip(model.get_inputs(), inputs, strict=True):
        model.set_partial_shape(given, ov.PartialShape(list(one.shape)))
        model.set_element_type(given, ov.Type.u8 if one.dtype == torch.uint8 else ov.Type(one.numpy().dtype))
    return frontend.convert(model)
